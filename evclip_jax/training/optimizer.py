"""Optimizer and schedule from a config; the one place of epochs -> steps."""

import re
from collections.abc import Callable, Iterable

import ml_collections
import optax

from data_pipelines.errors import UserError
from evclip_jax.training import schedules


def adamw(
    learning_rate: float | Callable,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    no_decay: Iterable[str] = (),
) -> optax.GradientTransformation:
  """AdamW: the decay is apart from the gradient.

  Args:
    learning_rate: a number or a schedule.
    b1, b2, eps: of Adam.
    weight_decay: on every leaf, scalars and norms included, but
    no_decay: patterns of paths, matched in full.

  Source: EV-CLIP, dassl/optim/optimizer.py (torch.optim.AdamW, one group).
  Differs: none.
  """
  return optax.adamw(
      learning_rate,
      b1,
      b2,
      eps,
      weight_decay=weight_decay,
      mask=_decayed(no_decay),
  )


def adam_l2(
    learning_rate: float | Callable,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    no_decay: Iterable[str] = (),
) -> optax.GradientTransformation:
  """Adam with L2: the decay is part of the gradient, before the moments.

  Args:
    learning_rate, b1, b2, eps, weight_decay, no_decay: see `adamw`.

  Source: CLIP-FSAR, models/utils/optimizer.py (torch.optim.Adam).
  Differs: none.
  """
  return optax.chain(
      optax.add_decayed_weights(weight_decay, _decayed(no_decay)),
      optax.adam(learning_rate, b1, b2, eps),
  )


_OPTIMIZERS = {'adamw': adamw, 'adam_l2': adam_l2}


def make_schedule(
    config: ml_collections.ConfigDict, epochs: int, steps_per_epoch: int
) -> Callable:
  """The schedule of `config.optimizer` in steps.

  Raises:
    UserError: an unknown schedule, or numbers that do not go together.
  """
  warmup = config.warmup_epochs
  if warmup > epochs:
    raise UserError(
        f'optimizer.warmup_epochs={warmup} is more than '
        f'train.epochs={epochs}.'
    )
  if config.schedule == 'delayed_cosine':
    return schedules.delayed_cosine(
        config.learning_rate,
        epochs,
        warmup,
        config.warmup_learning_rate,
        steps_per_epoch,
    )
  if config.schedule == 'warmup_cosine':
    if warmup == epochs:
      raise UserError(
          f'optimizer.warmup_epochs={warmup} leaves nothing of '
          f'train.epochs={epochs} for the cosine.'
      )
    return schedules.warmup_cosine(
        config.learning_rate,
        epochs,
        warmup,
        steps_per_epoch,
        config.rate_every_steps,
    )
  if config.schedule == 'relative_steps':
    starts, rates = config.stair_epochs, config.stair_rates
    if len(starts) != len(rates) or not starts or starts[0] != 0:
      raise UserError(
          f'optimizer.stair_epochs={tuple(starts)} and optimizer.stair_rates='
          f'{tuple(rates)}: wanted as many of each, the first epoch 0.'
      )
    return schedules.relative_steps(
        config.learning_rate,
        warmup,
        config.warmup_learning_rate,
        starts,
        rates,
        config.iterations_per_epoch
        or config.iterations_per_step * steps_per_epoch,
        config.epochs_count_twice,
        config.iterations_per_step,
    )
  raise UserError(
      f'optimizer.schedule={config.schedule!r}: use delayed_cosine, '
      'warmup_cosine or relative_steps.'
  )


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Callable
) -> optax.GradientTransformation:
  """The optimizer of `config.optimizer`.

  Raises:
    UserError: an unknown optimizer.
  """
  if config.name not in _OPTIMIZERS:
    raise UserError(
        f'optimizer.name={config.name!r}: use one of '
        f'{", ".join(_OPTIMIZERS)}.'
    )
  optimizer = _OPTIMIZERS[config.name](
      schedule,
      config.b1,
      config.b2,
      config.eps,
      config.weight_decay,
      config.no_decay,
  )
  if not config.clip_norm:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _decayed(no_decay: Iterable[str]) -> Callable:
  """Says of each path of a flat dict whether it decays."""
  patterns = [re.compile(p) for p in no_decay]
  return lambda leaves: {
      path: not any(p.fullmatch(path) for p in patterns) for path in leaves
  }
