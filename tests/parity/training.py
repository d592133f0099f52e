"""The optimizer steps of a case, and the optimizers of the originals."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from evclip_jax.config import schema
from evclip_jax.training import optimizer as optim
from evclip_jax.training.params import merge, split
from tests.parity.draw import Case, field

Found = tuple[dict[str, Any], dict[str, Any]]


class Steps:
  """A method on drawn weights, and the gradient of its loss."""

  def __init__(self, method, tree, pixels, labels, tokens, given=None,
               video=None):
    """Splits the tree; `gradient` is compiled on its first call.

    Args:
      method: the real one.
      tree: all weights.
      pixels: normalised clips.
      labels: [B].
      tokens: [K, L], texts of the classes that are scored.
      given: [M, K, L] for the loss of a method whose texts train.
      video: in place of `method.video`.
    """
    self.trainable, frozen = split(tree, method.trainable)
    self._frozen = jax.device_put(frozen)
    batch = {'label': labels, 'mask': np.ones(labels.shape, np.float32)}
    video = video or method.video
    given = tokens[None] if given is None else given

    def objective(trainable, frozen, pixels):
      tree = merge(frozen, trainable)
      features = video(tree, pixels, None, True)
      bank = method.text(tree, tokens[None])
      classes = given if method.text_trains else bank
      total, parts = method.loss(tree, features, classes, batch, None)
      return total, parts | {
          'total': total,
          'features': features,
          'text_features': bank[0],
          'logits': method.score(tree, features, bank, batch),
      }

    run = jax.jit(jax.grad(objective, has_aux=True))

    def gradient(trainable):
      grads, found = run(trainable, self._frozen, pixels)
      return found, grads

    self.gradient = gradient


def trajectory(
    case: Case,
    trainable: dict[str, Any],
    gradient: Callable[[dict[str, Any]], Found],
    first: Found,
    no_decay: tuple[str, ...] = (),
) -> np.ndarray:
  """Returns the loss before each of the case's optimizer steps.

  Args:
    case: with a section 'adamw' or 'adam'.
    trainable: the leaves before the first step.
    gradient: trainable -> (found, grads); found['total'] is the loss.
    first: what it gave for them.
    no_decay: patterns of leaves without weight decay.
  """
  optimizer, steps = _optimizer(case, no_decay)
  state = optimizer.init(trainable)

  @jax.jit
  def update(grads, state, trainable):
    updates, state = optimizer.update(grads, state, trainable)
    return optax.apply_updates(trainable, updates), state

  (found, grads), losses = first, []
  for number in range(steps):
    if number:
      trainable, state = update(grads, state, trainable)
      found, grads = gradient(trainable)
    losses.append(found['total'])
  return np.stack(losses)


def _optimizer(case: Case, no_decay: tuple[str, ...]):
  name = 'adam' if 'adam' in case.manifest else 'adamw'
  recipe = case.field(name, dict)
  decay = {'adam': 'l2', 'adamw': 'weight_decay'}[name]
  rate, b1, b2, eps, share = (
      float(field(recipe, key, (int, float)))
      for key in ('lr', 'b1', 'b2', 'eps', decay)
  )
  config = schema.base().optimizer
  config.update(b1=b1, b2=b2, eps=eps, weight_decay=share, no_decay=no_decay)
  config.name = {'adam': 'adam_l2', 'adamw': 'adamw'}[name]
  return optim.make_optimizer(config, rate), field(recipe, 'steps', int)
