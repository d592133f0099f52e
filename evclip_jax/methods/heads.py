"""What turns features of clips into logits: linear heads, and class texts."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods import base, losses
from evclip_jax.models.clip.model import Clip


@dataclasses.dataclass(frozen=True)
class LinearHead:
  """One output per class of training, in place of class texts.

  Attributes:
    width: of the features.
    class_names: of training, in label order.
    std: of the first weights, which are normal; biases are 0.
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
    """Computes logits float32 [..., K] of features [..., width]."""
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


def headed(
    head: LinearHead | None, settings: Any, clip: Clip, **fields
) -> base.Method:
  """Builds a method that ends in a linear head or in class texts.

  Args:
    head: reads `VideoFeatures.clip` of what `params['method']['head']` holds;
      None = cosines with CLIP's class texts.
    settings: with 'template' and 'dropout' (before a linear head).
    clip: CLIP.
    **fields: of `Method`, all but those of scores and texts.
  """

  def score(params, features, classes, batch):
    if head:
      return head(params['method']['head'], features.clip)
    scale = clip.logit_scale(params['clip'])
    return base.cosine_score(scale, features.clip, classes)

  def loss(params, features, classes, batch, rngs):
    if head and rngs is not None and settings.dropout:
      kept = jax.random.bernoulli(
          rngs['dropout'], 1 - settings.dropout, features.clip.shape
      )
      dropped = jnp.where(kept, features.clip / (1 - settings.dropout), 0)
      features = features.replace(clip=dropped)
    logits = score(params, features, classes, batch)
    target = batch.get('target', batch['label'])
    value = losses.cross_entropy(logits, target, batch['mask'])
    return value, {'cross_entropy': value}

  def class_texts(names):
    if head:
      return head.class_texts(names)
    return base.fill_templates(settings.template, names)

  return base.Method(
      class_texts=class_texts,
      text=head.text
      if head
      else lambda params, tokens: clip.text(params['clip'], tokens),
      score=score,
      loss=loss,
      loss_is_a_mean=True,
      **fields,
  )
