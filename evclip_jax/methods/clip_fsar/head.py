"""What CLIP-FSAR puts behind the frame features: from episodes to logits."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods.clip_fsar import alignment, episode_parts
from evclip_jax.methods.clip_fsar.temporal_transformer import (
  TemporalTransformer,
)
from evclip_jax.methods.clip_fsar.trx import TemporalCrossTransformer

Tree = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class EpisodeHead:
  """Compares the queries of episodes with prototypes.

  Attributes:
    temporal: what support clips, their text, and queries go through; or None.
    trx: the metric with weights of its own, or None for
    metric: one without.
    prototypes: the shots of a class are averaged 'before' the transformer,
      'after' it, or not at all ('none').
    text_token: whether support clips see the text of their class.

  Source: CLIP-FSAR, models/base/few_shot.py, CNN_OTAM_CLIPFSAR.
  Differs: none, with temporal, the metric 'otam' and the text token.
  """

  temporal: TemporalTransformer | None
  trx: TemporalCrossTransformer | None
  metric: alignment.Metric | None
  prototypes: str
  text_token: bool

  def init(self, rng: jax.Array, num_frames: int, width: int) -> Tree:
    """The subtrees 'temporal' and 'trx', as far as there are modules."""
    first, second = jax.random.split(rng)
    frames = jnp.zeros((1, 1, num_frames, width))
    out = {}
    if self.temporal is not None:
      out['temporal'] = self.temporal.init(first, frames[0], True)['params']
    if self.trx is not None:
      out['trx'] = self.trx.init(second, frames, frames[:, None], True)[
          'params'
      ]
    return out

  def similarities(
      self,
      own: Tree,
      frames: jax.Array,
      classes: jax.Array,
      batch: Tree,
      rng: jax.Array | None = None,
  ) -> jax.Array:
    """Of every query and every class of its episode.

    Args:
      own: what `init` gave.
      frames: [E, V, T, D], support then queries.
      classes: [1, C, D], texts of the list's classes, not normalised.
      batch: the fields 'way' and 'label' of episodes.
      rng: for dropout, as in training; None = there is none.

    Returns:
      float32 [E, NQ, N].
    """
    keys = [None] * 3 if rng is None else jax.random.split(rng, 3)
    support, queries = episode_parts.split(frames, batch)
    if self.prototypes == 'before':
      support = support.mean(axis=2, keepdims=True)
    queries = self._encode(own, queries, keys[0])
    num_frames = support.shape[-2]
    if self.text_token:
      text = classes[0][batch['way']][:, :, None, None]  # [E, N, 1, 1, D]
      text = jnp.broadcast_to(text, (*support.shape[:3], 1, text.shape[-1]))
      support = jnp.concatenate([support, text], axis=-2)
    support = self._encode(own, support, keys[1])[..., :num_frames, :]
    if self.prototypes == 'after':
      support = support.mean(axis=2, keepdims=True)
    if self.trx is None:
      return self.metric(queries, support)
    return _apply(self.trx, own['trx'], keys[2], queries, support)

  def _encode(self, own: Tree, tokens: jax.Array, rng) -> jax.Array:
    if self.temporal is None:
      return tokens
    flat = tokens.reshape(-1, *tokens.shape[-2:])
    out = _apply(self.temporal, own['temporal'], rng, flat)
    return out.reshape(tokens.shape)


def by_text(
    scale: jax.Array, frames: jax.Array, classes: jax.Array, batch: Tree
) -> jax.Array:
  """Log-probabilities [E, NQ, N] from the texts of the episode's classes.

  Args:
    scale: [1], of the cosines.
    frames, classes, batch: as for `EpisodeHead.similarities`.
  """
  _, queries = episode_parts.split(frames, batch)
  texts = classes[0][batch['way']]
  texts /= jnp.linalg.norm(texts, axis=-1, keepdims=True)
  means = queries.mean(axis=-2)
  means /= jnp.linalg.norm(means, axis=-1, keepdims=True)
  return jax.nn.log_softmax(scale * jnp.einsum('eqd,end->eqn', means, texts))


def video_text_logits(
    scale: jax.Array, frames: jax.Array, classes: jax.Array
) -> jax.Array:
  """Scaled cosines [E, V, C] of all clips and the texts of all classes.

  Args:
    scale: [1], not an exponent.
    frames: [E, V, T, D], not normalised.
    classes: [1, C, D], not normalised.
  """
  return scale * alignment.cosine(frames.mean(axis=-2), classes[0])


def _apply(module, params, rng, *inputs) -> jax.Array:
  rngs = None if rng is None else {'dropout': rng}
  return module.apply({'params': params}, *inputs, rng is None, rngs=rngs)
