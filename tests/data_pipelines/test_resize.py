"""PyTorch's bicubic interpolation, number by number."""

import pathlib

import numpy as np
import pytest

from data_pipelines.video import read
from data_pipelines.views import crops, ev_clip, pixels, taps, windows
from tests.data_pipelines import coded_clips


def numbers(count, stream):
  """The specification's hash: `count` numbers in [-1, 1)."""
  mask = np.uint64(0xFFFFFFFF)
  x = (np.arange(count, dtype=np.uint64) + np.uint64(1000003 * stream)) & mask
  x ^= x >> np.uint64(16)
  x = (x * np.uint64(0x7FEB352D)) & mask
  x ^= x >> np.uint64(15)
  x = (x * np.uint64(0x846CA68B)) & mask
  x ^= x >> np.uint64(16)
  return 2 * x.astype(np.float64) / 2**32 - 1


def fixture(height, width, stream):
  image = 127.5 * numbers(height * width, stream) + 127.5
  return np.stack([image.reshape(1, height, width)] * 3, axis=-1)


# Made with torch 2 in float64 by the original modules.
ENLARGED_ROW_0 = (
    142.98915842,
    33.71424026,
    0.29550321,
    93.12078857,
    197.59490470,
    263.37628794,
    103.99461223,
    50.47923708,
    210.67977524,
)
SHRUNK_ROW_0 = (
    191.79395565,
    150.62407882,
    141.93511723,
    105.82810735,
    226.69401672,
    185.87085458,
    184.29580775,
    63.30872449,
    228.81607056,
)


def test_enlarging_equals_torch():
  out = pixels.resize(fixture(5, 7, 782), 8, 9)[0, :, :, 0]
  np.testing.assert_allclose(out[0], ENLARGED_ROW_0, atol=1e-8)
  np.testing.assert_allclose(
      out[3, :2], [-22.33325173, 169.54185840], atol=1e-8
  )


def test_shrinking_equals_torch():
  out = pixels.resize(fixture(40, 60, 783), 8, 9)[0, :, :, 0]
  np.testing.assert_allclose(out[0], SHRUNK_ROW_0, atol=1e-8)
  small = pixels.resize(
      fixture(40, 60, 783).astype(np.float32), 8, 9
  )
  np.testing.assert_allclose(small[0, 0, :, 0], SHRUNK_ROW_0, atol=1e-4)


def test_weights_sum_to_one_and_stay_inside():
  for size_in, size_out in ((240, 256), (1080, 256), (3, 340), (1, 5), (7, 7)):
    index, weight = taps.bicubic_taps(size_in, size_out)
    np.testing.assert_allclose(weight.sum(0), 1, atol=1e-12)
    assert index.min() >= 0 and index.max() < size_in


def frames_of(height, width, count=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('size', [(240, 320), (100, 90), (300, 700), (256, 99)])
def test_bytes_are_the_rounded_and_limited_floats(size):
  frames = frames_of(*size)
  exact = pixels.resize(frames.astype(np.float64), 256, 340)
  assert exact.min() < 0 and exact.max() > 255
  out = pixels.resize(frames, 256, 340)
  assert out.dtype == np.uint8 and out.shape == (3, 256, 340, 3)
  assert np.abs(out - np.clip(exact, 0, 255)).max() < 0.5001


@pytest.mark.parametrize('size', [(240, 320), (480, 640), (256, 340), (50, 50)])
def test_a_window_equals_the_crop_of_the_whole(size):
  frames = frames_of(*size)
  whole = pixels.resize(frames, 256, 340)
  for top, left in ((16, 58), (0, 0), (32, 116), (7, 33)):
    np.testing.assert_array_equal(
        ev_clip.cut(frames, (top, left), ev_clip.Spec()),
        whole[:, top : top + 224, left : left + 224],
    )


def test_frames_of_the_right_size_are_left_alone():
  frames = frames_of(256, 340)
  np.testing.assert_array_equal(
      pixels.resize(frames, 256, 340), frames
  )


def test_a_view_of_turned_frames_is_resized_like_a_copy():
  frames = np.rot90(frames_of(90, 120), 1, axes=(1, 2))
  np.testing.assert_array_equal(
      ev_clip.cut(frames, (3, 4), ev_clip.Spec()),
      ev_clip.cut(np.ascontiguousarray(frames), (3, 4), ev_clip.Spec()),
  )


def test_bilinear_pixels_are_the_weighted_means_of_their_neighbours():
  frames = frames_of(3, 2, count=1).astype(np.float64)
  out = pixels.resize(frames, 6, 2, kernel='bilinear')
  first, second = frames[0, :2]
  np.testing.assert_allclose(out[0, 0], first, atol=1e-12)
  np.testing.assert_allclose(out[0, 1], 0.75 * first + 0.25 * second)
  np.testing.assert_allclose(out[0, 2], 0.25 * first + 0.75 * second)


def test_no_frames_give_none():
  assert pixels.resize(frames_of(9, 9, 0), 256, 340).shape == (0, 256, 340, 3)


def test_frames_that_are_no_colour_pictures_are_refused():
  for shape in ((9, 9, 3), (1, 9, 9, 1)):
    with pytest.raises(ValueError, match=r'\[T, H, W, 3\]'):
      pixels.resize(np.zeros(shape, np.uint8), 256, 340)


def test_a_window_outside_is_refused():
  for window in ((0, 117, 224, 224), (-1, 0, 224, 224)):
    with pytest.raises(ValueError, match='not inside 256x340'):
      pixels.resize(frames_of(9, 9), 256, 340, window)


def test_the_same_pixels_eagerly_and_inside_tf_data(tmp_path):
  tf = pytest.importorskip('tensorflow')
  forms = {f.name: f for f in coded_clips.FORMATS}
  paths = [
      coded_clips.write(tmp_path / 'a.mp4', forms['h264_mp4']),
      coded_clips.write(tmp_path / 'b.avi', forms['mpeg4_b_avi'], 20),
  ]

  def clip(contents, seed):
    generator = np.random.default_rng(seed)
    total = 40 if contents[:4] != b'RIFF' else 20
    indices = windows.frame_indices(
        total, 4, 16, mode='random', generator=generator
    )
    offsets = crops.random_offsets(256, 340, 224, generator)
    return ev_clip.cut(
        read.read_frames(contents, indices), offsets, ev_clip.Spec()
    )

  contents = [pathlib.Path(paths[k % 2]).read_bytes() for k in range(6)]
  dataset = tf.data.Dataset.from_tensor_slices((contents, list(range(6)))).map(
      lambda *args: tf.numpy_function(clip, args, tf.uint8),
      num_parallel_calls=3,
      deterministic=True,
  )
  for k, inside in enumerate(dataset.as_numpy_iterator()):
    np.testing.assert_array_equal(inside, clip(contents[k], k))
    assert inside.shape == (4, 224, 224, 3)
