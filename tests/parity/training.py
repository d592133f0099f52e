"""The optimizer steps of a case, and the optimizers of the originals."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from evclip_jax.training import optimizer as optim
from tests.parity.draw import Case, field

Found = tuple[dict[str, Any], dict[str, Any]]


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
  numbers = [
      float(field(recipe, key, (int, float)))
      for key in ('lr', 'b1', 'b2', 'eps', decay)
  ]
  make = {'adam': optim.adam_l2, 'adamw': optim.adamw}[name]
  return make(*numbers, no_decay), field(recipe, 'steps', int)
