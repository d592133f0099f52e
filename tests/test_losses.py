"""Numbers: fixture A7 of the specification, from the original."""

import jax.numpy as jnp
import numpy as np

from evclip_jax import losses
from tests import spec_numbers

ALL = np.ones(3, np.float32)


def test_consistency_of_fixture_a7():
  frames = spec_numbers.tensor((3, 5, 7), 781, 1)
  np.testing.assert_allclose(
      losses.consistency(frames, ALL), 0.567712178374, rtol=1e-6
  )
  np.testing.assert_allclose(
      losses.consistency(frames + 2, ALL), 0.023896775811, rtol=1e-5
  )


def test_consistency_leaves_padding_out():
  frames = spec_numbers.tensor((3, 5, 7), 781, 1)
  padded = np.concatenate([frames, np.full_like(frames, np.nan)])
  mask = np.concatenate([ALL, 0 * ALL])
  np.testing.assert_allclose(
      losses.consistency(padded, mask), losses.consistency(frames, ALL)
  )


def test_consistency_averages_before_the_logarithm():
  # Two frames at cosine 1 in one clip and -0.5 in the other: mean 0.25.
  frames = jnp.array([[[1.0, 0], [1, 0]], [[1, 0], [-0.5, 0.75**0.5]]])
  expected = -2 * np.log((0.25 + 1) / 2) / 4
  np.testing.assert_allclose(
      losses.consistency(frames, jnp.ones(2)), expected, rtol=1e-5
  )


def test_cross_entropy_by_hand():
  logits = jnp.array([[0.0, np.log(3)], [0.0, 0.0], [50.0, 0.0]])
  mask = jnp.array([1.0, 1.0, 0.0])
  expected = (np.log(4 / 3) + np.log(2)) / 2
  np.testing.assert_allclose(
      losses.cross_entropy(logits, jnp.array([1, 0, 1]), mask),
      expected,
      rtol=1e-6,
  )


def test_cross_entropy_of_bfloat16_logits_is_float32():
  logits = jnp.array([[0.0, 1.0]], jnp.bfloat16)
  loss = losses.cross_entropy(logits, jnp.array([0]), jnp.ones(1))
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, np.log(1 + np.e), rtol=1e-6)


def test_a_batch_of_padding_gives_zero():
  assert losses.masked_mean(jnp.ones((2, 3)), jnp.zeros(2)).tolist() == [0] * 3
