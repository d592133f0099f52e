"""Runs the whole analysis of a domain shift, and writes its files."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines import whole_file
from data_pipelines.datasets import ucf101_ds
from data_pipelines.errors import UserError
from evclip_jax.domain_shift import (
  distances,
  factors,
  features,
  influence,
  page,
  robustness,
  sentences,
  study,
)
from evclip_jax.domain_shift.factors import FACTORS
from evclip_jax.models import corruptions
from evclip_jax.reporting import log, tables
from evclip_jax.training import devices


def analyse(
    workdir: str | os.PathLike,
    reference: str = '',
    lists: Sequence[str] = (),
    kinds: Sequence[str] = (),
) -> dict[str, Any]:
  """Analyses how lists of a run differ, and what right and wrong depend on.

  Args:
    workdir, reference, lists: see `study.read`.
    kinds: corruptions under which to score the reference; ('all',) for every
      one.

  Returns:
    The contents of shift.json, see docs/shift.md.

  Raises:
    UserError: see `study.read`; an unknown corruption; a folder that cannot be
      written.
  """
  for kind in kinds:
    if kind != 'all':
      corruptions.check_kind(kind, f'--corruptions={kind}')
  kinds = list(corruptions.KINDS) if 'all' in kinds else list(kinds)
  found = study.read(os.fspath(workdir), reference, lists)
  if not os.access(found.folder, os.W_OK):
    raise UserError(
        f'The results go to {found.folder}, which cannot be written. Copy the '
        'run to another folder.'
    )
  devices.prepare(found.config)
  clips, notes = _clips(found)
  result = {
      'run': found.folder.name,
      'reference': found.reference,
      'methods': list(found.methods),
      'lists': {name: _about(clips[name]) for name in clips},
      'differences': {},
      'distances': {},
      'influence': {},
      'along': {},
      'corruptions': {},
      'notes': notes,
  }
  ours = clips[found.reference]
  for name in list(clips)[1:]:
    log.log(f'{name} against {found.reference}')
    result['differences'][name] = _differences(ours, clips[name])
    result['distances'][name] = _distances(ours, clips[name], found.config.seed)
  _explain(clips, found, result)
  if kinds:
    # They take longest, so what is known by now is saved first.
    _save(found, clips, result)
    name = next(iter(found.right))
    made = robustness.curves(found, name, kinds)
    result['corruptions'] = {'list': name, 'kinds': made}
  _save(found, clips, result)
  log.log('\n' + '\n'.join(result['sentences']))
  for note in notes:
    log.log(f'note: {note}')
  log.log(f'page: {page.write(found, clips, result)}')
  return result


@dataclasses.dataclass(frozen=True)
class Clips:
  """Holds what is known of the N clips of a list.

  Attributes:
    keys, classes, hashes: of each clip; a hash is of the clip's contents.
    rows: the factors of each clip by name; None where unknown.
    features: network -> [N, D]; NaN for clips that cannot be read.
    texts: embeddings [K, E] of the list's classes.
    right: method -> [N], see `Study`.
    tags: the tags in each clip's name.
  """

  keys: list[str]
  classes: list[str]
  hashes: list[str]
  rows: list[factors.Row]
  features: dict[str, np.ndarray]
  texts: np.ndarray
  right: dict[str, np.ndarray]
  tags: list[tuple[str, ...]]


def _clips(found: study.Study) -> tuple[dict[str, Clips], list[str]]:
  config, notes, visual = found.config, [], {}
  for name, source in found.lists.items():
    *visual[name], faults = factors.visual_factors(
        source, config.cache_dir, config.data.workers
    )
    if faults:
      notes.append(
          f'{len(faults)} clips of {name} cannot be read and are left out, the '
          f'first: {faults[0]}'
      )
    if len(source) < distances.FEW:
      notes.append(
          f'{name} has {len(source)} clips: too few for distances that mean '
          f'much (fewer than {distances.FEW})'
      )
    elif len(source) > distances.MOST:
      notes.append(
          f'distances of {name} are of {distances.MOST} clips drawn of its '
          f'{len(source)}'
      )
  names = found.lists[found.reference].class_names
  networks = features.Networks(config, names)
  notes += [networks.note] if networks.note else []
  if config.data.corrupt:
    notes.append(
        f'the run was scored on worse frames (data.corrupt='
        f'{config.data.corrupt}); factors, distances and curves are of the '
        'clips as they are'
    )
  kinetics, out = networks.texts(features.kinetics400()), {}
  for name, source in found.lists.items():
    rows, hashes = visual[name]
    seen = networks.features(source)
    texts = networks.texts(source.class_names)
    labels = np.array([r.label for r in source.records])
    words = features.semantic(labels, seen['clip'], texts, kinetics)
    keys = [r.key for r in source.records]
    out[name] = Clips(
        keys=keys,
        classes=[source.class_names[k] for k in labels],
        hashes=hashes,
        rows=[(row or {}) | w for row, w in zip(rows, words, strict=True)],
        features=seen,
        texts=texts,
        right=found.right.get(name, {}),
        tags=[ucf101_ds.tags_of(key) for key in keys],
    )
  return out, notes


def _column(rows: Sequence[factors.Row], name: str) -> np.ndarray:
  # None becomes NaN.
  return np.array([row.get(name) for row in rows], np.float64)


def _about(clips: Clips) -> dict[str, Any]:
  columns = {n: _column(clips.rows, n) for n in FACTORS}
  known = {n: x[np.isfinite(x)] for n, x in columns.items()}
  return {
      'clips': len(clips.keys),
      'classes': len({*clips.classes}),
      'top1': {m: 100 * float(np.nanmean(x)) for m, x in clips.right.items()},
      'means': {n: float(x.mean()) if x.size else None
                for n, x in known.items()},  # fmt: skip
  }


def _differences(ours: Clips, theirs: Clips) -> dict[str, Any]:
  """Computes the standardised mean difference of each factor.

  (mean - mean of the reference) / pooled standard deviation, on the scale of
  the factor, with a 95 % interval.

  Source: L. Hedges and I. Olkin, Statistical methods for meta-analysis, 1985.
  """
  out = {}
  for name, factor in FACTORS.items():
    x, y = (_column(c.rows, name) for c in (ours, theirs))
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    n, m = len(x), len(y)
    if min(n, m) < 2:
      continue
    a, b = factor.scaled(x), factor.scaled(y)
    pooled = (n - 1) * a.var(ddof=1) + (m - 1) * b.var(ddof=1)
    spread = math.sqrt(pooled / (n + m - 2))
    gap = b.mean() - a.mean()
    if spread < 1e-9:
      if abs(gap) < 1e-9:
        continue
      # All clips of a list have one value, as of the resolution.
      spread = abs(gap) / 9.99
    d = gap / spread
    half = 1.96 * math.sqrt((n + m) / (n * m) + d**2 / (2 * (n + m)))
    out[name] = {
        'difference': d,
        'low': d - half,
        'high': d + half,
        'reference': float(x.mean()),
        'mean': float(y.mean()),
    }
  return out


def _distances(ours: Clips, theirs: Clips, seed: int) -> dict[str, Any]:
  out = {}
  for space in ours.features:
    given = []
    for clips in (ours, theirs):
      seen = clips.features[space]
      there = np.isfinite(seen).all(axis=1)
      given.append((seen[there], np.array(clips.classes)[there]))
    (x, a), (y, b) = given
    if min(len(x), len(y)) >= 4:
      out[space] = distances.between(x, y, a, b, seed)
  out['words'] = {'texts': distances.texts(ours.texts, theirs.texts, seed)}
  return {
      space: {name: dataclasses.asdict(x) for name, x in found.items()}
      for space, found in out.items()
  }


def _explain(clips: dict[str, Clips], found: study.Study, result):
  """Regresses right and wrong on the factors of all clips that were scored."""
  used = [c for c in clips.values() if c.right]

  def joined(values_of):
    return np.concatenate([values_of(c) for c in used])

  rows = [row for c in used for row in c.rows]
  right = {m: joined(lambda c, m=m: c.right[m]) for m in found.methods}
  _, first = np.unique(joined(lambda c: c.hashes), return_index=True)
  if repeated := len(rows) - len(first):
    result['notes'].append(
        f'{repeated} clips are copies of others; what right and wrong go with '
        'counts each once'
    )
  scored = np.isfinite([*right.values()]).all(axis=0)
  there = [i for i in np.sort(first) if scored[i] and 'luminance' in rows[i]]
  rows = [rows[i] for i in there]
  right = {m: x[there] == 1 for m, x in right.items()}
  if not rows:
    raise UserError('no clip was scored and can be read.')
  seed = found.config.seed
  for name, hits in right.items():
    log.log(f'what {name} depends on')
    result['influence'][name] = influence.explain(rows, hits, seed)
  for name in FACTORS:
    values = _column(rows, name)
    if np.unique(values[np.isfinite(values)]).size > 1:
      result['along'][name] = influence.along(values, right)
  tags = [tag for c in used for tag in c.tags]
  tags = [tags[i] for i in there]
  if any(tags):
    result['tags'] = influence.by_tag(tags, right)


def _save(found: study.Study, clips: dict[str, Clips], result):
  """Adds the sentences and writes shift.json and shift.csv."""
  result['sentences'] = sentences.of(result)
  whole_file.write_json(found.folder / 'shift.json', result)
  rows = []
  for name, own in clips.items():
    for i, (key, row) in enumerate(zip(own.keys, own.rows, strict=True)):
      told = {m: x[i] for m, x in own.right.items() if not math.isnan(x[i])}
      right = {m: int(told[m]) if m in told else None for m in found.methods}
      rows.append(
          {'list': name, 'clip': key, 'class': own.classes[i]}
          | {factor: row.get(factor) for factor in FACTORS}
          | {f'right {m}': value for m, value in right.items()}
          | {'tags': ', '.join(own.tags[i])}
      )
  whole_file.write(found.folder / 'shift.csv', tables.as_csv(rows))
