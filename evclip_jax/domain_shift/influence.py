"""Finds which factors go with right and wrong, by regression and by fifths."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from evclip_jax.domain_shift import logistic
from evclip_jax.domain_shift.factors import FACTORS, Row

# Factors that correlate this closely cannot be told apart.
_TOGETHER, _MOST_INFLATION = 0.8, 10.0
# Fewest wrong (or right) clips for a regression: in all, and per factor.
_LEAST, _PER_FACTOR = 5, 5
_LEVEL = 0.05
_PARTS = 5


def design(
    rows: Sequence[Row],
) -> tuple[np.ndarray, dict[str, float], dict[str, str]]:
  """Standardises factors and leaves out those that others stand for.

  These correlate with an earlier one of `FACTORS` by 0.8 or more, or follow
  from the others together (variance inflation above 10).

  Returns:
    ([N, K], of mean 0 and standard deviation 1; the variance inflation factor
    of each by name; why the others are left out, by name).

  Source: D. Belsley, E. Kuh and R. Welsch, Regression diagnostics, 1980.
  """
  names, columns, left_out = [], [], {}
  for name, factor in FACTORS.items():
    values = [row.get(name) for row in rows]
    if not factor.cause:
      continue
    if any(value is None for value in values):
      left_out[name] = 'not known of every clip'
      continue
    values = factor.scaled(np.array(values, np.float64))
    spread = values.std()
    if spread < 1e-9:
      left_out[name] = 'the same for all clips'
      continue
    column = (values - values.mean()) / spread
    others = [(abs(column @ c) / len(column), n)
              for n, c in zip(names, columns, strict=True)]  # fmt: skip
    closest, other = max(others, default=(0, ''))
    if closest >= _TOGETHER:
      said = f'{FACTORS[other].title} stands for it (r = {closest:.2f})'
      left_out[name] = said
      continue
    names.append(name)
    columns.append(column)
  while True:
    table = np.reshape(columns, (len(names), len(rows))).T
    inflation = _inflation(table)
    worst = np.flatnonzero(inflation[1:] > _MOST_INFLATION)
    if not worst.size:
      inflation = dict(zip(names, inflation.tolist(), strict=True))
      return table, inflation, left_out
    columns.pop(worst[-1] + 1)
    left_out[names.pop(worst[-1] + 1)] = 'the others together tell it'


def explain(
    rows: Sequence[Row], right: np.ndarray, seed: int
) -> dict[str, Any]:
  """Explains right and wrong, bool [N], by the factors of clips.

  Returns:
    'factors': dicts, the largest share first, of 'factor', 'coefficient' (log
    odds of right per standard deviation) with 'low' and 'high', 'p',
    'p_corrected' (Holm), 'significant', 'share' of the explained deviance and
    'inflation'; 'explained' (1 - deviance / that without factors); 'left_out';
    'note', which says if there are too few clips.
  """
  right = np.asarray(right, bool)
  columns, inflation, left_out = design(rows)
  out = {'clips': len(right), 'right': int(right.sum()), 'factors': [],
         'explained': None, 'left_out': left_out, 'note': ''}  # fmt: skip
  rarer = int(min(right.sum(), (~right).sum()))
  which = 'wrong' if right.sum() > rarer else 'right'
  if rarer < _LEAST or not inflation:
    out['note'] = (
        f'{rarer} of {len(right)} clips are {which}: too few to say what it '
        'depends on'
    )
    return out
  if rarer < _PER_FACTOR * len(inflation):
    out['note'] = (
        f'{rarer} clips are {which}, for {len(inflation)} factors: few, so '
        'that intervals are wide'
    )
  table = np.concatenate([np.ones((len(right), 1)), columns], axis=1)
  full = logistic.fit(table, right)
  shares, out['explained'] = logistic.shares(table, right, seed)
  found = []
  for k, name in enumerate(inflation, 1):
    low, high = logistic.interval(table, right, full, k)
    without = logistic.fit(table, right, (k, 0.0), full.at)
    found.append({
        'factor': name, 'coefficient': float(full.at[k]),
        'low': low, 'high': high,
        'p': math.erfc(math.sqrt(max(full.value - without.value, 0))),
        'share': float(shares[k - 1]), 'inflation': inflation[name],
    })  # fmt: skip
  corrected = logistic.holm([row['p'] for row in found])
  for row, p in zip(found, corrected, strict=True):
    row |= {'p_corrected': p, 'significant': p < _LEVEL}
  out['factors'] = sorted(found, key=lambda row: -row['share'])
  return out


def _inflation(columns: np.ndarray) -> np.ndarray:
  """Returns how much the others inflate the variance of each coefficient."""
  number = columns.shape[1]
  if not number:
    return np.zeros(0)
  related = np.corrcoef(columns, rowvar=False).reshape(number, number)
  return np.linalg.pinv(related, hermitian=True).diagonal().clip(1)


def fifths(values: np.ndarray) -> tuple[np.ndarray, list[tuple[float, float]]]:
  """Cuts clips into fifths by a factor [N]; fewer if many values are equal.

  Returns:
    (the number [N] of each clip's part, -1 for NaN; (least, greatest value) of
    each part).
  """
  known = np.isfinite(values)
  if not known.any():
    return np.full(len(values), -1), []
  inner = np.quantile(values[known], np.arange(1, _PARTS) / _PARTS)
  part = np.where(known, np.searchsorted(inner, values, side='left'), -1)
  kinds, number = np.unique(part[known], return_inverse=True)
  part[known] = number
  ends = [(float(values[part == k].min()), float(values[part == k].max()))
          for k in range(len(kinds))]  # fmt: skip
  return part, ends


def along(
    values: np.ndarray, right: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
  """Returns accuracies, and gains over the first method, in each fifth.

  `values` are [N] of a factor, `right` is method -> bool [N].

  Returns:
    Per fifth, 'from', 'to', 'clips', and 'methods': name -> 'top1' with 'low'
    and 'high' in percent (Wilson), and for all but the first 'gain' with
    'gain_low' and 'gain_high' in points.
  """
  part, ends = fifths(values)
  first, out = next(iter(right.values())), []
  for k, (low, high) in enumerate(ends):
    inside, methods = part == k, {}
    for place, (name, hits) in enumerate(right.items()):
      found = stats.binomtest(int(hits[inside].sum()), int(inside.sum()))
      bounds = found.proportion_ci(method='wilson')
      methods[name] = {
          'top1': 100 * float(hits[inside].mean()),
          'low': 100 * float(bounds.low),
          'high': 100 * float(bounds.high),
      }
      if place:
        methods[name] |= gain(first[inside], hits[inside])
    out.append({'from': low, 'to': high, 'clips': int(inside.sum()),
                'methods': methods})  # fmt: skip
  return out


def gain(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
  """Returns the gain in accuracy on the same clips, in points, with 95 % ends.

  Source: A. Agresti and Y. Min, Simple improved confidence intervals for
    comparing matched proportions, Statistics in Medicine 2005.
  """
  won, lost = (after & ~before).sum() + 0.5, (before & ~after).sum() + 0.5
  number = len(before) + 2
  middle = (won - lost) / number
  half = 1.96 * np.sqrt(won + lost - (won - lost) ** 2 / number) / number
  return {
      'gain': 100 * float(after.mean() - before.mean()),
      'gain_low': 100 * float(max(middle - half, -1)),
      'gain_high': 100 * float(min(middle + half, 1)),
  }


def by_tag(
    tags: Sequence[Sequence[str]], right: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
  """Returns accuracies in percent on clips of each tag, most clips first."""
  out = []
  for tag in {tag for own in tags for tag in own}:
    inside = np.array([tag in own for own in tags])
    row = {'tag': tag, 'clips': int(inside.sum())}
    out.append(row | {m: 100 * float(x[inside].mean())
                      for m, x in right.items()})  # fmt: skip
  return sorted(out, key=lambda row: (-row['clips'], row['tag']))
