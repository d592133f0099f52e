"""Scores every clip of a list, and computes accuracies and confusions."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special
from jax.sharding import Mesh

from data_pipelines.errors import UserError
from evclip_jax.evaluation import bank
from evclip_jax.methods import base
from evclip_jax.methods import zero_shot as plain
from evclip_jax.methods.class_texts import fill_templates
from evclip_jax.reporting import log
from evclip_jax.training.session import Session

# For zero-shot CLIP beside a method with trained words in place of texts.
_TEMPLATES = plain.Settings().templates


@dataclasses.dataclass(frozen=True)
class Scored:
  """Holds the scores of the clips of a list, in its order.

  Attributes:
    log_probabilities: [N, K] float64, log of the mean over a clip's views.
    labels: [N].
    features: [N, E] float32, the mean over a clip's views.
    index: [N], positions in the list; not all if clips were left out.
    beside: `log_probabilities` of another method, or None.
  """

  log_probabilities: np.ndarray
  labels: np.ndarray
  features: np.ndarray
  index: np.ndarray
  beside: np.ndarray | None = None


def collect(
    run_step: Callable[[dict[str, jax.Array]], dict[str, jax.Array]],
    batches: Iterable[dict[str, np.ndarray]],
    mesh: Mesh,
    num_clips: int,
    num_views: int,
    on_rows: Callable[[int], Any] = lambda rows: None,
    skips: bool = False,
) -> Scored:
  """Averages the class probabilities of every clip over its views.

  `run_step` maps a batch on the devices to rows with 'logits', 'features',
  'label', 'mask', 'index', and perhaps 'beside', logits of another method.
  Every clip comes once per view; with `skips` views may be missing, and their
  clips are then left out.

  Raises:
    ValueError: a clip is missing (without `skips`) or repeated.
    UserError: scores that are not finite; or no clip is left.
  """
  totals, labels = {}, np.full(num_clips, -1, np.int64)
  seen = np.zeros(num_clips, np.int64)
  for rows in bank.rows_of(batches, run_step, mesh, on_rows):
    index = rows['index']
    for name in ('logits', 'beside'):
      if name in rows:
        probabilities = softmax(rows[name].astype(np.float64))
        empty = np.zeros((num_clips, probabilities.shape[1]))
        np.add.at(totals.setdefault(name, empty), index, probabilities)
    if not seen.any():
      features = np.zeros((num_clips, rows['features'].shape[1]), np.float32)
    found = rows['features'].astype(np.float32)
    np.add.at(features, index, found / num_views)
    np.add.at(seen, index, 1)
    labels[index] = rows['label']
  index = np.flatnonzero(seen == num_views)
  if not skips and len(index) < num_clips or (seen > num_views).any():
    raise ValueError(
        f'every clip must come {num_views} times; clips '
        f'{np.flatnonzero(seen != num_views)[:5].tolist()} do not.'
    )
  if not len(index):
    raise UserError('no clip of the list can be read any more.')
  logs = {
      name: np.log(np.maximum(total[index] / num_views, 1e-300))
      for name, total in totals.items()
  }
  found = logs['logits'], labels[index], features[index], index
  return Scored(*found, logs.get('beside'))


def score(
    run: Session,
    weights: dict[str, jax.Array],
    data: Any,
    beside: tuple[Session, dict[str, jax.Array]] | None = None,
    watch: Callable[[Iterable], Iterable] | None = None,
) -> Scored:
  """Scores a whole list of the data pipeline.

  `beside`, (session, weights) of another method, scores the same pixels.
  `watch` passes on the batches and may look at their pixels; without it,
  batches may come from a bank of features, which `beside` cannot use.
  """
  steps = {'logits': (run, weights)} | ({'beside': beside} if beside else {})
  classes = {
      name: one.classes(its, data.class_names)
      for name, (one, its) in steps.items()
  }

  def run_step(batch):
    seen = {
        name: one.see_step(its, one.frozen, batch)
        for name, (one, its) in steps.items()
    }
    own = seen['logits']
    rows = {name: own[name] for name in ('label', 'mask', 'index')}
    rows['features'] = own['clip']
    for name, (one, its) in steps.items():
      given = its, one.frozen, classes[name], seen[name]
      rows[name] = one.score_step(*given)
    return rows

  total = data.num_clips * data.num_views
  with log.progress(total, f'evaluate {data.name}', unit='clip') as bar:
    return collect(
        run_step,
        watch(data.batches()) if watch else bank.batches(run, data),
        run.mesh,
        data.num_clips,
        data.num_views,
        bar.update,
        data.skips,
    )


def zero_shot_beside(
    run: Session, given: bool
) -> tuple[Session, dict[str, jax.Array]] | None:
  """Returns zero-shot CLIP with the networks that a run began with, or None.

  It gets the same pixels and texts as the run's method, or 'A video of {}.' if
  the texts hold learned words or bare names. None without CLIP, for a method
  that trains nothing (it is its own reference), and if `given` weights, trained
  elsewhere, have replaced CLIP's own.
  """
  trained = [path for path in run.trainable if path.startswith('clip/')]
  if not run.trainable or run.clip is None or given and trained:
    return None
  # Shares the frozen weights; only the trainable ones are placed again.
  return dataclasses.replace(run, method=_zero_shot(run)), run.initial()


def _zero_shot(run: Session) -> base.Method:
  """Makes zero-shot CLIP with the run's own pixels and texts."""
  own, clip = run.method, run.clip
  backbones = base.Backbones(clip, None, num_frames=0)
  other = plain.make(plain.Settings(), backbones, tuple(run.class_names))

  def class_texts(names: list[str]) -> list[list[str]]:
    if not own.text_trains:
      texts = own.class_texts(names)
      if texts[0] != list(names):
        return texts
    return fill_templates(_TEMPLATES, names)

  return dataclasses.replace(other, pixels=own.pixels, class_texts=class_texts)


def summarise(
    log_probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
  """Computes top-1, top-5, macro-F1 and loss of clips [N, K] with labels [N].

  All are in percent except the loss (mean cross-entropy); macro-F1 is over the
  classes that occur in `labels`.
  """
  ranks = rank_of_label(log_probabilities, labels)
  matrix = confusion(log_probabilities, labels)
  hits = np.diag(matrix)
  present = matrix.sum(axis=1) > 0
  f1 = 2 * hits / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)
  picked = log_probabilities[np.arange(len(labels)), labels]
  return {
      'loss': float(-picked.mean()),
      'top1': float(100 * (ranks < 1).mean()),
      'top5': float(100 * (ranks < 5).mean()),
      'macro_f1': float(100 * f1[present].mean()),
      'clips': len(labels),
  }


def per_class(matrix: np.ndarray, names: Sequence[str]) -> dict[str, float]:
  """Computes top-1 in percent per class with clips from a confusion matrix."""
  counts = matrix.sum(axis=1)
  return {
      names[k]: float(100 * matrix[k, k] / counts[k])
      for k in np.flatnonzero(counts)
  }


def details(
    names: Sequence[str],
    matrix: np.ndarray,
    arrays: dict[str, np.ndarray],
    beside: tuple[dict[str, float], np.ndarray] | None = None,
) -> dict[str, Any]:
  """Collects the details of a scored list, which are saved and reported.

  They are 'class_names', 'per_class' top-1, 'confusion', 'arrays' for a file;
  and from `beside`, (summary, confusion matrix) of zero-shot CLIP, 'zero_shot'
  and 'zero_shot_per_class'.
  """
  kept = {
      'class_names': list(names),
      'per_class': per_class(matrix, names),
      'confusion': matrix.tolist(),
      'arrays': arrays,
  }
  if beside:
    summary, matrix = beside
    kept['zero_shot'] = summary
    kept['zero_shot_per_class'] = per_class(matrix, names)
  return kept


def confusion(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Counts [K, K]: rows = true class, columns = predicted class."""
  size = log_probabilities.shape[1]
  matrix = np.zeros((size, size), np.int64)
  np.add.at(matrix, (labels, log_probabilities.argmax(axis=1)), 1)
  return matrix


def rank_of_label(
    log_probabilities: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Counts the classes above the right one, [N]; in ties, lower numbers are."""
  own = log_probabilities[np.arange(len(labels)), labels][:, None]
  classes = np.arange(log_probabilities.shape[1])[None]
  above = log_probabilities > own
  tied = (log_probabilities == own) & (classes < labels[:, None])
  return (above | tied).sum(axis=1)


def check_finite(numbers: np.ndarray):
  """Raises UserError for NaN and infinity, which cannot be ranked."""
  if not np.isfinite(numbers).all():
    raise UserError(
        'the scores are not finite numbers: the weights are broken, or '
        'compute.dtype is too small for them.\n  See what `python -m '
        'evclip_jax.convert FILE` says of the files of clip.weights, '
        'encoder.weights and method.weights.'
    )


def softmax(logits: np.ndarray) -> np.ndarray:
  """Computes the softmax over the last axis; UserError if it is not finite."""
  check_finite(logits)
  return scipy.special.softmax(logits, axis=-1)
