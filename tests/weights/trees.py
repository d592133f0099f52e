"""Compares flat trees of weights."""

import numpy as np


def assert_same(found, wanted):
  """Asserts equal names, dtypes and values."""
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    assert found[name].dtype == value.dtype, name
    np.testing.assert_array_equal(found[name], value, name)
