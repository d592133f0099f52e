"""Scores a list in episodes: accuracy with its interval."""

from collections.abc import Callable, Iterable
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
    run: Session,
    weights: dict[str, jax.Array],
    data: Any,
    beside: tuple[Session, dict[str, jax.Array]] | None = None,
    watch: Callable[[Iterable], Iterable] | None = None,
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
    beside, watch: see `scores.score`; both need clips that are seen once.

  Returns:
    (summary, details): top1 in percent, interval (half the width of its 95 %
    confidence interval over episodes), loss and episodes; per-class accuracy,
    answers and labels of every query; the same of what stands beside.
  """
  find = _from_bank if data.from_bank else _from_pixels
  if not run.model.method.episodic:
    find = _from_scores
  rows, others, clips = find(run, weights, data, beside, watch)
  details = {
      'class_names': list(data.class_names),
      'per_class': _per_class(rows, data),
      'confusion': _confusion(rows, data).tolist(),
      'losses': rows['loss'],
      'arrays': clips | {k: rows[k] for k in ('answer', 'label', 'way')},
  }
  if others:
    details['zero_shot'] = _summary(others)
    details['zero_shot_per_class'] = _per_class(others, data)
  return _summary(rows), details


def _summary(rows: Arrays) -> dict[str, float]:
  share = (rows['answer'] == rows['label']).mean(axis=1)
  return {
      'loss': float(rows['loss'].mean()),
      'top1': float(100 * share.mean()),
      'interval': float(100 * 1.96 * share.std() / np.sqrt(len(share))),
      'episodes': len(share),
  }


def _confusion(rows: Arrays, data) -> np.ndarray:
  """Counts queries [K, K]: rows = true class, columns = answer."""
  matrix = np.zeros((len(data.class_names),) * 2, np.int64)
  true, found = (
      np.take_along_axis(rows['way'], rows[k], axis=1)
      for k in ('label', 'answer')
  )
  np.add.at(matrix, (true, found), 1)
  return matrix


def _per_class(rows: Arrays, data) -> dict[str, float]:
  matrix = _confusion(rows, data)
  counts = matrix.sum(axis=1)
  return {
      data.class_names[k]: float(100 * matrix[k, k] / counts[k])
      for k in np.flatnonzero(counts)
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


def _bank(
    run: Session, weights, data, beside, watch
) -> tuple[Arrays, set[int], Arrays]:
  """Goes through all clips of a list once.

  Returns:
    'clip' and 'frames' of every clip, and 'beside' (logits) if that is asked
    for; which of them cannot be read; what is worth keeping of the others.
  """
  parts = []
  title = f'features {data.name}'
  if beside:
    other, its = beside
    classes = other.classes(its, data.class_names)
  with log.progress(data.num_clips, title, unit='clip') as bar:
    given = watch(data.batches()) if watch else bank_lib.batches(run, data)
    for batch in given:
      placed = devices.put_batch(run.mesh, batch)
      rows = run.feature_step(weights, run.frozen, placed)
      if beside:
        seen = other.eval_step(its, other.frozen, classes, placed)
        rows['beside'] = seen['logits']
      parts.append(_valid(jax.device_get(rows)))
      bar.update(len(parts[-1]['index']))
  rows = _join(parts)
  # Back into the order of the list, each clip once.
  found, order = np.unique(rows['index'], return_index=True)
  unread = set(range(data.num_clips)) - set(found.tolist())
  if len(found) != len(rows['index']) or unread and not data.skips:
    raise ValueError(f'not every clip of {data.name} came once.')
  bank = {}
  for name in ('clip', 'frames', *(('beside',) if beside else ())):
    shape = data.num_clips, *rows[name].shape[1:]
    bank[name] = np.zeros(shape, rows[name].dtype)
    bank[name][found] = rows[name][order]
  kept = {
      'features': rows['clip'][order].astype(np.float32),
      'labels': rows['label'][order].astype(np.int64),
      'index': found,
  }
  return bank, unread, kept


def _from_bank(run: Session, weights, data, beside, watch):
  """Scores all episodes from features computed once."""
  bank, unread, clips = _bank(run, weights, data, beside, watch)
  others = None
  if beside:
    logs = np.log(scores.softmax(bank.pop('beside').astype(np.float64)))
    others = _answers(logs, data, unread)
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

  return _score(run, weights, data, batches(), step, bank), others, clips


def _from_scores(run: Session, weights, data, beside, watch):
  """Answers all queries by the scores of single clips."""
  scored = scores.score(run, weights, data, beside, watch)
  unread = set(range(data.num_clips)) - set(scored.index.tolist())
  found = []
  for own in (scored.log_probabilities, scored.beside):
    if own is not None:
      logs = np.zeros((data.num_clips, own.shape[1]))
      logs[scored.index] = own
      found.append(_answers(logs, data, unread))
  clips = {k: getattr(scored, k) for k in ('features', 'labels', 'index')}
  return found[0], found[1] if found[1:] else None, clips


def _answers(logs: np.ndarray, data, unread: set[int]) -> Arrays:
  """Chooses for each query the best of its episode's classes.

  `logs` are log-probabilities [N, K] of single clips among all classes.
  """
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


def _from_pixels(run: Session, weights, data, beside, watch):
  """Scores all episodes, each from its own pixels."""
  del beside, watch
  step = make_episode_step(run.model.method, run.mesh, run.shardings)
  batches = data.episode_batches()
  return _score(run, weights, data, batches, step), None, {}


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
