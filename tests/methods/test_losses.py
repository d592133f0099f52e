"""Losses. Numbers are from the originals: fixtures of the specifications."""

import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.methods import losses
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
  padded = np.concatenate([frames, np.full_like(frames, np.nan)])
  mask = np.concatenate([ALL, 0 * ALL])
  np.testing.assert_allclose(
      losses.consistency(padded, mask), losses.consistency(frames, ALL)
  )
  # It averages before the logarithm: two frames have the cosine 1 in one clip
  # and -0.5 in the other, 0.25 in the mean.
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


def test_soft_contrastive_of_the_original():
  # Section 12.1 of EZ-CLIP's specification.
  i, j = np.mgrid[:4, :4]
  logits, labels = 10 * np.sin(4 * i + j), np.array([3, 5, 3, 7])
  for found, expected in (
      (logits, 7.708735359400917),
      (logits.T, 7.691209434168701),
  ):
    loss = losses.soft_contrastive(jnp.asarray(found), labels, np.ones(4))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_soft_contrastive_leaves_padding_out():
  logits = np.array([[2.0, -1.0, 9.0], [0.5, 3.0, 9.0], [9.0, 9.0, 9.0]])
  labels, mask = np.array([1, 0, 0]), np.array([1.0, 1.0, 0.0])
  loss = jax.value_and_grad(losses.soft_contrastive)
  found, gradient = loss(jnp.asarray(logits), labels, mask)
  alone, _ = loss(jnp.asarray(logits[:2, :2]), labels[:2], mask[:2])
  np.testing.assert_allclose(found, alone, rtol=1e-6)
  assert np.isfinite(gradient).all()
  assert not np.any(gradient[2]) and not np.any(gradient[:, 2])


def test_motion_of_the_original():
  frames = np.cos(np.arange(24.0)).reshape(2, 4, 3).astype(np.float32)
  expected = 0.48858254962082254
  np.testing.assert_allclose(
      losses.motion(frames, np.ones(2)), expected, rtol=1e-6
  )
  padded = np.concatenate([frames, np.full_like(frames, np.nan)])
  found = losses.motion(padded, np.array([1.0, 1, 0, 0]))
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  still = np.repeat(frames[:, :1], 4, axis=1)
  np.testing.assert_allclose(losses.motion(still, np.ones(2)), 1)
