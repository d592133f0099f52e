"""The training loop, top to bottom."""

import contextlib
import os
import pathlib
import signal
import threading
import time
from typing import Any

import jax
import ml_collections
from jax.experimental import multihost_utils

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
    Stopped: SIGTERM or Ctrl-C came; the state is saved.
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
      log.log('compiling the training step; the first step takes longer')
      stopping = stack.enter_context(_Stopping())
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
      is_stop = stopping.reached(done) and not last
      is_save = last or is_stop or done % data.checkpoint_every_steps == 0
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
      if is_stop:
        raise Stopped(
            stopping.signal,
            f'stopped after step {done} of {total_steps}; it is saved. '
            'Continue with the same command.',
        )
    if first_step < total_steps:
      stats = batches.stats()

  # ---- report ---------------------------------------------------------------
  states = {'last': (int(now.step), now.weights)}
  if select.startswith('best') and checkpoints.latest('best') is not None:
    weights = checkpoints.weights('best', now.weights)
    states = {select: (checkpoints.latest('best'), weights)} | states
  card, shown = run_card.report(
      config, workdir, run, data, states, int(now.step), metrics_log
  )
  metrics_log.close()
  card |= {
      'wall_seconds': round(time.time() - started, 1),
      'loader': stats,
  }
  run_card.write(workdir, card, shown)
  return card


class Stopped(KeyboardInterrupt):
  """The run was asked to stop, and did when its state was saved.

  Attributes:
    status: for the shell, 128 and the number of the signal.
  """

  def __init__(self, number: int, message: str):
    super().__init__(message)
    self.status = 128 + number


class _Stopping:
  """Notes the first SIGTERM or Ctrl-C; the second one ends at once."""

  def __enter__(self):
    self.signal = None
    self._previous = {}
    # Several processes stop together: JAX notes SIGTERM for them. Other
    # threads than the main one cannot ask for signals.
    self._several = jax.process_count() > 1
    main = threading.current_thread() is threading.main_thread()
    if main and not self._several:
      for number in (signal.SIGTERM, signal.SIGINT):
        self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *unused):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def reached(self, step: int) -> bool:
    """Says whether to stop after this step."""
    if self._several:
      self.signal = signal.SIGTERM
      return multihost_utils.reached_preemption_sync_point(step)
    return self.signal is not None

  def _note(self, number, frame):
    self.signal = number
    # Not by print, which may just be at work.
    os.write(2, b'\nstopping after this step; once more ends at once\n')
    for number in self._previous:
      signal.signal(number, signal.SIG_DFL)


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
    summary, details = run_card.evaluate_list(run, weights, data)
    metrics_log.add(done, name, **summary)
    classes = len(details['class_names'])
    log.log(run_card.one_line(f'step {done} {name}', summary, classes))
    top1.append(summary['top1'])
  return sum(top1) / len(top1) if top1 else 0.0
