import jax.numpy as jnp
import numpy as np

from evclip_jax.models import pixels


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


def test_dark_clips_are_divided_too():
  frames = np.ones((1, 1, 1, 1, 3), np.uint8)
  out = pixels.normalise(frames, (0, 0, 0), (1, 1, 1))
  np.testing.assert_allclose(out, 1 / 255, rtol=1e-6)


def test_time_folds_in_and_out():
  x = jnp.arange(24).reshape(2, 3, 4)
  folded = pixels.fold_time(x)
  assert folded.shape == (6, 4)
  assert folded[3].tolist() == x[1, 0].tolist()
  np.testing.assert_array_equal(pixels.unfold_time(folded, 3), x)
