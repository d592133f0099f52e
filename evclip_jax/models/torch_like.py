"""Makes dense layers and norms with PyTorch's defaults."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

# PyTorch's LayerNorm; Linen's own default is 1e-6.
EPSILON = 1e-5


def torch_uniform(fan_in: int) -> Callable:
  """Makes PyTorch's initialiser of weight and bias of a Linear layer."""
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


def gelu(x: jax.Array) -> jax.Array:
  """Computes the exact GELU with `erf`, as PyTorch does, not `erfc`."""
  return x * (0.5 * (1 + jax.lax.erf(x * 0.5**0.5)))


class Norm(nn.Module):
  """Applies LayerNorm over one axis, in float32.

  Attributes:
    dtype: of the result.
    first: whether over the first, short axis instead of the last.
  """

  dtype: jnp.dtype = jnp.float32
  first: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (len(x),) if self.first else x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    if self.first:
      planes = (-1, *(1,) * (x.ndim - 1))
      scale, bias = scale.reshape(planes), bias.reshape(planes)
      y = _norm_of_planes(x.astype(jnp.float32), scale, bias)
    else:
      y = layer_norm(x, scale, bias, 1)
    return y.astype(self.dtype)


def layer_norm(x: jax.Array, scale, bias, axes: int) -> jax.Array:
  """Computes LayerNorm over the last `axes` axes together, in float32."""
  over = tuple(range(-axes, 0))
  x = x.astype(jnp.float32)
  x = x - x.mean(over, keepdims=True)
  variance = jnp.square(x).mean(over, keepdims=True)
  return x * jax.lax.rsqrt(variance + EPSILON) * scale + bias


@jax.custom_vjp
def _norm_of_planes(x: jax.Array, scale, bias) -> jax.Array:
  """Computes LayerNorm over the first axis of [C, ...], for small C.

  Sums over C and the gradient are written out: compilers make one loop of them,
  but several slow ones of reductions. The other axes are not flattened, since
  the axis of clips, which devices share, is not the first of them.
  """
  return _normed(x)[0] * scale + bias


def _normed(x):
  x = x - sum(x) / len(x)
  rate = jax.lax.rsqrt(sum(x * x) / len(x) + EPSILON)
  return x * rate, rate


def _norm_gradient(given, dy):
  x, scale, _ = given
  y, rate = _normed(x)
  g = dy * scale
  dx = rate * (g - sum(g) / len(x) - y * (sum(g * y) / len(x)))
  others = tuple(range(1, x.ndim))
  dscale, dbias = (z.sum(others, keepdims=True) for z in (dy * y, dy))
  return dx, dscale, dbias


_norm_of_planes.defvjp(
    lambda *given: (_norm_of_planes(*given), given), _norm_gradient
)
