"""Dense layers and norms with PyTorch's defaults."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

# PyTorch's LayerNorm; Linen's own default is 1e-6.
EPSILON = 1e-5


def torch_uniform(fan_in: int) -> Callable:
  """Makes PyTorch's default for the weight and the bias of a Linear layer."""
  bound = 1 / math.sqrt(fan_in)

  def init(rng, shape, dtype=jnp.float32):
    return jax.random.uniform(rng, shape, dtype, -bound, bound)

  return init


def linear(features: int, fan_in: int, bias: bool, name: str, dtype):
  """Makes a dense layer with PyTorch's default initialisation."""
  init = torch_uniform(fan_in)
  return nn.Dense(
      features,
      use_bias=bias,
      kernel_init=init,
      bias_init=init,
      dtype=dtype,
      name=name,
  )


class Norm(nn.Module):
  """LayerNorm over the last axis, computed in float32.

  Attributes:
    dtype: of the result.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    bias = self.param('bias', nn.initializers.zeros, x.shape[-1:])
    return layer_norm(x, scale, bias, 1).astype(self.dtype)


def layer_norm(x: jax.Array, scale, bias, axes: int) -> jax.Array:
  """Computes LayerNorm over the last `axes` axes together, in float32."""
  over = tuple(range(-axes, 0))
  x = x.astype(jnp.float32)
  x = x - x.mean(over, keepdims=True)
  variance = jnp.square(x).mean(over, keepdims=True)
  return x * jax.lax.rsqrt(variance + EPSILON) * scale + bias
