import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.models.swin3d import blocks
from evclip_jax.models.swin3d.blocks import SwinBlock, attend, position_bias
from evclip_jax.models.swin3d.windows import plan_windows, region_labels

WINDOWS = plan_windows((1, 4, 4), (1, 2, 2), shifted=True)


def draw(*shape):
  return jax.random.normal(jax.random.key(sum(shape)), shape)


def plain_attend(q, k, v, bias, labels):
  """As the originals write it, with the gradient that JAX derives."""
  scores = jnp.einsum('nhqd,nhkd->nhqk', q, k) + bias
  if labels is not None:
    apart = labels[:, None, :, None] != labels[:, None, None, :]
    n = len(q) // len(labels)
    scores = scores + jnp.tile(jnp.where(apart, -100.0, 0), (n, 1, 1, 1))
  return jnp.einsum('nhqk,nhkd->nhqd', jax.nn.softmax(scores), v)


@pytest.mark.parametrize('labels', [None, region_labels(WINDOWS)])
def test_attention_and_its_written_gradient(labels):
  args = [draw(8, 2, 4, size) for size in (3, 3, 3)]
  args = [*args[:2], args[2] + 1, draw(2, 4, 4)]
  weights = draw(8, 2, 4, 3)

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
  # The same token: no difference of positions, the middle row of the table.
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


def test_bfloat16_stays_near_float32():
  x = jax.random.normal(jax.random.key(0), (2, 1, 4, 4, 8))
  params = jax.jit(block(0.0).init)(jax.random.key(1), x)
  half = SwinBlock(2, (1, 2, 2), shifted=True, dtype=jnp.bfloat16)
  y = half.apply(params, x.astype(jnp.bfloat16))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_allclose(
      y.astype(jnp.float32), block(0.0).apply(params, x), atol=0.05
  )
