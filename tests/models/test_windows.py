"""Windows of maps, and attention within them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.models.swin3d import blocks
from evclip_jax.models.swin3d.blocks import (
    SwinBlock,
    attend,
    position_bias,
    position_codes,
)
from evclip_jax.models.swin3d.windows import (
    from_windows,
    plan_windows,
    region_labels,
    to_windows,
)


def test_a_short_axis_is_one_window_and_does_not_shift():
  windows = plan_windows((4, 14, 7), (8, 7, 7), shifted=True)
  assert windows.window == (4, 7, 7)
  assert windows.shift == (0, 3, 0)
  assert (windows.count, windows.tokens) == (2, 196)


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


def test_labels_separate_what_the_roll_brought_together():
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


WINDOWS = plan_windows((1, 4, 4), (1, 2, 2), shifted=True)


def draw(*shape):
  return jax.random.normal(jax.random.key(sum(shape)), shape)


def plain_attend(q, k, v, bias, labels):
  """Attends as the originals do, with JAX's own gradient."""
  scores = jnp.einsum('nhqd,nhkd->nhqk', q, k) + bias
  if labels is not None:
    apart = labels[:, None, :, None] != labels[:, None, None, :]
    n = len(q) // len(labels)
    scores = scores + jnp.tile(jnp.where(apart, -100.0, 0), (n, 1, 1, 1))
  return jnp.einsum('nhqk,nhkd->nhqd', jax.nn.softmax(scores), v)


@pytest.mark.parametrize('labels', [None, region_labels(WINDOWS)])
def test_attention_and_its_written_gradient(labels):
  q, k, v, weights = draw(4, 8, 2, 4, 3)
  args = [q, k, v, draw(2, 4, 4)]

  def results(function):
    def total(args):
      return (function(*args, labels) * weights).sum()

    return jax.jit(jax.value_and_grad(total))(args)

  for found, expected in zip(
      jax.tree.leaves(results(attend)),
      jax.tree.leaves(results(plain_attend)),
      strict=True,
  ):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_both_ways_to_the_bias_agree(monkeypatch):
  table = draw(5 * 3 * 3, 2)
  dense = position_bias(table, (3, 2, 2), tokens=8)
  monkeypatch.setattr(blocks, '_DENSE', 0)
  looked_up = position_bias(table, (3, 2, 2), tokens=8)
  assert dense.shape == (2, 8, 8)
  np.testing.assert_allclose(dense, looked_up, atol=1e-6)
  # A token and itself use the middle row of the table.
  np.testing.assert_allclose(dense[:, 3, 3], table[22], atol=1e-6)


def block(rate):
  return SwinBlock(2, (1, 2, 2), shifted=True, drop_path=rate)


def test_drop_path_acts_per_sample_and_only_with_a_key():
  x = jax.random.normal(jax.random.key(0), (64, 1, 4, 4, 8))
  params = jax.jit(block(0.5).init)(jax.random.key(1), x)
  apply = jax.jit(block(0.5).apply)
  np.testing.assert_array_equal(
      apply(params, x), jax.jit(block(0.0).apply)(params, x)
  )
  y = apply(params, x, jax.random.key(2))
  dropped = (y == x).all((1, 2, 3, 4)).mean()  # both branches: 1 in 4
  assert 0.1 < dropped < 0.4
  np.testing.assert_array_equal(y, apply(params, x, jax.random.key(2)))
