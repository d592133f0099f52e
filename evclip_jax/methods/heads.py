"""Turns clip features into logits, by class texts or by a linear head."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, losses
from evclip_jax.methods.class_texts import ClassTexts
from evclip_jax.methods.learned_words import LearnedWords
from evclip_jax.models.clip.model import Clip


@dataclasses.dataclass(frozen=True)
class LinearHead:
  """Scores features by one linear output per training class.

  Attributes:
    width: of the features.
    class_names: the training classes, in label order.
    std: of the initial weights, which are normal; biases are 0.
  """

  width: int
  class_names: tuple[str, ...]
  std: float = 0.01

  def init(self, rng: jax.Array) -> base.Params:
    """Draws {'kernel': [width, K], 'bias': [K]}."""
    shape = self.width, len(self.class_names)
    kernel = self.std * jax.random.normal(rng, shape)
    return {'kernel': kernel, 'bias': jnp.zeros(shape[1])}

  def __call__(self, own: base.Params, features: jax.Array) -> jax.Array:
    """Maps features [..., width] to logits float32 [..., K]."""
    return features.astype(jnp.float32) @ own['kernel'] + own['bias']

  def class_texts(self, names: list[str]) -> list[list[str]]:
    """Returns the names, for `Method.class_texts`.

    Raises:
      UserError: the names are not those of training.
    """
    base.check_classes(names, self.class_names, 'a linear head')
    return [list(names)]

  def text(self, params: base.Params, tokens: jax.Array) -> jax.Array:
    """Returns zeros [M, K, 1], for `Method.text`: nothing is encoded."""
    return jnp.zeros((*tokens.shape[:-1], 1))


def normalise_rows(x: jax.Array) -> jax.Array:
  """Divides by the norm of the last axis; no epsilon, as in the originals."""
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def cosine_score(scale: jax.Array, video: jax.Array, classes: jax.Array):
  """Computes scaled cosines of clips and classes.

  Args:
    scale: scalar, the exponential of CLIP's logit_scale.
    video: [B, E], not normalised.
    classes: [M, K, E], not normalised. With several templates the normalised
      embeddings are averaged and normalised again, as CLIP's authors do.

  Returns:
    Logits [B, K].
  """
  bank = normalise_rows(classes)
  if bank.shape[0] > 1:
    bank = normalise_rows(bank.mean(axis=0, keepdims=True))
  return scale * normalise_rows(video) @ bank[0].T


def by_texts(
    clip: Clip | None,
    texts: ClassTexts | LearnedWords,
    trained: Callable | None = None,
    **fields,
) -> base.Method:
  """Builds a method that compares clips with class texts.

  By default, scores are cosines times CLIP's logit scale, and the loss is their
  cross-entropy. A loss of its own counts as no mean unless it says so.

  Args:
    clip: CLIP.
    texts: makes the class texts.
    trained: `Method.text` if texts train; None = CLIP's unchanged text tower.
    **fields: of `Method`; they override the defaults.
  """

  def text(params, tokens):
    return clip.text(params['clip'], tokens)

  def score(params, features, classes, batch):
    scale = clip.logit_scale(params['clip'])
    return cosine_score(scale, features.clip, classes)

  made = {
      'class_texts': texts,
      'prompt_set': texts.name,
      'text': trained or text,
      'text_trains': trained is not None,
      'score': score,
      'loss': classify(fields.get('score', score), trained),
      'loss_is_a_mean': 'loss' not in fields,
  }
  return base.Method(**made | fields)


def classify(score: Callable, text: Callable | None = None) -> Callable:
  """Returns a `Method.loss`: the cross-entropy of the scores.

  Args:
    score: `Method.score`.
    text: `Method.text` if texts train, so that the loss gets their tokens.
  """

  def loss(params, features, classes, batch, rngs):
    if text:
      classes = text(params, classes)
    logits = score(params, features, classes, batch)
    target = batch.get('target', batch['label'])
    value = losses.cross_entropy(logits, target, batch['mask'])
    return value, {'cross_entropy': value}

  return loss


def headed(
    head: Any, settings: Any, clip: Clip | None, **fields
) -> base.Method:
  """Builds a method that scores by a linear head or by class texts.

  Args:
    head: a `LinearHead`, or another object with its `__call__`, `class_texts`
      and `text`; its weights are in `params['method']['head']`. None = cosines
      with CLIP's class texts.
    settings: with 'dropout' for a head, with 'template' for class texts.
    clip: CLIP, or None with a head.
    **fields: of `Method`, except those of scores and texts.

  Raises:
    UserError: settings of texts are invalid or have no effect.
  """
  if head is None:
    return by_texts(clip, ClassTexts(settings), **fields)
  if getattr(settings, 'descriptions', ''):
    raise UserError(
        'method.settings.descriptions: a linear head reads no texts. Use '
        "head='text', or leave descriptions out."
    )

  def score(params, features, classes, batch):
    return head(params['method']['head'], features.clip)

  def loss(params, features, classes, batch, rngs):
    if rngs is not None and settings.dropout:
      kept = 1 - settings.dropout
      mask = jax.random.bernoulli(rngs['dropout'], kept, features.clip.shape)
      features = features.replace(clip=jnp.where(mask, features.clip / kept, 0))
    return classify(score)(params, features, classes, batch, rngs)

  return base.Method(
      class_texts=head.class_texts,
      prompt_set='a linear head',
      text=head.text,
      score=score,
      loss=loss,
      loss_is_a_mean=True,
      **fields,
  )
