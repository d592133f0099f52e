"""VideoPrism's video-text model: clips and texts in a joint space."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.videoprism.encoder import VideoPrismEncoder
from evclip_jax.models.videoprism.layers import AttentionPooler, Block, norm
from evclip_jax.models.videoprism.sizes import VideoPrismSizes

# Most tokens of a text.
CONTEXT_LENGTH = 64
# The id of places after the end of a text.
PADDING = -1


@dataclasses.dataclass(frozen=True)
class VideoTextModel(VideoPrismEncoder):
  """Defines both towers; every call takes the weights.

  It is also a trunk, whose features are those of the encoder inside.

  Source: VideoPrism, FactorizedVideoCLIP.
  Differs: padded frames are left out; padding of texts has the id -1 and is
    only masked as keys, which gives the same embedding.
  """

  def both(
      self, params_encoder: dict[str, Any], video: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns spatial and final features, float32 [B, T * N, D]."""
    return super().both(params_encoder['video'], video)

  def video(
      self, params: dict[str, Any], video: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Embeds clips and frames.

    Args:
      params: {'video', 'joint', 'text'}.
      video: float [B, T, S, S, 3] in 0..1.

    Returns:
      float32 [B, D] and [B, T, D], not normalised: the pooler's results for the
      tokens of each clip and of each frame.
    """
    tokens = self.both(params, video)[1]
    joint = Joint(self.sizes, self.dtype)
    return joint.apply({'params': params['joint']}, tokens, video.shape[1])

  def text(self, params: dict[str, Any], ids: jax.Array) -> jax.Array:
    """Embeds texts: maps int32 [K, L], padded with -1, to float32 [K, D]."""
    tower = TextTower(self.sizes, self.dtype)
    return tower.apply({'params': params['text']}, ids)


class Joint(nn.Module):
  """Applies blocks to all tokens of a clip, then the pooler."""

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, num_frames: int):
    """Maps [B, T * N, D] to [B, D] and [B, T, D]."""
    sizes = self.sizes
    batch, _, width = x.shape
    x = x.astype(self.dtype)
    for i in range(sizes.auxiliary_layers):
      x = Block(sizes.heads, sizes.hidden, self.dtype, name=f'blocks.{i}')(x)
    pool = AttentionPooler(
        sizes.heads, sizes.pooler_width, self.dtype, name='pooler'
    )
    frames = pool(x.reshape(batch * num_frames, -1, width))
    return pool(x), frames.reshape(batch, num_frames, width)


class TextTower(nn.Module):
  """Applies causal blocks to the ids and a class token after them."""

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, ids: jax.Array) -> jax.Array:
    """Maps int32 [K, L] to float32 [K, D]."""
    sizes = self.sizes
    normal = nn.initializers.normal(0.02)
    shape = (sizes.vocab_size, sizes.width)
    table = self.param('token_embedding', normal, shape)
    last = self.param('class_embedding', normal, (sizes.width,))
    texts, length = ids.shape
    scale = math.sqrt(sizes.width)
    x = table[jnp.maximum(ids, 0)] + sines(length, sizes.width) / scale
    last = jnp.broadcast_to(last, (texts, 1, sizes.width))
    x = jnp.concatenate([x, last], axis=1) * scale
    real = jnp.pad(ids >= 0, ((0, 0), (0, 1)), constant_values=True)
    mask = jnp.tri(length + 1, dtype=bool) & real[:, None]
    x = x.astype(self.dtype)
    for i in range(sizes.text_layers):
      x = Block(
          sizes.heads,
          sizes.text_hidden,
          self.dtype,
          relu=True,
          name=f'blocks.{i}',
      )(x, mask)
    return norm(jnp.float32, 'norm')(x[:, -1])


def sines(length: int, width: int) -> np.ndarray:
  """Returns sines, then cosines, of each place, float32 [length, width]."""
  half = width // 2
  steps = np.arange(half) * (math.log(1e4) / max(half - 1, 1))
  angles = np.arange(length)[:, None] * np.exp(-steps)
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
