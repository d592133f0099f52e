"""Fits logistic regressions, with intervals and shares of the deviance."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from data_pipelines import randomness

# With more factors than this, only some orders are taken.
_ALL_ORDERS, _ORDERS = 8, 60
_RIDGE = 1e-3
# The 95 % quantile of chi-square with one degree of freedom.
_CHI_SQUARE = 3.841459


@dataclasses.dataclass(frozen=True)
class Fit:
  """Holds coefficients [K + 1], penalised log likelihood, standard errors."""

  at: np.ndarray
  value: float
  spread: np.ndarray


def fit(table, right, fixed=None, start=None) -> Fit:
  """Fits a logistic regression by iteratively reweighted least squares.

  The likelihood is penalised by the root of the information, which keeps
  coefficients finite where a factor separates right from wrong. `table` is
  [N, K + 1] with a first column of 1, `right` bool [N]; `fixed` is a column and
  its coefficient, which is not fitted; `start` are the first coefficients.

  Source: D. Firth, Bias reduction of maximum likelihood estimates, Biometrika
    1993; G. Heinze and M. Schemper, Statistics in Medicine 2002.
  """
  at = np.zeros(table.shape[1]) if start is None else start.copy()
  free = np.ones(len(at), bool)
  if fixed:
    at[fixed[0]], free[fixed[0]] = fixed[1], False
  tiny = 1e-9 * np.eye(len(at))

  def look(at):
    line = np.clip(table @ at, -30, 30)
    p = 1 / (1 + np.exp(-line))
    weight = p * (1 - p)
    information = table.T @ (weight[:, None] * table) + tiny
    value = (right * line - np.logaddexp(0, line)).sum()
    value += np.linalg.slogdet(information)[1] / 2
    return p, weight, information, value

  p, weight, information, value = look(at)
  for _ in range(100):
    inverse = np.linalg.inv(information)
    lever = weight * ((table @ inverse) * table).sum(axis=1)
    slope = (table.T @ (right - p + lever * (0.5 - p)))[free]
    step = np.zeros(len(at))
    step[free] = np.linalg.solve(information[np.ix_(free, free)], slope)
    step *= min(1, 2 / max(np.abs(step).max(), 1e-12))
    for _ in range(20):
      new = look(at + step)
      if new[3] >= value - 1e-12:
        break
      step /= 2
    at, gained = at + step, new[3] - value
    p, weight, information, value = new
    if abs(gained) < 1e-8:
      break
  spread = np.linalg.inv(information).diagonal()
  return Fit(at, float(value), np.sqrt(np.maximum(spread, 1e-12)))


def interval(
    table: np.ndarray, right: np.ndarray, full: Fit, k: int
) -> tuple[float, float]:
  """Returns the 95 % interval of coefficient k, from the profile likelihood."""
  return tuple(_bound(table, right, full, k, side) for side in (-1, 1))


def _bound(table, right, full: Fit, k: int, side: int) -> float:
  near = full

  def excess(value):
    nonlocal near
    near = fit(table, right, (k, value), near.at)
    return 2 * (full.value - near.value) - _CHI_SQUARE

  inside, step = full.at[k], side * 1.96 * full.spread[k]
  outside = inside + step
  for _ in range(8):
    if excess(outside) > 0:
      break
    inside, step = outside, 2 * step
    outside = inside + step
  for _ in range(12):
    middle = (inside + outside) / 2
    if excess(middle) > 0:
      outside = middle
    else:
      inside = middle
  return float((inside + outside) / 2)


def shares(table, right, seed: int) -> tuple[np.ndarray, float]:
  """Computes Shapley shares of the explained deviance, which add up to 1.

  A share is the mean of what a factor adds to those before it, over all orders,
  or over some and their reverses.

  Source: L. Shapley, 1953; R. Azen and N. Traxel, Using dominance analysis to
    determine predictor importance in logistic regression, 2009.
  """
  count = table.shape[1] - 1
  if count <= _ALL_ORDERS:
    orders = np.array(list(itertools.permutations(range(count))))
  else:
    draw = randomness.generator(seed, 'orders of factors')
    orders = np.array([draw.permutation(count) for _ in range(_ORDERS // 2)])
    orders = np.concatenate([orders, orders[:, ::-1]])
  # The factors before each place of an order, as bits.
  before = np.zeros((len(orders), count + 1), np.int64)
  before[:, 1:] = np.cumsum(1 << orders, axis=1)
  sets, places = np.unique(before, return_inverse=True)
  explained = _explained(table, right, sets)
  added = np.diff(explained[places.reshape(before.shape)], axis=1)
  shares, total = np.zeros(count), float(explained[-1])
  np.add.at(shares, orders, added / len(orders))
  return shares / total if total > 1e-9 else shares, total


def _explained(table, right, sets) -> np.ndarray:
  """Returns 1 - deviance / that without factors, for sets of factors (bits).

  A small ridge keeps coefficients finite.
  """
  outer = (table[:, :, None] * table[:, None]).reshape(len(table), -1)
  size, out = table.shape[1], []
  ridge = np.where(np.arange(size) > 0, _RIDGE * len(table), 0) + 1e-9
  for start in range(0, len(sets), 64):
    # Every set has the first column, which is 1.
    bits = 1 + 2 * sets[start : start + 64, None]
    chosen = (bits >> np.arange(size) & 1).astype(bool)
    at = np.zeros(chosen.shape)
    for _ in range(20):
      p = 1 / (1 + np.exp(-np.clip(at @ table.T, -30, 30)))
      slope = ((right - p) @ table - ridge * at) * chosen
      curve = ((p * (1 - p)) @ outer).reshape(-1, size, size)
      curve = curve * (chosen[:, :, None] & chosen[:, None])
      curve += np.eye(size) * (ridge + ~chosen[:, :, None])
      step = np.linalg.solve(curve, slope[..., None])[..., 0]
      at += np.clip(step, -3, 3)
      if np.abs(step).max() < 1e-4:
        break
    line = np.clip(at @ table.T, -30, 30)
    out.append(-2 * (right * line - np.logaddexp(0, line)).sum(axis=1))
  share = right.mean()
  least = -2 * (right.sum() * np.log(share) + (~right).sum() * np.log1p(-share))
  return 1 - np.concatenate(out) / least


def holm(values: Sequence[float]) -> list[float]:
  """Corrects p-values for their number, by S. Holm (1979)."""
  order, out, most = np.argsort(values), [1.0] * len(values), 0.0
  for rank, k in enumerate(order):
    most = max(most, min(1.0, (len(values) - rank) * values[k]))
    out[k] = most
  return out
