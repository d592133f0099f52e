"""Cutting maps into windows."""

import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.models.swin3d.windows import (
  from_windows,
  plan_windows,
  position_codes,
  region_labels,
  to_windows,
)


def test_a_short_axis_is_one_window_and_does_not_shift():
  windows = plan_windows((4, 14, 7), (8, 7, 7), shifted=True)
  assert windows.window == (4, 7, 7)
  assert windows.shift == (0, 3, 0)
  assert (windows.count, windows.tokens) == (2, 196)


def test_a_ragged_axis_is_padded_to_whole_windows():
  windows = plan_windows((12, 10, 7), (8, 7, 7), shifted=True)
  assert windows.padded == (16, 14, 7)
  assert windows.shift == (4, 3, 0)


@pytest.mark.parametrize('shifted', [False, True])
def test_cutting_and_joining_gives_the_map_back(shifted):
  x = np.arange(2 * 12 * 10 * 8 * 3, dtype=np.float32)
  x = x.reshape(2, 12, 10, 8, 3)
  windows = plan_windows(x.shape[1:4], (8, 7, 7), shifted)
  cut = to_windows(jnp.asarray(x), windows)
  assert cut.shape == (2, windows.count, windows.tokens, 3)
  np.testing.assert_array_equal(from_windows(cut, windows), x)


def test_windows_run_along_rows_and_so_do_their_tokens():
  x = jnp.arange(16).reshape(1, 1, 4, 4, 1)
  windows = plan_windows((1, 4, 4), (1, 2, 2), shifted=False)
  cut = to_windows(x, windows)[0, :, :, 0]
  assert cut.tolist() == [
      [0, 1, 4, 5],
      [2, 3, 6, 7],
      [8, 9, 12, 13],
      [10, 11, 14, 15],
  ]


def test_labels_part_what_the_roll_brought_together():
  # Rows 0..5 with windows of 4 and a shift of 2, padded to 8 and rolled: the
  # last window holds rows 6, 7 (padding) and the first two rows.
  windows = plan_windows((6, 1, 1), (4, 1, 1), shifted=True)
  assert windows.padded == (8, 1, 1)
  assert region_labels(windows).reshape(2, 4).tolist() == [
      [0, 0, 0, 0],
      [9, 9, 18, 18],
  ]


def test_nothing_is_labelled_without_a_shift():
  assert region_labels(plan_windows((4, 7, 7), (8, 7, 7), True)) is None
  assert region_labels(plan_windows((4, 14, 14), (8, 7, 7), False)) is None


def test_position_codes_index_the_configured_table():
  window = (3, 2, 2)
  code, offset = position_codes(window, tokens=8)  # cut to 2 in depth
  axes = np.stack(np.meshgrid(*map(np.arange, (2, 2, 2)), indexing='ij'), -1)
  axes = axes.reshape(-1, 3)
  for p in range(8):
    for q in range(8):
      d, h, w = axes[p] - axes[q] + np.array(window) - 1
      assert code[p] - code[q] + offset == d * 9 + h * 3 + w
