"""How the frames of a clip see each other in a network for pictures."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.clip.hooks import Attend, Reweigh
from evclip_jax.models.pixels import unfold_time


def init_prompts(
    rng: jax.Array, layers: int, num_frames: int, width: int
) -> jax.Array:
  """One vector per layer and frame, [layers, T, D].

  Source: EZ-CLIP, clip/model.py, Transformer.
  Differs: none; the bound is that of patches of 16 pixels for all of them.
  """
  bound = math.sqrt(6 / (3 * 16 * 16 + width))
  shape = (layers, num_frames, width)
  return jax.random.uniform(rng, shape, jnp.float32, -bound, bound)


def prompt_tokens(
    x: jax.Array,
    vectors: jax.Array,
    attend: Attend,
    reweigh: Reweigh | None = None,
) -> jax.Array:
  """One token per frame that has seen the clip's other frames.

  It is the frame's vector plus the mean of its tokens, behind the block's own
  attention over the frames, without a skip around it.

  Args:
    x: [B*T, N, D] the tokens of every frame, class token first.
    vectors: [T, D].
    attend: the block's.
    reweigh: what happens to the attention probabilities.

  Returns:
    [B, T, D].

  Source: EZ-CLIP, clip/model.py, ResidualAttentionBlock.
  Differs: none.
  """
  means = unfold_time(x.mean(axis=1), len(vectors))  # [B, T, D]
  return attend(vectors.astype(x.dtype) + means, reweigh)


def attend_over_time(
    x: jax.Array,
    num_frames: int,
    attend: Attend,
    reweigh: Reweigh | None = None,
) -> jax.Array:
  """The block's attention over the frames, for every token position apart.

  Args:
    x: [B*T, N, D].
    num_frames: T.
    attend: the block's.
    reweigh: what happens to the attention probabilities.

  Returns:
    [B*T, N, D].
  """
  y = unfold_time(x, num_frames).swapaxes(1, 2)  # [B, N, T, D]
  return attend(y, reweigh).swapaxes(1, 2).reshape(x.shape)


def shuffle_frames(y: jax.Array, num_frames: int) -> jax.Array:
  """Puts what belongs to clip b and frame t into row t * B + b.

  Source: EZ-CLIP, clip/model.py, the T_Adapter branch.
  Differs: none; it mixes up the clips of a batch, and is here for weights that
    were trained with it.
  """
  return unfold_time(y, num_frames).swapaxes(0, 1).reshape(y.shape)


def resize_prompts(vectors: np.ndarray, num_frames: int) -> np.ndarray:
  """[layers, S, D] for S frames, linearly interpolated for T frames.

  Frame t of T lies at (t + 1/2) / T of a clip; ends are repeated.
  """
  old = vectors.shape[1]
  x = (np.arange(num_frames) + 0.5) * old / num_frames - 0.5
  x = np.clip(x, 0, old - 1)
  below = np.floor(x).astype(int)
  above = np.minimum(below + 1, old - 1)
  share = (x - below)[:, None]
  resized = (1 - share) * vectors[:, below] + share * vectors[:, above]
  return resized.astype(vectors.dtype)
