"""VideoPrism's video-text model: clips and texts in one space."""

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

# Tokens of a text at most.
CONTEXT_LENGTH = 64
# The id of a place behind the end of a text.
PADDING = -1


@dataclasses.dataclass(frozen=True)
class VideoTextModel(VideoPrismEncoder):
  """Both towers without their weights; also a trunk, by the encoder within.

  Attributes:
    sizes: the architecture.
    dtype: of the computation; norms, softmax and results stay in float32.

  Source: VideoPrism, FactorizedVideoCLIP.
  Differs: padded frames are left out; places of padding have the id -1 and are
    only masked as keys, which gives the same embedding.
  """

  def both(
      self, params_encoder: dict[str, Any], video: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns the encoder's spatial and final features, [B, T * N, D]."""
    return super().both(params_encoder['video'], video)

  def video(
      self, params: dict[str, Any], video: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Embeds clips; nothing is normalised.

    Args:
      params: {'video', 'joint', 'text'}.
      video: [B, T, S, S, 3] float in 0..1.

    Returns:
      float32 [B, D] of clips and [B, T, D] of frames, the pooler's of the
      tokens of each.
    """
    tokens = self.both(params, video)[1]
    joint = Joint(self.sizes, self.dtype)
    return joint.apply({'params': params['joint']}, tokens, video.shape[1])

  def text(self, params: dict[str, Any], ids: jax.Array) -> jax.Array:
    """Embeds texts: int32 [K, L], -1 behind each text -> float32 [K, D]."""
    tower = TextTower(self.sizes, self.dtype)
    return tower.apply({'params': params['text']}, ids)


class Joint(nn.Module):
  """Blocks over all tokens of a clip, then the pooler."""

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, num_frames: int):
    """Makes [B, D] and [B, T, D] of [B, T * N, D]."""
    sizes = self.sizes
    batch, _, width = x.shape
    x = x.astype(self.dtype)
    for i in range(sizes.auxiliary_layers):
      block = Block(sizes.heads, sizes.hidden, self.dtype, name=f'blocks.{i}')
      x = block(x)
    pool = AttentionPooler(
        sizes.heads, sizes.pooler_width, self.dtype, name='pooler'
    )
    frames = pool(x.reshape(batch * num_frames, -1, width))
    return pool(x), frames.reshape(batch, num_frames, width)


class TextTower(nn.Module):
  """Causal blocks over ids and a class token behind them."""

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, ids: jax.Array) -> jax.Array:
    """Makes float32 [K, D] of int32 [K, L]."""
    sizes = self.sizes
    normal = nn.initializers.normal(0.02)
    shape = (sizes.vocab_size, sizes.width)
    table = self.param('token_embedding', normal, shape)
    last = self.param('class_embedding', normal, (sizes.width,))
    texts, length = ids.shape
    x = table[jnp.maximum(ids, 0)] + sines(length, sizes.width) / math.sqrt(
        sizes.width
    )
    last = jnp.broadcast_to(last, (texts, 1, sizes.width))
    x = jnp.concatenate([x, last], axis=1) * math.sqrt(sizes.width)
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
  """Returns float32 [length, width]: sines, then cosines, of each place."""
  half = width // 2
  steps = np.arange(half) * (math.log(1e4) / max(half - 1, 1))
  angles = np.arange(length)[:, None] * np.exp(-steps)
  return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
