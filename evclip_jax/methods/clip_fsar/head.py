"""CLIP-FSAR's head: from the frame features of episodes to logits.

Shapes: E episodes, V = N K + NQ clips in each (support first, class by class),
T frames, D features, C classes of a list.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.methods.clip_fsar import alignment
from evclip_jax.methods.clip_fsar.relation import Relation, self_attention
from evclip_jax.methods.heads import normalise_rows
from evclip_jax.models.torch_like import Norm, gelu, linear

Tree = dict[str, Any]


class TemporalTransformer(nn.Module):
  """Lets the tokens of a clip attend to each other, regardless of their order.

  Everything is in float32: the module is small, and a metric follows.

  Attributes:
    depth, hidden, dropout, mlp_dropout: as in the method's settings.

  Source: CLIP-FSAR, models/base/few_shot.py, the head's "context2".
  Differs: none.
  """

  depth: int = 1
  hidden: int = 2048
  dropout: float = 0.2
  mlp_dropout: float = 0.05

  @nn.compact
  def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
    """Maps [B, N, D] to [B, N, D]; needs a key unless `deterministic`."""
    for layer in range(self.depth):
      x = TemporalLayer(
          self.hidden, self.dropout, self.mlp_dropout, name=f'layers.{layer}'
      )(x, deterministic)
    return x


class TemporalLayer(nn.Module):
  """Applies attention, then two dense layers, each with a residual connection.

  Only the input of the attention is normalised.
  """

  hidden: int
  dropout: float
  mlp_dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
    def dense(features, inputs, name):
      return linear(features, inputs.shape[-1], True, name, jnp.float32)(inputs)

    def drop(rate, values):
      return nn.Dropout(rate, deterministic=deterministic)(values)

    x = x.astype(jnp.float32)
    y = self_attention(Norm(name='norm')(x), bias=True)
    x = x + drop(self.dropout, y)
    y = gelu(dense(self.hidden, x, 'net.0'))
    y = dense(x.shape[-1], drop(self.mlp_dropout, y), 'net.3')
    return x + drop(self.mlp_dropout, y)


class EpisodeHead:
  """Compares the queries of episodes with prototypes, as the settings say.

  Source: CLIP-FSAR, models/base/few_shot.py, CNN_OTAM_CLIPFSAR.
  Differs: none with a transformer, the metric 'otam' and the text token.
  """

  def __init__(self, settings: Any):
    self.settings = settings
    drops = settings.dropout, settings.mlp_dropout
    self.temporal = self.relation = None
    if settings.depth:
      self.temporal = TemporalTransformer(
          settings.depth, settings.hidden, *drops
      )
    metric = settings.metric
    if metric == 'hyrsm':
      metric, self.relation = 'bimhm', Relation(*drops)
    self.metric = functools.partial(
        alignment.compare,
        metric=metric,
        softness=settings.otam_softness,
        both_directions=settings.directions == 'both',
    )

  def init(self, rng: jax.Array, num_frames: int, width: int) -> Tree:
    """Draws the subtrees 'temporal' and 'relation', if used."""
    out, tokens = {}, jnp.zeros((1, num_frames, width))
    if self.temporal:
      out['temporal'] = self.temporal.init(rng, tokens, True)['params']
    if self.relation:
      rng = jax.random.fold_in(rng, 1)
      out['relation'] = self.relation.init(rng, tokens[None])['params']
    return out

  def similarities(
      self,
      own: Tree,
      frames: jax.Array,
      classes: jax.Array,
      batch: Tree,
      rng: jax.Array | None = None,
  ) -> jax.Array:
    """Compares every query with every class of its episode.

    Args:
      own: leaves as from `init`.
      frames: [E, V, T, D], support then queries.
      classes: [M, C, D], text embeddings of the list's classes, not normalised;
        the mean over M is used.
      batch: the fields 'way' and 'label' of episodes.
      rng: key for dropout, in training; None = no dropout.

    Returns:
      float32 [E, NQ, N].
    """
    # Always three keys, so that a seed gives the same draws for all settings.
    keys = [None] * 3 if rng is None else jax.random.split(rng, 3)
    prototypes = self.settings.prototypes
    support, queries = split(frames, batch)
    if prototypes == 'before':
      support = support.mean(axis=2, keepdims=True)
    queries = self._encode(own, queries, keys[0])
    num_frames = support.shape[-2]
    if self.settings.text_token:
      text = classes.mean(0)[batch['way']][:, :, None, None]  # [E, N, 1, 1, D]
      text = jnp.broadcast_to(text, (*support.shape[:3], 1, text.shape[-1]))
      support = jnp.concatenate([support, text], axis=-2)
    support = self._encode(own, support, keys[1])[..., :num_frames, :]
    if self.relation:
      relate = functools.partial(
          self.relation.clone(deterministic=rng is None).apply,
          {'params': own['relation']},
          rngs=_dropout(keys[2]),
      )
      support = relate(support, method='within')
      queries = relate(queries, method='within')
    if prototypes == 'after':
      support = support.mean(axis=2, keepdims=True)
    if not self.relation:
      return self.metric(queries, support)
    # Every query has its own prototypes now.
    queries, support = relate(queries, support, method='across')
    return self.metric(
        queries.reshape(-1, 1, *queries.shape[2:]),
        support.reshape(-1, *support.shape[2:]),
    ).reshape(*queries.shape[:2], -1)

  def _encode(self, own: Tree, tokens: jax.Array, rng) -> jax.Array:
    if self.temporal is None:
      return tokens
    flat = tokens.reshape(-1, *tokens.shape[-2:])
    out = self.temporal.apply(
        {'params': own['temporal']}, flat, rng is None, rngs=_dropout(rng)
    )
    return out.reshape(tokens.shape)


def _dropout(rng: jax.Array | None) -> dict[str, jax.Array] | None:
  return None if rng is None else {'dropout': rng}


def split(frames: jax.Array, batch: Tree) -> tuple[jax.Array, jax.Array]:
  """Splits [E, V, T, D] into support [E, N, K, T, D], queries [E, NQ, T, D]."""
  (episodes, way), queries = batch['way'].shape, batch['label'].shape[1]
  support = frames[:, :-queries]
  support = support.reshape(episodes, way, -1, *support.shape[2:])
  return support, frames[:, -queries:]


def classes_of_clips(batch: Tree, num_clips: int) -> jax.Array:
  """Returns the class of every clip, in the list's numbering; int32 [E, V]."""
  queries = jnp.take_along_axis(batch['way'], batch['label'], axis=1)
  shot = (num_clips - queries.shape[1]) // batch['way'].shape[1]
  support = jnp.repeat(batch['way'], shot, axis=1)
  return jnp.concatenate([support, queries], axis=1)


def by_text(
    scale: jax.Array, frames: jax.Array, classes: jax.Array, batch: Tree
) -> jax.Array:
  """Computes log-probabilities [E, NQ, N] from the texts of the classes.

  Args:
    scale: [1], factor of the cosines.
    frames, classes, batch: as for `EpisodeHead.similarities`.
  """
  _, queries = split(frames, batch)
  texts = normalise_rows(classes.mean(0)[batch['way']])
  means = normalise_rows(queries.mean(axis=-2))
  return jax.nn.log_softmax(scale * jnp.einsum('eqd,end->eqn', means, texts))


def video_text_logits(
    scale: jax.Array, frames: jax.Array, classes: jax.Array
) -> jax.Array:
  """Computes scaled cosines [E, V, C] of all clips and all class texts.

  Args:
    scale: [1], the factor itself, not its logarithm.
    frames: [E, V, T, D], not normalised.
    classes: [M, C, D], not normalised; the mean over M is used.
  """
  return scale * alignment.cosine(frames.mean(axis=-2), classes.mean(0))
