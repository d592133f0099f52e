"""Makes optimizers and learning rate schedules; converts epochs to steps."""

import math
import re
from collections.abc import Callable

import jax.numpy as jnp
import ml_collections
import optax

from evclip_jax.reporting import log

# Step, from 0 -> learning rate.
Schedule = Callable[[jnp.ndarray], jnp.ndarray]


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Schedule
) -> optax.GradientTransformation:
  """Makes the optimizer that `config.optimizer` describes.

  The weight decay is decoupled ('adamw') or added to the gradient ('adam_l2').
  It acts on every leaf, including scalars and norms, except those whose whole
  path matches a pattern of no_decay.

  Source: EV-CLIP, dassl/optim/optimizer.py (torch.optim.AdamW, one group);
    CLIP-FSAR, models/utils/optimizer.py (torch.optim.Adam).
  Differs: none.
  """
  patterns = [re.compile(p) for p in config.no_decay]

  def decayed(leaves):
    return {
        path: not any(p.fullmatch(path) for p in patterns) for path in leaves
    }

  adam = schedule, config.b1, config.b2, config.eps
  decay = {'weight_decay': config.weight_decay, 'mask': decayed}
  parts = [optax.clip_by_global_norm(config.clip_norm)] * bool(config.clip_norm)
  if config.name == 'adamw':
    parts.append(optax.adamw(*adam, **decay))
  else:
    parts.append(
        optax.chain(optax.add_decayed_weights(**decay), optax.adam(*adam))
    )
  return optax.chain(*parts) if parts[1:] else parts[0]


def note_warmup(config: ml_collections.ConfigDict, epochs: int):
  """Logs that a warm-up of `config.optimizer` is longer than the training."""
  longest = _longest_warmup(config, epochs)
  if config.warmup_epochs > longest:
    log.log(
        f'note: optimizer.warmup_epochs={config.warmup_epochs} becomes '
        f'{longest}, as train.epochs={epochs}.'
    )


def _longest_warmup(config, epochs: int) -> int:
  # The cosine after a linear warm-up needs an epoch of its own.
  return epochs - 1 if config.schedule == 'warmup_cosine' else epochs


def make_schedule(
    config: ml_collections.ConfigDict, epochs: int, steps_per_epoch: int
) -> Schedule:
  """Makes the schedule that `config.optimizer` describes, in steps.

  A warm-up longer than the training is shortened.
  """
  warmup = min(config.warmup_epochs, _longest_warmup(config, epochs))
  make = {
      'delayed_cosine': _delayed_cosine,
      'warmup_cosine': _warmup_cosine,
      'relative_steps': _relative_steps,
  }[config.schedule]
  return make(config, epochs, warmup, steps_per_epoch)


def _delayed_cosine(config, epochs, warmup, steps_per_epoch) -> Schedule:
  """Makes a constant warm-up, then a cosine that starts late and is cut off.

  The rate is constant within an epoch. With e the epoch from 0, W the warm-up
  epochs and M all epochs: e < W gives the warm-up rate, later epochs
  learning_rate * (1 + cos(pi * (e - W) / M)) / 2. This would reach zero after M
  epochs, of which the last W are cut off: it ends just above zero.

  Source: EV-CLIP, dassl/optim/lr_scheduler.py, ConstantWarmupScheduler.
  Differs: none.
  """
  rate, low = config.learning_rate, config.warmup_learning_rate

  def schedule(step):
    epoch = step // steps_per_epoch
    cosine = 0.5 * (1 + jnp.cos(math.pi * (epoch - warmup) / epochs))
    return jnp.where(epoch < warmup, low, rate * cosine).astype(jnp.float32)

  return schedule


def _warmup_cosine(config, epochs, warmup, steps_per_epoch) -> Schedule:
  """Makes a linear warm-up from zero, then half a cosine down to zero.

  With x the epochs done (fractional within an epoch), W the warm-up epochs and
  M > W all epochs: x < W gives learning_rate * x / W, later
  learning_rate * (1 + cos(pi * (x - W) / (M - W))) / 2.

  With rate_every_steps = n > 1 the rate changes only at the first step of an
  epoch and at every n-th one (steps n - 1, 2 n - 1, ... of the epoch); n is 10
  in the original.

  Source: EZ-CLIP, utils/lr_scheduler.py, WarmupCosineAnnealingLR, and
    train.py, which calls it at every tenth iteration.
  Differs: none with rate_every_steps=10.
  """
  every = config.rate_every_steps

  def schedule(step):
    epoch, k = step // steps_per_epoch, step % steps_per_epoch
    last = (k + 1) // every * every - 1
    x = epoch + jnp.maximum(last, 0) / steps_per_epoch
    up = x / max(warmup, 1)
    part = jnp.minimum((x - warmup) / (epochs - warmup), 1)
    down = 0.5 * (1 + jnp.cos(math.pi * part))
    rate = config.learning_rate * jnp.where(x < warmup, up, down)
    return rate.astype(jnp.float32)

  return schedule


def _relative_steps(config, epochs, warmup, steps_per_epoch) -> Schedule:
  """Makes a linear warm-up to the base rate, then stairs of given heights.

  With x the epochs done (fractional within an epoch) and W the warm-up epochs
  (0 is allowed): x < W gives warmup_learning_rate + x / W * (learning_rate *
  stair_rates[0] - warmup_learning_rate); later learning_rate * stair_rates[j]
  with the last j whose stair_epochs[j] <= x.

  With epochs_count_twice, x is floor(x) too large, as in the original, whose
  stairs therefore come early. A step counts as iterations_per_step iterations
  and has the rate of the last one: the original sets the rate in each of 4
  iterations, accumulates their gradients, and then makes one step.

  Source: CLIP-FSAR, models/utils/lr_policy.py, steps_with_relative_lrs, and
    runs/train_net_few_shot.py.
  Differs: none with epochs_count_twice.
  """
  del epochs
  each = config.iterations_per_step
  per_epoch = config.iterations_per_epoch or each * steps_per_epoch
  base, low = config.learning_rate, config.warmup_learning_rate
  starts, rates = tuple(config.stair_epochs), tuple(config.stair_rates)

  def schedule(step):
    last = each * (jnp.asarray(step) + 1) - 1
    whole, rest = last // per_epoch, last % per_epoch
    # A quotient could be rounded to just below the start of a stair.
    x = whole * (2 if config.epochs_count_twice else 1) + rest / per_epoch
    stair = (x[..., None] >= jnp.array(starts)).sum(-1) - 1
    height = base * jnp.array(rates)[stair]
    up = low + x / max(warmup, 1) * (base * rates[0] - low)
    return jnp.where(x < warmup, up, height).astype(jnp.float32)

  return schedule
