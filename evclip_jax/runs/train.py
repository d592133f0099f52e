"""Runs the training loop, from top to bottom."""

import contextlib
import copy
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import ml_collections
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.evaluation import bank, run_card
from evclip_jax.reporting import log
from evclip_jax.runs import folder
from evclip_jax.runs.stopping import Stoppable, Stopped, Stopping
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import costs, devices, params, session
from evclip_jax.training.checkpoints import Checkpoints


def check_batch(
    config: ml_collections.ConfigDict, run: session.Session, data: Any
):
  """Raises UserError if a batch does not divide over devices and parts."""
  devices.check_batch_size(run.mesh, data.batch_size, data.batch_key)
  parts, share = config.train.accumulate, data.batch_size // run.mesh.size
  if parts > 1 and not run.method.loss_is_a_mean:
    raise UserError(
        f'train.accumulate={parts}: the loss of {config.method.name!r} depends '
        'on the clips of a batch together. Use 1, or a smaller batch_size.'
    )
  if share % parts:
    raise UserError(
        f'train.accumulate={parts} does not divide the {share} rows of a batch '
        'that each device holds.'
    )


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    run: session.Session,
    data: Any,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
  """Trains a method, or resumes its training, and returns the run card.

  `about` has more entries for the card; of a training that is taken over
  (`learning_rate.choose`), 'rate' has the costs.

  Raises:
    UserError: a loss that is not finite, or a checkpoint that does not fit or
      cannot be written.
    Stopped: SIGTERM or Ctrl-C came; the state is saved.
  """
  started = time.time()
  log.log(params.table(run.trainable, run.frozen))

  # ---- optimizer and state --------------------------------------------------
  total_steps = data.total_steps
  parts = config.train.accumulate
  optimizer, train_step = run.train_step(config, data.steps_per_epoch, parts)
  train_step = costs.Measured(train_step, parts=parts)
  now = run.state(optimizer)
  checkpoints = Checkpoints(workdir, run.hashes)
  now = checkpoints.restore('last', now) or now
  first_step = int(now.step)
  best = (checkpoints.meta('best') or {}).get('metric')
  metrics_log = log.MetricsLog(workdir, first_step)
  if first_step:
    log.log(f'continuing after step {first_step} of {total_steps}')

  # ---- functions ------------------------------------------------------------
  texts = run.texts(now.weights)
  select = run_card.selection(config.train.select, data.evals)
  stopping = Stopping(total_steps)
  data = copy.copy(data)
  data.evals = {n: Stoppable(e, stopping) for n, e in data.evals.items()}
  watched = run_card.watched(select, data.evals)

  def score(done: int):
    """Scores the watched lists, and saves the state if it is the best."""
    nonlocal best
    found = {
        name: run_card.evaluate_list(run, now.weights, listed)
        for name, listed in watched.items()
    }
    # Write all or none, as an evaluation that was stopped is repeated.
    for name, (summary, details) in found.items():
      metrics_log.add(done, name, **summary)
      classes = len(details['class_names'])
      log.log(run_card.one_line(f'step {done} {name}', summary, classes))
    metric = np.mean([summary['top1'] for summary, _ in found.values()] or [0])
    if select.startswith('best') and (best is None or metric > best):
      best = metric
      checkpoints.save('best', now, {'metric': float(metric)})

  # ---- loop -----------------------------------------------------------------
  bar = log.progress(total_steps, 'train', first_step, 'step')
  pending = None
  stats = {}
  with stopping, contextlib.ExitStack() as stack:
    stack.enter_context(bar)
    if (checkpoints.meta('last') or {}).get('unscored'):
      stopping.step = first_step
      score(first_step)
      checkpoints.save('last', now, {})
    if first_step < total_steps:
      log.log('compiling the training step; the first step takes longer')
      batches = stack.enter_context(_open(config, run, data, first_step))
    for done in range(first_step + 1, total_steps + 1):
      batch = next(batches)
      if done == first_step + 1:
        batch_lib.check(batch, config.data.num_frames, len(data.class_names))
      batch = devices.put_batch(run.mesh, batch)
      now, metrics = train_step(now, run.frozen, texts, batch)
      # Read the previous step's numbers, so that the device stays busy.
      _record(pending, metrics_log, config, bar, batches)
      pending = (done, metrics)

      last, stopping.step = done == total_steps, done
      is_eval = not last and done % data.eval_every_steps == 0
      is_stop = stopping.reached() and not last
      is_save = last or is_stop or done % data.checkpoint_every_steps == 0
      if is_eval or is_save:
        _record(pending, metrics_log, config, bar, batches)
        pending = None
      if is_eval or (last and select.startswith('best')):
        try:
          score(done)
        except Stopped:
          checkpoints.save('last', now, {'unscored': True})
          raise
      if is_save:
        checkpoints.save('last', now, {})
      if is_stop:
        stopping.stop()
    if first_step < total_steps:
      stats = batches.stats()
    stack.close()

    # ---- report -------------------------------------------------------------
    about, earlier = about or {}, {}
    if (workdir / 'run_card.json').exists():
      earlier = folder.load_card(workdir).get('costs', {}).get('train') or {}
    earlier = about.get('rate', {}).get('costs') or earlier
    states = checkpoints.reported(select, (int(now.step), now.weights))
    card, shown = run_card.report(
        config, workdir, run, data, states, int(now.step), metrics_log
    )
  metrics_log.close()
  card['costs']['train'] = train_step.costs() or earlier
  if config.train.bank_views:
    views = data.fixed_views()
    own = bank.of_list(run, views, config.seed)
    card['bank'] = own.about(config.train.bank_views)
  card |= {
      'learning_rate': config.optimizer.learning_rate,
      'wall_seconds': round(time.time() - started, 1),
      'loader': stats,
      **about,
  }
  run_card.write(workdir, card, shown)
  return card


@contextlib.contextmanager
def _open(config, run, data, first_step) -> Iterator[Any]:
  """Opens the training batches: pixels, or cached features of fixed views."""
  if config.train.bank_views:
    views = data.fixed_views()
    own = bank.of_list(run, views, config.seed)
    yield _FromBank(own, views.train(first_step))
    return
  with data.train(first_step) as batches:
    yield batches


class _FromBank:
  """Yields training batches with 'frozen' features in place of 'video'."""

  def __init__(self, features: bank.Bank, batches: Iterator[dict[str, Any]]):
    self._features, self._batches = features, batches
    self._given, self._started = 0, time.perf_counter()

  def __next__(self) -> dict[str, Any]:
    batch = next(self._batches)
    clips = batch.pop('clips')
    self._given += clips.size
    return batch | {'frozen': self._features.rows(clips)}

  def stats(self) -> dict[str, float]:
    """Returns what `Batches.stats` does; features are never waited for."""
    passed = time.perf_counter() - self._started
    return {'clips_per_second': self._given / passed, 'wait_seconds': 0.0}


def _record(pending, metrics_log, config, bar, batches):
  """Logs the numbers of a finished step, if any; UserError if not finite."""
  if pending is None:
    return
  done, metrics = pending
  metrics = jax.device_get(metrics)
  finite = metrics.pop('finite')
  if bad := [name for name, ok in finite.items() if not ok]:
    # The first one computed; the terms of the loss come before these.
    last_first = ('update of', 'gradient of', 'gradient_norm', 'loss')
    first = min(bad, key=lambda name: [*map(name.startswith, last_first)])
    value = f' ({float(metrics[first])})' if first in metrics else ''
    raise UserError(
        f'training stopped at step {done}: the {first} is not finite{value}.\n'
        '  The last checkpoint is intact. Lower optimizer.learning_rate, or '
        'use compute.dtype=float32.'
    )
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
