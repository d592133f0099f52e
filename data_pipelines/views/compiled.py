"""Loops over pixels, compiled by Numba."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
  """Compiles a function when it is first called.

  The result is kept beside its source, or where NUMBA_CACHE_DIR says. It runs
  without Python's lock, so that threads do not wait for each other.
  """
  # Without a test for zero at every division; none here divides by it.
  options = {'nogil': True, 'error_model': 'numpy'}
  try:
    return numba.njit(function, cache=True, **options)
  except RuntimeError:
    # No folder for it may be written to.
    return numba.njit(function, **options)
