"""Scores a list in episodes: accuracy with its interval, exact when resumed."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, Protocol

import jax
import numpy as np

from evclip_jax.evaluation import episode_step, scores
from evclip_jax.evaluation.unfinished import Arrays, Unfinished
from evclip_jax.reporting import log
from evclip_jax.training import devices as sharding
from evclip_jax.training.session import EvalSet, Session

# Episodes scored at once from the bank of features.
_AT_ONCE = 64
# Batches of clips whose features are kept in one file of unfinished work.
_PER_FILE = 16


class EpisodeTable(Protocol):
  """Episodes as positions of clips in a list; no pixels.

  Attributes:
    num: how many there are.
    hash: of which clips they are made.
  """

  num: int
  hash: str

  def batch(self, start: int, rows: int) -> dict[str, np.ndarray]:
    """Episodes start .. start + rows - 1, those that do not exist masked out.

    Returns:
      'clips' int32 [rows, V] and the fields of `batch.EPISODES` but 'video'.
    """


class EpisodeSet(EvalSet, Protocol):
  """A list that is scored in episodes.

  Attributes:
    episodes: which clips each is made of.
    from_bank: whether the features of each clip are computed once; else every
      episode's clips go through the network again.
    views: says how clips look and in which batches they come.
  """

  episodes: EpisodeTable
  from_bank: bool
  views: str

  def episode_batches(self, start: int) -> Iterable[dict[str, np.ndarray]]:
    """Batches of episodes with their pixels, from an episode on."""


def evaluate(
    run: Session,
    weights: dict[str, jax.Array],
    data: EpisodeSet,
    folder: pathlib.Path | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
  """Accuracy of a run on episodes.

  Args:
    run: the session.
    weights: what training changed, on the devices.
    data: the list and its episodes.
    folder: for what is done so far: an evaluation that was interrupted goes on
      from there, with the same result. None = nothing is kept.

  Returns:
    (summary, details): top1 in percent, interval (half the width of its 95 %
    confidence interval over episodes), loss and episodes; per-class accuracy,
    answers and labels of every query.
  """
  kept = Unfinished(folder, _key(run, weights, data))
  rows = (_from_bank if data.from_bank else _from_pixels)(
      run, weights, data, kept
  )
  kept.remove()
  hits = rows['answer'] == rows['label']
  share = hits.mean(axis=1)
  summary = {
      'loss': float(rows['loss'].mean()),
      'top1': float(100 * share.mean()),
      'interval': float(100 * 1.96 * share.std() / np.sqrt(len(share))),
      'episodes': len(share),
  }
  true = np.take_along_axis(rows['way'], rows['label'], axis=1)
  counts = np.bincount(true.ravel(), minlength=len(data.class_names))
  right = np.bincount(true[hits], minlength=len(data.class_names))
  return summary, {
      'class_names': list(data.class_names),
      'per_class': {
          data.class_names[k]: float(100 * right[k] / counts[k])
          for k in np.flatnonzero(counts)
      },
      'arrays': {k: rows[k] for k in ('answer', 'label', 'way')},
  }


def _key(run: Session, weights, data: EpisodeSet) -> dict[str, Any]:
  """What the numbers of an evaluation depend on."""
  return {
      'frozen': run.model.hashes,
      'weights': {
          path: hashlib.sha256(np.ascontiguousarray(x)).hexdigest()
          for path, x in jax.device_get(weights).items()
      },
      'settings': dataclasses.asdict(run.model.settings),
      'dtype': str(run.model.backbones.clip.dtype),
      'texts': run.model.method.class_texts(list(data.class_names)),
      'episodes': data.episodes.hash,
      'from_bank': data.from_bank,
      'views': data.views,
  }


def features(
    run: Session,
    weights: dict[str, jax.Array],
    data: EvalSet,
    kept: Unfinished,
) -> Arrays:
  """'clip' and 'frames' of every clip of a list, [num_clips, ...].

  Args:
    run, weights: as for `evaluate`.
    data: the list, one view per clip.
    kept: what is done so far.
  """
  step = episode_step.make_feature_step(
      run.model.method, run.mesh, run.shardings
  )
  done = kept.read('features')
  bar = log.progress(
      data.num_clips,
      f'features {data.name}',
      sum(len(rows['index']) for rows in done),
      unit='clip',
  )
  pending = []
  with bar:
    first = len(done) * _PER_FILE
    for number, batch in enumerate(data.batches(first), first + 1):
      rows = step(weights, run.frozen, sharding.put_batch(run.mesh, batch))
      pending.append(_valid(jax.device_get(rows)))
      bar.update(len(pending[-1]['index']))
      if number % _PER_FILE == 0:
        done.append(_join(pending))
        kept.write('features', len(done) - 1, done[-1])
        pending = []
  rows = _join(done + pending)
  # Every clip came once; back into the order of the list.
  order = np.argsort(rows['index'])
  if not np.array_equal(rows['index'][order], np.arange(data.num_clips)):
    raise ValueError(f'not every clip of {data.name} came once.')
  return {name: rows[name][order] for name in ('clip', 'frames')}


def _from_bank(run, weights, data, kept) -> Arrays:
  """Scores of all episodes from features computed once."""
  bank = sharding.put(run.mesh, features(run, weights, data, kept))
  step = episode_step.make_bank_step(run.model.method, run.mesh, run.shardings)
  devices = run.mesh.shape['data']
  rows = -(-_AT_ONCE // devices) * devices
  own = rows // jax.process_count()
  first = jax.process_index() * own

  def batches(start):
    for begin in range(start, data.episodes.num, rows):
      yield data.episodes.batch(begin + first, own)

  return _score(
      data,
      kept,
      batches,
      lambda classes, batch: step(weights, run.frozen, classes, bank, batch),
      run,
      weights,
  )


def _from_pixels(run, weights, data, kept) -> Arrays:
  """Scores of all episodes, each from its own pixels."""
  step = episode_step.make_episode_step(
      run.model.method, run.mesh, run.shardings
  )
  return _score(
      data,
      kept,
      data.episode_batches,
      lambda classes, batch: step(weights, run.frozen, classes, batch),
      run,
      weights,
  )


def _score(data, kept, batches, step, run, weights) -> Arrays:
  """Goes through the episodes that are not done yet."""
  classes = run.classes(weights, data.class_names)
  done = kept.read('episodes')
  finished = sum(len(rows['index']) for rows in done)
  bar = log.progress(
      data.episodes.num, f'evaluate {data.name}', finished, unit='episode'
  )
  with bar:
    for batch in batches(finished):
      rows = step(classes, sharding.put_batch(run.mesh, batch))
      done.append(_valid(jax.device_get(rows)))
      scores.check_finite(done[-1]['loss'])
      kept.write('episodes', len(done) - 1, done[-1])
      bar.update(len(done[-1]['index']))
  return _join(done)


def _valid(rows: Arrays) -> Arrays:
  valid = rows['mask'] > 0
  return {k: v[valid] for k, v in rows.items()}


def _join(parts: list[Arrays]) -> Arrays:
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
