"""Optimizers and learning rates; the one place of epochs -> steps."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

import jax.numpy as jnp
import ml_collections
import optax

from data_pipelines.errors import UserError
from evclip_jax.reporting import log

# (step, which counts from 0) -> learning rate.
Schedule = Callable[[jnp.ndarray], jnp.ndarray]


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Schedule
) -> optax.GradientTransformation:
  """Returns the optimizer of `config.optimizer`."""
  c, make = config, {'adamw': adamw, 'adam_l2': adam_l2}[config.name]
  optimizer = make(schedule, c.b1, c.b2, c.eps, c.weight_decay, c.no_decay)
  if not config.clip_norm:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def check(config: ml_collections.ConfigDict):
  """Raises UserError if the stairs of `config.optimizer` do not fit."""
  starts, rates = tuple(config.stair_epochs), tuple(config.stair_rates)
  if config.schedule == 'relative_steps' and (
      len(starts) != len(rates) or starts[:1] != (0,)
  ):
    raise UserError(
        f'optimizer.stair_epochs={starts} and optimizer.stair_rates={rates}: '
        'wanted as many of each, the first epoch 0.'
    )


def make_schedule(
    config: ml_collections.ConfigDict, epochs: int, steps_per_epoch: int
) -> Schedule:
  """Returns the schedule of `config.optimizer` in steps.

  A warm-up longer than the training shrinks, with a note.
  """
  warmup = config.warmup_epochs
  # The cosine after a linear warm-up needs an epoch of its own.
  longest = epochs - 1 if config.schedule == 'warmup_cosine' else epochs
  if warmup > longest:
    log.log(
        f'note: optimizer.warmup_epochs={warmup} becomes {longest}, as '
        f'train.epochs={epochs}.'
    )
    warmup = longest
  rate, low = config.learning_rate, config.warmup_learning_rate
  if config.schedule == 'delayed_cosine':
    return delayed_cosine(rate, epochs, warmup, low, steps_per_epoch)
  if config.schedule == 'warmup_cosine':
    every = config.rate_every_steps
    return warmup_cosine(rate, epochs, warmup, steps_per_epoch, every)
  return relative_steps(
      rate,
      warmup,
      low,
      config.stair_epochs,
      config.stair_rates,
      config.iterations_per_epoch
      or config.iterations_per_step * steps_per_epoch,
      config.epochs_count_twice,
      config.iterations_per_step,
  )


def adamw(
    learning_rate: float | Schedule,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    no_decay: Iterable[str] = (),
) -> optax.GradientTransformation:
  """Returns AdamW, whose decay is apart from the gradient.

  The decay acts on every leaf, scalars and norms included, but those whose path
  matches a pattern of `no_decay` in full.

  Source: EV-CLIP, dassl/optim/optimizer.py (torch.optim.AdamW, one group).
  Differs: none.
  """
  decay = {'weight_decay': weight_decay, 'mask': _decayed(no_decay)}
  return optax.adamw(learning_rate, b1, b2, eps, **decay)


def adam_l2(
    learning_rate: float | Schedule,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    no_decay: Iterable[str] = (),
) -> optax.GradientTransformation:
  """Returns Adam with L2: the decay is part of the gradient.

  Source: CLIP-FSAR, models/utils/optimizer.py (torch.optim.Adam).
  Differs: none.
  """
  return optax.chain(
      optax.add_decayed_weights(weight_decay, _decayed(no_decay)),
      optax.adam(learning_rate, b1, b2, eps),
  )


def delayed_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: int,
    warmup_learning_rate: float,
    steps_per_epoch: int,
) -> Schedule:
  """Returns a constant warm-up, then a cosine that starts late and is cut off.

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


def warmup_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: int,
    steps_per_epoch: int,
    every_steps: int = 1,
) -> Schedule:
  """Returns a line up from zero, then half a cosine down to zero.

  With x the epochs done (a fraction within an epoch), W the warm-up (less than
  M) and M all epochs: x < W gives learning_rate * x / W, later
  learning_rate * (1 + cos(pi * (x - W) / (M - W))) / 2.

  With every_steps = n > 1 the rate is set at the first step of an epoch and at
  every n-th one (the steps n - 1, 2 n - 1, ... of the epoch) and stays in
  between; the original has 10.

  Source: EZ-CLIP, utils/lr_scheduler.py, WarmupCosineAnnealingLR, and
    train.py, which calls it at every tenth iteration.
  Differs: none with every_steps=10.
  """

  def schedule(step):
    epoch, k = step // steps_per_epoch, step % steps_per_epoch
    last = (k + 1) // every_steps * every_steps - 1
    x = epoch + jnp.maximum(last, 0) / steps_per_epoch
    up = x / max(warmup_epochs, 1)
    part = jnp.minimum((x - warmup_epochs) / (epochs - warmup_epochs), 1)
    down = 0.5 * (1 + jnp.cos(math.pi * part))
    rate = learning_rate * jnp.where(x < warmup_epochs, up, down)
    return rate.astype(jnp.float32)

  return schedule


def relative_steps(
    learning_rate: float,
    warmup_epochs: int,
    warmup_learning_rate: float,
    starts: Sequence[int],
    rates: Sequence[float],
    steps_per_epoch: int,
    epochs_count_twice: bool = False,
    iterations_per_step: int = 1,
) -> Schedule:
  """Returns a line up to the base rate, then stairs of given heights.

  With x the epochs done (a fraction within an epoch) and W the warm-up:
  x < W gives warmup_learning_rate + x / W * (learning_rate * rates[0] -
  warmup_learning_rate); later learning_rate * rates[j] with j the last one
  whose starts[j] <= x.

  Args:
    learning_rate, warmup_epochs, warmup_learning_rate: as above; W may be 0.
    starts, rates: epochs at which the stairs begin, the first 0; their heights.
    steps_per_epoch: steps of one epoch; with iterations_per_step, iterations.
    epochs_count_twice: x is floor(step / steps_per_epoch) more than it should
      be, as in the original, whose stairs therefore come early.
    iterations_per_step: how many iterations a step stands for; the rate is that
      of the last one. The original gathers the gradients of 4 iterations, sets
      the rate at each, and then makes its step.

  Source: CLIP-FSAR, models/utils/lr_policy.py, steps_with_relative_lrs, and
    runs/train_net_few_shot.py.
  Differs: none with epochs_count_twice.
  """

  def schedule(step):
    last = iterations_per_step * (step + 1) - 1
    whole, rest = last // steps_per_epoch, last % steps_per_epoch
    # Not a quotient, which rounding may leave below the start of a stair.
    x = whole * (2 if epochs_count_twice else 1) + rest / steps_per_epoch
    stair = (x[..., None] >= jnp.array(starts)).sum(-1) - 1
    height = learning_rate * jnp.array(rates)[stair]
    top = learning_rate * rates[0]
    share = x / max(warmup_epochs, 1)
    up = warmup_learning_rate + share * (top - warmup_learning_rate)
    return jnp.where(x < warmup_epochs, up, height).astype(jnp.float32)

  return lambda step: schedule(jnp.asarray(step))


def _decayed(no_decay: Iterable[str]) -> Callable:
  """Says of each path of a flat dict whether it decays."""
  patterns = [re.compile(p) for p in no_decay]
  return lambda leaves: {
      path: not any(p.fullmatch(path) for p in patterns) for path in leaves
  }
