"""Compares flat trees of weights."""

import numpy as np


def assert_same(found, wanted):
  """Equal arrays of equal types under equal names."""
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    assert found[name].dtype == value.dtype, name
    np.testing.assert_array_equal(found[name], value, name)
