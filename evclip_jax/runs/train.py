"""The training loop, top to bottom."""

import contextlib
import pathlib
import time
from typing import Any

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import devices, params, session, steps
from evclip_jax.training import optimizer as optim
from evclip_jax.training.checkpoints import Checkpoints


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    model: session.Model,
    data: Any,
) -> dict[str, Any]:
  """Trains a method, or continues where an earlier sitting stopped.

  Args:
    config: a locked config.
    workdir: the run folder, prepared by `folder.prepare`.
    model: the method with its weights.
    data: the data pipeline.

  Returns:
    The run card: final metrics per test list, hashes, counts, times.

  Raises:
    UserError: a loss that is not finite, a checkpoint that cannot be written
      or does not fit.
  """
  started = time.time()

  # ---- devices and weights --------------------------------------------------
  run = session.start(config, model, data.class_names)
  log.log(params.table(run.trainable, run.frozen))

  # ---- optimizer and state --------------------------------------------------
  total_steps = data.total_steps
  schedule = optim.make_schedule(
      config.optimizer, config.train.epochs, data.steps_per_epoch
  )
  optimizer = optim.make_optimizer(config.optimizer, schedule)
  now = run.state(optimizer)
  checkpoints = Checkpoints(workdir, model.hashes)
  now = checkpoints.restore('last', now) or now
  first_step = int(now.step)
  best = (checkpoints.meta('best') or {}).get('metric')
  metrics_log = log.MetricsLog(workdir, first_step, write=log.is_first())
  if first_step:
    log.log(f'continuing after step {first_step} of {total_steps}')

  # ---- functions ------------------------------------------------------------
  train_step = steps.make_train_step(
      model.method,
      optimizer,
      schedule,
      run.mesh,
      run.shardings,
      config.seed,
      config.train.accumulate,
  )
  classes = None if model.method.text_trains else run.classes(now.weights)
  tokens = devices.put(run.mesh, run.tokens)
  select = run_card.selection(config.train.select, data.evals)
  watched = run_card.watched(select, data.evals)

  # ---- loop -----------------------------------------------------------------
  bar = log.progress(total_steps, 'train', first_step, 'step')
  pending = None
  stats = {}
  with bar, contextlib.ExitStack() as stack:
    if first_step < total_steps:
      batches = stack.enter_context(data.train(first_step))
    for done in range(first_step + 1, total_steps + 1):
      batch = next(batches)
      if done == first_step + 1:
        batch_lib.check(batch, config.data.num_frames, len(data.class_names))
      now, metrics = train_step(
          now,
          run.frozen,
          tokens if classes is None else classes,
          devices.put_batch(run.mesh, batch),
      )
      # Looking at the numbers of the step before keeps the device busy.
      _record(pending, metrics_log, config, bar, batches)
      pending = (done, metrics)

      last = done == total_steps
      is_eval = not last and done % data.eval_every_steps == 0
      is_save = last or done % data.checkpoint_every_steps == 0
      if is_eval or is_save:
        _record(pending, metrics_log, config, bar, batches)
        pending = None
      if is_eval or (last and select.startswith('best')):
        metric = _watch(run, now, watched, metrics_log, done)
        if select.startswith('best') and (best is None or metric > best):
          best = metric
          checkpoints.save('best', now, {'metric': metric})
      if is_save:
        checkpoints.save('last', now, {})
    if first_step < total_steps:
      stats = batches.stats()

  # ---- report ---------------------------------------------------------------
  states = {'last': (int(now.step), now.weights)}
  if select.startswith('best'):
    best_step = checkpoints.latest('best')
    best = checkpoints.weights('best', now.weights)
    states = {select: (best_step, best)} | states
  checkpoints.close()
  card, shown = run_card.report(
      config, workdir, run, data, states, int(now.step), metrics_log
  )
  metrics_log.close()
  card['wall_seconds'] = round(time.time() - started, 1)
  card['loader'] = stats
  run_card.write(workdir, card, shown)
  return card


def _record(pending, metrics_log, config, bar, batches):
  """Checks and writes the numbers of a finished step."""
  if pending is None:
    return
  done, metrics = pending
  metrics = jax.device_get(metrics)
  _check_finite(done, metrics, metrics.pop('finite'))
  values = {name: float(value) for name, value in metrics.items()}
  if done % config.train.log_every_steps == 0:
    metrics_log.add(done, 'train', **values)
  bar.update(1)
  stats = batches.stats()
  bar.set_postfix_str(
      f'loss {values["loss"]:.3f}, {stats["clips_per_second"]:.1f} clips/s, '
      f'waited {stats["wait_seconds"]:.0f}s',
      refresh=False,
  )


def _check_finite(done, metrics, finite):
  """Raises UserError with the first quantity of a step that went wrong."""
  bad = [name for name, ok in finite.items() if not ok]
  if not bad:
    return
  # In the order of the computation: parts of the loss, the loss, gradients,
  # updates.
  order = ('loss', 'gradient_norm', 'gradient of', 'update of')
  first = min(
      bad,
      key=lambda name: next(
          (i for i, o in enumerate(order, 1) if name.startswith(o)), 0
      ),
  )
  value = f' ({float(metrics[first])})' if first in metrics else ''
  raise UserError(
      f'training stopped at step {done}: the {first} is not finite{value}.\n'
      '  The last checkpoint is intact. Lower optimizer.learning_rate, or use '
      'compute.dtype=float32.'
  )


def _watch(run, now, watched, metrics_log, done) -> float:
  """Evaluates on the watched lists; returns the mean top-1."""
  top1, weights = [], now.weights
  for name, data in watched.items():
    summary, _ = run_card.evaluate_list(run, weights, data)
    metrics_log.add(done, name, **summary)
    log.log(run_card.one_line(f'step {done} {name}', summary))
    top1.append(summary['top1'])
  return sum(top1) / len(top1) if top1 else 0.0
