"""Loops over pixels, compiled by Numba."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
  """Compiles a function when it is first called.

  The result is kept beside its source if something can be written there. It
  runs without Python's lock, so that the threads of a loader do not wait for
  each other.
  """
  # Without a test for zero at every division; none here divides by it.
  options = {'nogil': True, 'error_model': 'numpy'}
  try:
    return numba.njit(function, cache=True, **options)
  except RuntimeError:
    # There is no folder that may be written to.
    return numba.njit(function, **options)
