"""Pixels on the device: normalisation and changes of colours."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.models import pixels

ORDERS = [(0, 1, 2, 3), (3, 0, 2, 1), (2, 3, 1, 0), (1, 2, 3, 0)]


def noise(*shape):
  return np.random.default_rng(0).random((*shape, 3)).astype(np.float32)


def changed(frame, factors, hue, order):
  """Changes a float frame [H, W, 3] pixel by pixel, by definition."""
  light = [0.299, 0.587, 0.114]
  for kind in order:
    if kind == 3:
      for pixel in frame.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        pixel[:] = colorsys.hsv_to_rgb((h + hue) % 1, s, v)
      continue
    grey = (frame @ light)[..., None]
    other = (0, grey.mean(), grey)[kind]
    frame = np.clip(factors[kind] * frame + (1 - factors[kind]) * other, 0, 1)
  return frame


def test_pixels_are_normalised_per_colour():
  frames = np.zeros((1, 2, 1, 1, 3), np.uint8)
  frames[0, 1] = 255
  out = pixels.normalise(frames, pixels.IMAGENET_MEAN, pixels.IMAGENET_STD)
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(
      out[0, 0, 0, 0], [-2.117904, -2.035714, -1.804444], rtol=1e-5
  )
  np.testing.assert_allclose(
      out[0, 1, 0, 0], [2.2489083, 2.4285715, 2.64], rtol=1e-5
  )


def test_floats_are_in_the_same_range_as_integers():
  frames = np.arange(12, dtype=np.uint8).reshape(1, 1, 2, 2, 3)
  constants = pixels.CONSTANTS['clip']
  np.testing.assert_array_equal(
      pixels.normalise(frames, *constants),
      pixels.normalise(frames.astype(np.float32), *constants),
  )
  # Dark clips are divided too.
  frames = np.ones((1, 1, 1, 1, 3), np.uint8)
  out = pixels.normalise(frames, (0, 0, 0), (1, 1, 1))
  np.testing.assert_allclose(out, 1 / 255, rtol=1e-6)


def test_colours_change_as_defined_in_any_order():
  frames = noise(4, 5, 7)
  factors = np.float32([[1.3, 0.7, 1.4], [0.6, 1.4, 0.8]] * 2)
  hues = np.float32([-0.2, 0.1, 0.25, -0.05])
  change = factors, hues, np.array(ORDERS)
  out = jax.jit(pixels.change_colours)(frames, *change)
  for i in range(4):
    wanted = changed(
        frames[i].astype(float), factors[i], float(hues[i]), ORDERS[i]
    )
    np.testing.assert_allclose(out[i], wanted, atol=2e-5)


def test_colours_are_drawn_within_their_strengths():
  strengths = (0.4, 0.4, 0.2, 0.1)
  factors, hue, order = pixels.draw_colours(
      jax.random.key(0), (4000,), strengths
  )
  for values, middle, strength in zip(
      [*np.asarray(factors).T, np.asarray(hue)],
      (1, 1, 1, 0),
      strengths,
      strict=True,
  ):
    assert np.abs(values - middle).max() <= strength + 1e-6
    assert np.ptp(values) > 1.98 * strength
  orders, counts = np.unique(order, axis=0, return_counts=True)
  assert len(orders) == 24 and counts.min() > 100


@pytest.mark.parametrize(
    ('per', 'kinds'), [('frame', {1, 4}), ('clip', {1}), ('none', {1})]
)
def test_colours_change_per_frame_or_per_clip(per, kinds):
  still = np.repeat(np.rint(255 * noise(1, 1, 4, 4)), 4, axis=1)
  clips = np.repeat(still, 300, axis=0)
  out = np.asarray(pixels.random_colours(clips, jax.random.key(1), per))
  assert {len(np.unique(clip, axis=0)) for clip in out} == kinds
  same = np.isclose(out, clips, atol=1e-3).all((1, 2, 3, 4)).mean()
  grey = (np.ptp(out, axis=-1) < 1e-3).all((1, 2, 3)).mean()
  # One clip in five is grey, one in five of the others is unchanged.
  assert 0.13 < grey < 0.27
  assert abs(same - (0.8 if per == 'none' else 0.16)) < 0.07
