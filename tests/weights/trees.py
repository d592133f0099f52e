"""Draws and compares flat trees of weights."""

import numpy as np


def draw(shapes):
  """Draws float32 arrays of these shapes."""
  rng = np.random.default_rng(0)
  return {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def assert_same(found, wanted):
  """Asserts equal names, dtypes and values."""
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    assert found[name].dtype == value.dtype, name
    np.testing.assert_array_equal(found[name], value, name)
