"""Scores a list in episodes: accuracy with its interval."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from evclip_jax.evaluation import bank as bank_lib
from evclip_jax.evaluation import scores
from evclip_jax.methods.base import Method, VideoFeatures
from evclip_jax.reporting import log
from evclip_jax.training import devices
from evclip_jax.training.params import merge
from evclip_jax.training.session import Session

Arrays = dict[str, np.ndarray]
# Episodes scored at once from the bank of features.
_AT_ONCE = 64


def evaluate(
    run: Session, weights: dict[str, jax.Array], data: Any
) -> tuple[dict[str, float], dict[str, Any]]:
  """Computes the accuracy of a run on episodes.

  Args:
    run: the session.
    weights: what training changed, on the devices.
    data: a list of the data pipeline and its episodes. `data.from_bank` says
      whether the features of each clip are computed once; else every episode's
      clips go through the network again. A method that does not learn from
      episodes scores each clip once: a query's answer is the best of its
      episode's classes, and the support clips are not looked at.

  Returns:
    (summary, details): top1 in percent, interval (half the width of its 95 %
    confidence interval over episodes), loss and episodes; per-class accuracy,
    answers and labels of every query.
  """
  find = _from_bank if data.from_bank else _from_pixels
  if not run.model.method.episodic:
    find = _from_scores
  rows = find(run, weights, data)
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


def make_episode_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, classes, batch of episodes) -> rows."""

  def step(weights, frozen, classes, batch):
    params = merge(frozen, weights)
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, None, False)
    rows = {k: v for k, v in batch.items() if k != 'video'}
    return _judged(method, params, features, classes, rows)

  return devices.jit(step, mesh, frozen_shardings, 4)


def make_bank_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, classes, bank, batch of episodes) -> rows.

  `bank` holds 'clip' and 'frames' of every clip of the list; in place of
  'video' the batch has 'clips': int32 [E, V], positions in it.
  """

  def step(weights, frozen, classes, bank, batch):
    own = {name: x[batch['clips']] for name, x in bank.items()}
    features = VideoFeatures(own['clip'], own['frames'])
    rows = {k: v for k, v in batch.items() if k != 'clips'}
    return _judged(method, merge(frozen, weights), features, classes, rows)

  return devices.jit(step, mesh, frozen_shardings, 5)


def _judged(method, params, features, classes, rows) -> dict[str, jax.Array]:
  """Adds each query's answer [E, NQ] and each episode's loss [E]."""
  logits = method.score(params, features, classes, rows).astype(jnp.float32)
  losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, rows['label']
  )
  return rows | {
      'answer': logits.argmax(axis=-1).astype(jnp.int32),
      'loss': losses.mean(axis=-1),
  }


def _bank(run: Session, weights, data) -> tuple[Arrays, set[int]]:
  """Returns 'clip' and 'frames' of every clip of a list, and which are not."""
  parts = []
  title = f'features {data.name}'
  with log.progress(data.num_clips, title, unit='clip') as bar:
    for batch in bank_lib.batches(run, data):
      placed = devices.put_batch(run.mesh, batch)
      rows = run.feature_step(weights, run.frozen, placed)
      parts.append(_valid(jax.device_get(rows)))
      bar.update(len(parts[-1]['index']))
  rows = _join(parts)
  # Back into the order of the list, each clip once.
  found, order = np.unique(rows['index'], return_index=True)
  unread = set(range(data.num_clips)) - set(found.tolist())
  if len(found) != len(rows['index']) or unread and not data.skips:
    raise ValueError(f'not every clip of {data.name} came once.')
  bank = {}
  for name in ('clip', 'frames'):
    shape = data.num_clips, *rows[name].shape[1:]
    bank[name] = np.zeros(shape, rows[name].dtype)
    bank[name][found] = rows[name][order]
  return bank, unread


def _from_bank(run: Session, weights, data) -> Arrays:
  """Scores all episodes from features computed once."""
  bank, unread = _bank(run, weights, data)
  bank = devices.put(run.mesh, bank)
  step = make_bank_step(run.model.method, run.mesh, run.shardings)
  size = run.mesh.shape['data']
  rows = -(-_AT_ONCE // size) * size
  own = rows // jax.process_count()
  first = jax.process_index() * own

  def batches():
    for begin in range(0, data.episodes.num, rows):
      batch = data.episodes.batch(begin + first, own)
      yield batch | {'clips': data.without(batch['clips'], unread)}

  return _score(run, weights, data, batches(), step, bank)


def _from_scores(run: Session, weights, data) -> Arrays:
  """Answers all queries by the scores of single clips."""
  scored = scores.score(run, weights, data)
  unread = set(range(data.num_clips)) - set(scored.index.tolist())
  logs = np.zeros((data.num_clips, scored.log_probabilities.shape[1]))
  logs[scored.index] = scored.log_probabilities
  batch = data.episodes.batch(0, data.episodes.num)
  queries = batch['label'].shape[1]
  clips = data.without(batch['clips'], unread)[:, -queries:]
  # Of all classes those of the episode: [E, NQ, N].
  own = logs[clips[..., None], batch['way'][:, None]]
  own -= np.logaddexp.reduce(own, axis=-1, keepdims=True)
  picked = np.take_along_axis(own, batch['label'][..., None], axis=-1)
  return {
      'answer': own.argmax(axis=-1).astype(np.int32),
      'loss': -picked[..., 0].mean(axis=-1),
      'label': batch['label'],
      'way': batch['way'],
  }


def _from_pixels(run: Session, weights, data) -> Arrays:
  """Scores all episodes, each from its own pixels."""
  step = make_episode_step(run.model.method, run.mesh, run.shardings)
  return _score(run, weights, data, data.episode_batches(), step)


def _score(run: Session, weights, data, batches, step, *bank) -> Arrays:
  """Goes through the episodes."""
  classes = run.classes(weights, data.class_names)
  parts = []
  title = f'evaluate {data.name}'
  with log.progress(data.episodes.num, title, unit='episode') as bar:
    for batch in batches:
      placed = devices.put_batch(run.mesh, batch)
      rows = step(weights, run.frozen, classes, *bank, placed)
      parts.append(_valid(jax.device_get(rows)))
      scores.check_finite(parts[-1]['loss'])
      bar.update(len(parts[-1]['index']))
  return _join(parts)


def _valid(rows: Arrays) -> Arrays:
  valid = rows['mask'] > 0
  return {k: v[valid] for k, v in rows.items()}


def _join(parts: list[Arrays]) -> Arrays:
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
