"""The worked examples of EV-CLIP's sampling, and what holds for all sizes."""

import itertools

import numpy as np
import pytest

from data_pipelines import sampling


def indices(total, num_frames=8, window=32, **kwargs):
  return sampling.frame_indices(total, num_frames, window, **kwargs).tolist()


@pytest.mark.parametrize(
    ('total', 'num_frames', 'expected'),
    [
        (32, 8, range(0, 32, 4)),
        (33, 8, range(0, 32, 4)),
        (34, 8, range(1, 33, 4)),
        (164, 8, range(66, 98, 4)),
        (164, 16, range(66, 98, 2)),
        (20, 8, range(0, 16, 2)),
        (31, 8, range(0, 24, 3)),
        (8, 8, range(8)),
    ],
)
def test_centre_window_of_the_specification(total, num_frames, expected):
  assert indices(total, num_frames) == list(expected)


def test_short_videos_repeat_the_last_frame():
  assert indices(5) == [0, 1, 2, 3, 4, 4, 4, 4]
  assert indices(2) == [0, 1, 1, 1, 1, 1, 1, 1]
  assert indices(1) == [0] * 8


def test_a_window_of_one_frame_is_the_middle():
  assert indices(9, window=1) == [4] * 8


def test_a_window_shorter_than_the_clip_repeats_its_last_frame():
  assert indices(100, 8, window=4) == [48, 49, 50, 51, 51, 51, 51, 51]


def test_several_clips_reach_from_the_first_to_the_last_frame():
  starts = [indices(132, clip=c, num_clips=5)[0] for c in range(5)]
  assert starts == [0, 25, 50, 75, 100]
  # As the original's int(clip * (t - w) / (C - 1)), true division first.
  starts = [indices(131, clip=c, num_clips=4)[0] for c in range(4)]
  assert starts == [0, 33, 66, 99]
  # The middle one of five is the centre.
  for total in range(32, 90):
    assert indices(total, clip=2, num_clips=5) == indices(total)
  assert indices(20, clip=4, num_clips=5) == indices(20)


def test_random_windows_cover_every_start_and_no_other():
  starts = set()
  for seed in range(200):
    generator = np.random.default_rng(seed)
    clip = indices(37, mode='random', generator=generator)
    starts.add(clip[0])
    assert np.diff(clip).tolist() == [4] * 7
  assert starts == set(range(6))


def test_indices_are_always_inside():
  generator = np.random.default_rng(0)
  for total, frames, window in itertools.product(
      range(1, 70, 3), (1, 2, 7, 8, 24), (1, 5, 32, 64)
  ):
    for kwargs in (
        {},
        {'mode': 'random', 'generator': generator},
        {'clip': 2, 'num_clips': 3},
    ):
      clip = sampling.frame_indices(total, frames, window, **kwargs)
      assert clip.shape == (frames,) and clip.dtype == np.int64
      assert clip[0] >= 0 and clip[-1] < total
      assert np.all(np.diff(clip) >= 0)
      assert clip[-1] - clip[0] < window


def test_wrong_arguments():
  for args in ((0, 8, 32), (9, 0, 32), (9, 8, 0)):
    with pytest.raises(ValueError, match='at least 1'):
      sampling.frame_indices(*args)
  with pytest.raises(ValueError, match="'centre'"):
    indices(9, mode='centre')
  with pytest.raises(ValueError, match='generator'):
    indices(9, mode='random')
  with pytest.raises(ValueError, match=r'0\.\.2'):
    indices(9, clip=3, num_clips=3)


def test_random_crops_reach_every_edge():
  generator = np.random.default_rng(0)
  places = {
      sampling.random_offsets(256, 340, 224, generator) for _ in range(4_000)
  }
  tops, lefts = zip(*places, strict=True)
  assert (min(tops), max(tops)) == (0, 32)
  assert (min(lefts), max(lefts)) == (0, 116)


def test_view_offsets_of_the_specification():
  assert sampling.view_offsets(256, 340, 224) == (16, 58)
  views = [sampling.view_offsets(256, 340, 224, v, 3) for v in range(3)]
  assert views == [(16, 0), (16, 58), (16, 116)]
  with pytest.raises(ValueError, match='view 3 of 3'):
    sampling.view_offsets(256, 340, 224, 3, 3)
  with pytest.raises(ValueError, match=r'data\.crop_pixels'):
    sampling.view_offsets(200, 340, 224)
