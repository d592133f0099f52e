"""EV-CLIP's context generator: trunk features to one token per clip."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.methods.ev_clip.generators import ACTIVATIONS
from evclip_jax.models.torch_like import Norm, linear

# Small at first, so that the token starts far below CLIP's frame features.
_FIRST_SCALE = 1e-3


class ContextGenerator(nn.Module):
  """The mean trunk feature, projected to CLIP's joint embedding.

  Attributes:
    width: E of CLIP.
    activation: 'gelu' (exact) or 'relu'.
    bias: whether the projection has a bias.
    dtype: of the projection; the norm and the token stay in float32.

  Source: EV-CLIP, "temporal prompt"; trainers/prompt_generator.py,
    EVo_Context_Generator.
  Differs: none.
  """

  width: int
  activation: str = 'gelu'
  bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """[B, T/2, h, w, C] -> float32 [B, 1, E]."""
    x = z.mean((1, 2, 3))[:, None].astype(self.dtype)  # [B, 1, C]
    x = linear(
        self.width, x.shape[-1], self.bias, 'feature_adaptation.0', self.dtype
    )(x)
    x = ACTIVATIONS[self.activation](x)
    x = Norm(jnp.float32, name='feature_adaptation.2')(x)
    scale = self.param(
        'context_scale', nn.initializers.constant(_FIRST_SCALE), ()
    )
    return x * scale
