"""Compares what we compute with what is expected, strictly."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Largest deviations, in units of the largest absolute expected value.
OUTPUT = 1e-4
GRADIENT = 1e-3
TRAJECTORY = 2e-3


@dataclasses.dataclass(frozen=True)
class Line:
  """One row of the table.

  Attributes:
    name: of what is compared.
    error: relative deviation; inf if it cannot be compared.
    tolerance: the largest error that passes.
    note: why it cannot be compared.
  """

  name: str
  error: float
  tolerance: float
  note: str = ''

  @property
  def ok(self) -> bool:
    """Whether it passes; an error that is not a number does not."""
    return self.error <= self.tolerance


def missed(name: str, note: str, tolerance: float = 0.0) -> Line:
  """The row of something that cannot be compared."""
  return Line(name, math.inf, tolerance, note)


def outputs(
    expected: Mapping[str, np.ndarray],
    ours: Mapping[str, Any],
    given: Iterable[str] = (),
    trajectories: Iterable[str] = ('losses',),
) -> list[Line]:
  """Compares arrays by name; each must be on both sides.

  Args:
    expected: all arrays of the case.
    ours: name -> array in the original layout.
    given: names in `expected` that are inputs, such as 'tokens'.
    trajectories: names of losses over optimizer steps, which deviate more.

  Returns:
    One row for each name on either side.
  """
  lines = []
  for name in [n for n in expected if n not in set(given)]:
    tolerance = TRAJECTORY if name in set(trajectories) else OUTPUT
    if name in ours:
      lines.append(array(name, expected[name], ours[name], tolerance))
    else:
      lines.append(missed(name, 'expected, but not computed', tolerance))
  lines += [
      missed(name, 'computed, but expected.npz does not have it')
      for name in ours
      if name not in expected
  ]
  return lines


def array(name: str, expected: Any, ours: Any, tolerance: float) -> Line:
  """Compares two arrays of the same shape.

  The error is the largest absolute deviation over the largest absolute expected
  value.
  """
  expected, ours = np.asarray(expected), np.asarray(ours)
  if not np.issubdtype(expected.dtype, np.floating):
    return missed(name, f'expected values are {expected.dtype}', tolerance)
  if expected.shape != ours.shape:
    note = f'expected {expected.shape}, computed {ours.shape}'
    return missed(name, note, tolerance)
  for side, values in (('expected', expected), ('computed', ours)):
    if not values.size:
      return missed(name, f'{side} array is empty', tolerance)
    if not np.isfinite(values).all():
      return missed(name, f'{side} values are not finite', tolerance)
  expected, ours = expected.astype(np.float64), ours.astype(np.float64)
  scale = np.abs(expected).max()
  return Line(name, _over(np.abs(ours - expected).max(), scale), tolerance)


def gradients(
    expected: Mapping[str, Any], ours: Mapping[str, Any]
) -> list[Line]:
  """Compares gradients; every trained tensor must be on both sides.

  The error is the larger one of two: that of the norm, over the norm; that of
  the first elements, over the largest of them or the root mean square of the
  whole gradient, whichever is larger.

  Args:
    expected: original tensor name -> [norm, first (up to four) elements].
    ours: original tensor name -> gradient in the original layout.

  Returns:
    One row for each name on either side.
  """
  lines = []
  for name, entry in expected.items():
    label = f'grad {name}'
    if name not in ours:
      lines.append(missed(label, 'expected, but not trained', GRADIENT))
    else:
      lines.append(_gradient(label, entry, np.asarray(ours[name])))
  lines += [
      missed(f'grad {name}', 'trained, but the manifest does not have it')
      for name in ours
      if name not in expected
  ]
  return lines or [missed('grads', 'no gradient at all', GRADIENT)]


def _gradient(label: str, entry: Any, ours: np.ndarray) -> Line:
  try:
    norm, first = entry
    norm, first = float(norm), np.asarray(first, np.float64)
  except (TypeError, ValueError):
    return missed(label, f'the manifest has {entry!r:.40}', GRADIENT)
  if first.shape != (min(4, ours.size),):
    note = f'{ours.size} elements, the manifest shows {first.shape}'
    return missed(label, note, GRADIENT)
  ours = ours.astype(np.float64).ravel()
  values = np.concatenate([[norm], first, ours])
  if not np.isfinite(values).all() or norm < 0:
    return missed(label, 'values are not finite', GRADIENT)
  our_norm = np.linalg.norm(ours)
  scale = max(np.abs(first).max(), norm / math.sqrt(ours.size))
  error = max(
      _over(abs(our_norm - norm), norm),
      _over(np.abs(ours[: first.size] - first).max(), scale),
  )
  return Line(label, error, GRADIENT)


def _over(deviation: float, scale: float) -> float:
  """Their quotient; 0 if both are 0."""
  if scale > 0:
    return float(deviation / scale)
  return 0.0 if deviation == 0 else math.inf
