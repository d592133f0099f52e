"""Optimizer and learning-rate schedule; the one place of epochs -> steps."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import ml_collections
import optax

from evclip_jax.errors import UserError


def delayed_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: int,
    warmup_learning_rate: float,
    steps_per_epoch: int,
) -> Callable:
  """A constant warm-up, then a cosine that starts late and is cut off.

  The rate is constant within an epoch. With e the 0-based epoch, W the warm-up
  and M all epochs: e < W gives the warm-up rate, later epochs
  learning_rate * (1 + cos(pi * (e - W) / M)) / 2, so the cosine has period M
  and ends just above zero.

  Source: EV-CLIP, dassl/optim/lr_scheduler.py, ConstantWarmupScheduler.
  Differs: none.
  """

  def schedule(step):
    epoch = step // steps_per_epoch
    cosine = 0.5 * (1 + jnp.cos(math.pi * (epoch - warmup_epochs) / epochs))
    return jnp.where(
        epoch < warmup_epochs, warmup_learning_rate, learning_rate * cosine
    ).astype(jnp.float32)

  return schedule


def adamw(
    learning_rate: float | Callable,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
) -> optax.GradientTransformation:
  """AdamW with decay on everything that trains, scalars and norms included.

  Source: EV-CLIP, dassl/optim/optimizer.py (torch.optim.AdamW, one group).
  Differs: none.
  """
  return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay)


def make_schedule(
    config: ml_collections.ConfigDict, epochs: int, steps_per_epoch: int
) -> Callable:
  """The schedule of `config.optimizer` in steps."""
  if config.warmup_epochs > epochs:
    raise UserError(
        f'optimizer.warmup_epochs={config.warmup_epochs} is more than '
        f'train.epochs={epochs}.'
    )
  return delayed_cosine(
      config.learning_rate,
      epochs,
      config.warmup_epochs,
      config.warmup_learning_rate,
      steps_per_epoch,
  )


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Callable
) -> optax.GradientTransformation:
  """The optimizer of `config.optimizer`."""
  return adamw(
      schedule, config.b1, config.b2, config.eps, config.weight_decay
  )
