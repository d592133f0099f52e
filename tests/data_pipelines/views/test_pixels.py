"""OpenCV's interpolation against PyTorch's numbers."""

import numpy as np
import pytest

from data_pipelines.views import ev_clip, pixels
from tests import spec_numbers

# Rows 0 of images resized to 8 x 9 with torch 2 in float64 by the original
# modules; {(height, width, stream): numbers}.
TORCH = {
    (5, 7, 782): (
        *(142.98915842, 33.71424026, 0.29550321, 93.12078857, 197.59490470),
        *(263.37628794, 103.99461223, 50.47923708, 210.67977524),
    ),
    (40, 60, 783): (
        *(191.79395565, 150.62407882, 141.93511723, 105.82810735),
        *(226.69401672, 185.87085458, 184.29580775, 63.30872449),
        *(228.81607056,),
    ),
}


@pytest.mark.parametrize(('height', 'width', 'stream'), TORCH)
def test_floats_equal_torch(height, width, stream):
  image = 127.5 * spec_numbers.series(height * width, stream) + 127.5
  frame = np.stack([image.reshape(1, height, width)] * 3, axis=-1)
  out = pixels.resize(frame.astype(np.float32), 8, 9)[0, 0, :, 0]
  np.testing.assert_allclose(out, TORCH[height, width, stream], atol=1e-4)


def weights(size_in, size_out, kernel):
  """torch's matrix [size_out, size_in] of one axis, in float64."""
  out = np.zeros((size_out, size_in))
  for o in range(size_out):
    place = (o + 0.5) * (size_in / size_out) - 0.5
    low = int(np.floor(place))
    for k in range(-1, 3):
      d = abs(place - low - k)
      if kernel == 'bilinear':
        weight = max(1 - d, 0)
      elif d <= 1:
        weight = 1.25 * d**3 - 2.25 * d**2 + 1
      else:
        weight = -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3
      out[o, np.clip(low + k, 0, size_in - 1)] += weight
  return out


def frames_of(height, width, count=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def interpolated(frames, size, kernel):
  """Frames [..., H, W, 3] resized in float64; border pixels are repeated."""
  axes = zip(frames.shape[-3:-1], size, strict=True)
  down, across = (weights(old, new, kernel) for old, new in axes)
  frames = frames.astype(float)
  return np.einsum('oy,...yxc,px->...opc', down, frames, across, optimize=True)


def exact(frames, kernel):
  """The bytes of frames resized to 256 x 340, computed in float64."""
  numbers = interpolated(frames, (256, 340), kernel)
  # An exact half may have lost a little on its way.
  return np.floor(np.clip(numbers, 0, 255) + 0.5 + 1e-9)


@pytest.mark.parametrize('kernel', ['bicubic', 'bilinear'])
@pytest.mark.parametrize('size', [(240, 320), (100, 90), (300, 700), (256, 99)])
def test_bytes_are_torchs_to_one_level_in_ten_thousand(size, kernel):
  frames = frames_of(*size)
  out = pixels.resize(frames, 256, 340, kernel=kernel)
  assert out.dtype == np.uint8 and out.shape == (3, 256, 340, 3)
  error = np.abs(out - exact(frames, kernel))
  assert error.max() <= 1 and (error > 0).mean() < 1e-4


# Only a part of the frame is resized for a window; 256 x 341 hardly changes.
@pytest.mark.parametrize(
    'size',
    [(240, 320), (480, 640), (256, 340), (256, 341), (50, 50), (1080, 1920)],
)
def test_a_window_equals_the_crop_of_the_whole(size):
  frames = frames_of(*size)
  whole, errors = exact(frames, 'bicubic'), []
  for top, left in ((16, 58), (0, 0), (32, 116), (7, 33)):
    out = ev_clip.Spec().cut(frames, (top, left))
    errors.append(out - whole[:, top : top + 224, left : left + 224])
  assert np.abs(errors).max() <= 1 and np.mean(np.abs(errors)) < 2e-5


def test_frames_of_the_right_size_are_left_alone():
  frames = frames_of(256, 340)
  np.testing.assert_array_equal(pixels.resize(frames, 256, 340), frames)


def test_a_view_of_turned_frames_is_resized_like_a_copy():
  turned = np.rot90(frames_of(320, 240), 1, axes=(1, 2))[:, :, ::-1]
  np.testing.assert_array_equal(
      pixels.resize(turned, 256, 340),
      pixels.resize(np.ascontiguousarray(turned), 256, 340),
  )
  assert pixels.resize(turned[:0], 256, 340).shape == (0, 256, 340, 3)


def test_what_is_no_frames_or_lies_outside_is_refused():
  for shape in ((9, 9, 3), (1, 9, 9, 1)):
    with pytest.raises(ValueError, match=r'\[T, H, W, 3\]'):
      pixels.resize(np.zeros(shape, np.uint8), 256, 340)
  for window in ((0, 117, 224, 224), (-1, 0, 224, 224)):
    with pytest.raises(ValueError, match='not inside 256x340'):
      pixels.resize(frames_of(9, 9), 256, 340, window)
