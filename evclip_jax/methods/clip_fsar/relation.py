"""HyRSM's relation module: attention within and across clips of an episode."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.torch_like import Norm, linear, torch_uniform

HEADS = 8
# Frames are scaled up by sqrt(D / 10) before positions are added to them.
_SCALE = 10.0
_POSITION_DROPOUT = 0.1


class Relation(nn.Module):
  """Relates the frames of each clip, then each query to its support clips.

  Attributes:
    dropout: rate after the attention within a clip.
    across_dropout: rate after the attention across clips.
    deterministic: whether nothing is dropped; else a key 'dropout' is needed.

  Source: CLIP-FSAR, models/base/few_shot.py, CNN_HyRSM_1shot, _5shot.
  Differs: one module for any number of shots, averaged or not; no classifier of
    single frames; D is CLIP's; weights have torch's default initialisation.
  """

  dropout: float = 0.2
  across_dropout: float = 0.05
  deterministic: bool = True

  def setup(self):
    self.temporal_atte_before = _Within(self.dropout, self.deterministic)
    self.temporal_atte = _Across(self.across_dropout, self.deterministic)
    self.layer2 = _Mix()

  def __call__(self, x: jax.Array):
    """Runs both parts on [E, N, T, D] as support and queries, for `init`."""
    x = self.within(x)
    return self.across(x, x[:, :, None])

  def within(self, x: jax.Array) -> jax.Array:
    """Lets the frames [..., T, D] of a clip attend to each other, in order."""
    return self.temporal_atte_before(x.astype(jnp.float32))

  def across(
      self, queries: jax.Array, support: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Lets the means of each query and of its support attend to each other.

    Args:
      queries: [E, Q, T, D].
      support: [E, N, S, T, D].

    Returns:
      (queries of the same shape, support [E, Q, N, S, T, D], one per query).
    """
    e, q, _, d = queries.shape
    n, s = support.shape[1:3]
    known = support.mean(axis=3).reshape(e, 1, n * s, d)
    known = jnp.broadcast_to(known, (e, q, n * s, d))
    tokens = jnp.concatenate([known, queries.mean(2)[:, :, None]], axis=2)
    seen = self.temporal_atte(tokens)  # [E, Q, N * S + 1, D]
    support = jnp.broadcast_to(support[:, None], (e, q, *support.shape[1:]))
    own = seen[:, :, :-1].reshape(e, q, n, s, d)
    return self.layer2(queries, seen[:, :, -1]), self.layer2(support, own)


class _Within(nn.Module):
  dropout: float
  deterministic: bool

  @nn.compact
  def __call__(self, x):
    def drop(rate, y):
      return nn.Dropout(rate, deterministic=self.deterministic)(y)

    length, width = x.shape[-2:]
    x = x * (width / _SCALE) ** 0.5 + positions(length, width)
    x = drop(_POSITION_DROPOUT, x)
    y = self_attention(Norm(name='norm')(x), bias=True)
    return nn.relu(x + drop(self.dropout, y))


class _Across(nn.Module):
  dropout: float
  deterministic: bool

  @nn.compact
  def __call__(self, x):
    y = self_attention(x, bias=False)
    y = nn.Dropout(self.dropout, deterministic=self.deterministic)(y)
    return nn.relu(Norm(name='norm')(x + y))


class _Mix(nn.Module):
  """Joins frames [..., T, D] to their clip's [..., D] by a dense layer."""

  @nn.compact
  def __call__(self, frames, seen):
    width = frames.shape[-1]
    init = torch_uniform(2 * width)
    kernel = self.param('kernel', init, (2 * width, width))
    bias = self.param('bias', init, (width,))
    # Two products instead of concatenating, so that nothing is repeated.
    seen = (seen @ kernel[width:])[..., None, :]
    return frames @ kernel[:width] + seen + bias


def self_attention(x: jax.Array, bias: bool) -> jax.Array:
  """Applies self-attention to tokens [..., N, D], with `HEADS` heads.

  It adds the layers 'to_q', 'to_k', 'to_v' and 'to_out.0' to the calling
  module; `bias` tells whether the last one has a bias.
  """
  width = x.shape[-1]

  def dense(inputs, name, bias=False):
    return linear(width, width, bias, name, jnp.float32)(inputs)

  q, k, v = (
      dense(x, name)
      .reshape(*x.shape[:-1], HEADS, width // HEADS)
      .swapaxes(-2, -3)  # [..., h, N, D/h]
      for name in ('to_q', 'to_k', 'to_v')
  )
  scores = q @ k.swapaxes(-1, -2) * (width // HEADS) ** -0.5
  y = (jax.nn.softmax(scores) @ v).swapaxes(-2, -3).reshape(x.shape)
  return dense(y, 'to_out.0', bias)


def positions(length: int, width: int) -> np.ndarray:
  """Returns HyRSM's sinusoidal positions, [length, width].

  Source: CLIP-FSAR, models/base/few_shot.py, PositionalEncoder.
  Differs: none, including its unusual exponent: 2 i / width for column i.
  """
  column = np.arange(width)
  angle = np.arange(length)[:, None] / 10000.0 ** (2 * column / width)
  table = np.where(column % 2 == 0, np.sin(angle), np.cos(angle))
  return table.astype(np.float32)
