"""A bottleneck between two layers of a frozen network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models.torch_like import linear

# Width of the bottleneck as a share of the width around it.
_SHARE = 0.25


class Adapter(nn.Module):
  """x + W2 gelu(W1 x + b1) + b2, which is x at first.

  Attributes:
    skip: whether x is added.
    dtype: of the computation.

  Source: EZ-CLIP, clip/model.py, Adapter.
  Differs: none.
  """

  skip: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., D] -> [..., D] of the type of x."""
    width = x.shape[-1]
    y = linear(int(_SHARE * width), width, True, 'D_fc1', self.dtype)(x)
    y = nn.gelu(y, approximate=False)
    y = nn.Dense(
        width,
        kernel_init=nn.initializers.zeros,
        dtype=self.dtype,
        name='D_fc2',
    )(y).astype(x.dtype)
    return x + y if self.skip else y
