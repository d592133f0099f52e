"""Scores a list in episodes: accuracy with a confidence interval."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evclip_jax.evaluation import bank as bank_lib
from evclip_jax.evaluation import scores
from evclip_jax.methods.base import VideoFeatures
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
  """Computes the accuracy of a run on a list's episodes.

  With `data.from_bank` the features of each clip are computed once; otherwise
  the clips of every episode go through the network anew. A method that is not
  episodic scores each clip once: a query's answer is the best of its episode's
  classes, and support clips are ignored. `beside` and `watch` (see
  `scores.score`) have no effect if episodes are scored from pixels.

  Returns:
    (summary, details): top1 in percent, interval (half the width of its 95 %
    confidence interval over episodes), loss and episodes; see `scores.details`.
  """
  find = _from_bank if data.from_bank else _from_pixels
  if not run.method.episodic:
    find = _from_scores
  rows, others, clips = find(run, weights, data, beside, watch)
  details = scores.details(
      data.class_names,
      _confusion(rows, data),
      clips | {k: rows[k] for k in ('answer', 'label', 'way')},
      others and (_summary(others), _confusion(others, data)),
  )
  return _summary(rows), details | {'losses': rows['loss']}


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


def _make_step(run: Session, from_bank: bool) -> Callable:
  """Builds the jitted (weights, frozen, classes[, bank], episodes) -> rows.

  Rows have each query's 'answer' [E, NQ] and each episode's 'loss' [E]. With
  `from_bank`, the bank holds 'clip' and 'frames' of every clip of the list, and
  the batch has 'clips', int32 [E, V], positions in it, in place of 'video'.
  """

  method = run.method

  def step(weights, frozen, classes, *given):
    *bank, batch = given
    params = merge(frozen, weights)
    if from_bank:
      own = {name: x[batch['clips']] for name, x in bank[0].items()}
      features = VideoFeatures(**own)
    else:
      pixels = method.pixels(batch['video'], None)
      features = method.video(params, pixels, None, False)
    rows = {k: v for k, v in batch.items() if k not in ('video', 'clips')}
    logits = method.score(params, features, classes, rows).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, rows['label']
    )
    return rows | {
        'answer': logits.argmax(axis=-1).astype(jnp.int32),
        'loss': losses.mean(axis=-1),
    }

  return devices.jit(step, run.mesh, run.shardings, 5 if from_bank else 4)


def _bank(
    run: Session, weights, data, beside, watch
) -> tuple[Arrays, set[int], Arrays]:
  """Computes the features of all clips of a list once.

  Returns:
    ('clip' and 'frames' of every clip, and 'beside', logits, if asked for;
    clips that cannot be read; arrays to keep of the others).
  """
  if beside:
    other, its = beside
    classes = other.classes(its, data.class_names)

  def step(batch):
    rows = run.see_step(weights, run.frozen, batch)
    del rows['maps']
    if beside:
      seen = other.see_step(its, other.frozen, batch)
      rows['beside'] = other.score_step(its, other.frozen, classes, seen)
    return rows

  title = f'features {data.name}'
  with log.progress(data.num_clips, title, unit='clip') as bar:
    given = watch(data.batches()) if watch else bank_lib.batches(run, data)
    parts = list(bank_lib.rows_of(given, step, run.mesh, bar.update))
  rows = bank_lib.joined(parts)
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
  """Scores all episodes from features that are computed once."""
  bank, unread, clips = _bank(run, weights, data, beside, watch)
  others = None
  if beside:
    logs = np.log(scores.softmax(bank.pop('beside').astype(np.float64)))
    others = _answers(logs, data, unread)
  bank = devices.put(run.mesh, bank)
  step = _make_step(run, True)
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
  """Answers all queries by their scores as single clips."""
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
  """Chooses the best of its episode's classes for each query.

  `logs` are log-probabilities [clips, K] of single clips among all classes.
  """
  batch = data.episodes.batch(0, data.episodes.num)
  queries = batch['label'].shape[1]
  clips = data.without(batch['clips'], unread)[:, -queries:]
  # Keep the classes of the episode: [E, NQ, N].
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
  """Scores all episodes, each from the pixels of its clips."""
  del beside, watch
  step, batches = _make_step(run, False), data.episode_batches()
  return _score(run, weights, data, batches, step), None, {}


def _score(run: Session, weights, data, batches, step, *bank) -> Arrays:
  """Runs a step on all batches of episodes, and joins their rows."""
  classes = run.classes(weights, data.class_names)
  title, parts = f'evaluate {data.name}', []
  score = functools.partial(step, weights, run.frozen, classes, *bank)
  with log.progress(data.episodes.num, title, unit='episode') as bar:
    for rows in bank_lib.rows_of(batches, score, run.mesh, bar.update):
      scores.check_finite(rows['loss'])
      parts.append(rows)
  return bank_lib.joined(parts)
