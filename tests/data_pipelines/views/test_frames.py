"""The worked examples of the originals' sampling, and what holds for all."""

import itertools

import numpy as np
import pytest

from data_pipelines.views import ez_clip
from data_pipelines.views.clip_fsar import (
  interval_frames,
  jittered_offsets,
  segment_frames,
)
from data_pipelines.views.ev_clip import crop_offsets, window_frames
from data_pipelines.views.ez_clip import even_frames, shifted_frames
from data_pipelines.views.view import Place

SHORT = 0, 1, 1, 1, 1, 1, 1, 1


def indices(total, num_frames=8, window=32, place=Place()):  # noqa: B008
  return window_frames(total, num_frames, window, place).tolist()


@pytest.mark.parametrize(
    ('total', 'num_frames', 'window', 'expected'),
    [
        (32, 8, 32, range(0, 32, 4)), (33, 8, 32, range(0, 32, 4)),
        (34, 8, 32, range(1, 33, 4)), (164, 8, 32, range(66, 98, 4)),
        (164, 16, 32, range(66, 98, 2)), (20, 8, 32, range(0, 16, 2)),
        (31, 8, 32, range(0, 24, 3)), (8, 8, 32, range(8)),
        # The last frame is repeated where the window is short.
        (5, 8, 32, (0, 1, 2, 3, 4, 4, 4, 4)), (2, 8, 32, SHORT),
        (1, 8, 32, [0] * 8), (100, 8, 4, (48, 49, 50, 51, 51, 51, 51, 51)),
        # A window of one frame is the middle.
        (9, 8, 1, [4] * 8),
    ],
)  # fmt: skip
def test_centre_window_of_the_specification(
    total, num_frames, window, expected
):
  assert indices(total, num_frames, window) == list(expected)


def test_several_clips_reach_from_the_first_to_the_last_frame():
  starts = [indices(132, place=Place(c, 5))[0] for c in range(5)]
  assert starts == [0, 25, 50, 75, 100]
  # As the original's int(clip * (t - w) / (C - 1)), true division first.
  starts = [indices(131, place=Place(c, 4))[0] for c in range(4)]
  assert starts == [0, 33, 66, 99]
  # The middle one of five is the centre.
  for total in range(32, 90):
    assert indices(total, place=Place(2, 5)) == indices(total)
  assert indices(20, place=Place(4, 5)) == indices(20)


def test_random_windows_cover_every_start_and_no_other():
  starts = set()
  for seed in range(200):
    clip = indices(37, place=np.random.default_rng(seed))
    starts.add(clip[0])
    assert np.diff(clip).tolist() == [4] * 7
  assert starts == set(range(6))


def test_frames_are_always_inside_and_never_fall():
  generator = np.random.default_rng(0)
  for total, count in itertools.product(range(1, 70, 3), (1, 2, 7, 8, 24)):
    drawn = [
        even_frames(total, count, 0.9),
        shifted_frames(total, count, generator),
        segment_frames(total, count, generator),
        segment_frames(total, count),
    ]
    for window, place in itertools.product(
        (1, 5, 32, 64), (Place(), generator, Place(2, 3))
    ):
      clip = window_frames(total, count, window, place)
      assert clip[-1] - clip[0] < window
      drawn.append(clip)
    for clip in drawn:
      assert clip.shape == (count,) and clip.dtype == np.int64
      assert clip[0] >= 0 and clip[-1] < total and np.all(np.diff(clip) >= 0)
  for total, fps, place in itertools.product(
      (8, 20, 40, 300, 900), (0, 10, 29.97), (0.0, 0.3, 1.0)
  ):
    frames = interval_frames(total, 8, fps, place)
    assert frames.shape == (8,) and frames.dtype == np.int64
    assert frames.min() >= 0 and frames.max() < total


@pytest.mark.parametrize(
    ('total', 'num_frames', 'expected'),
    [
        (300, 8, (19, 56, 94, 131, 169, 206, 244, 281)),
        (53, 8, (3, 10, 17, 23, 30, 36, 43, 50)),
        (9, 8, (1, 2, 3, 4, 5, 6, 7, 8)),
        (8, 8, (1, 2, 3, 4, 5, 6, 7, 8)),
        (5, 8, (1, 1, 2, 2, 3, 4, 4, 5)),
        (1, 8, (1,) * 8),
        (53, 16, (2, 5, 8, 12, 15, 18, 22, 25, 28, 31, 35, 38, 41, 45, 48, 51)),
        (9, 1, (5,)),
        (8, 1, (5,)),
    ],
)
def test_even_frames_of_the_specification(total, num_frames, expected):
  # Its file numbers begin with 1.
  assert (even_frames(total, num_frames) + 1).tolist() == list(expected)


def test_shifted_frames_stay_between_the_ticks():
  generator = np.random.default_rng(0)
  draws = np.stack([shifted_frames(53, 8, generator) for _ in range(400)])
  ticks = np.array([0, 6, 13, 19, 26, 33, 39, 46, 53])
  assert draws.min(0).tolist() == ticks[:-1].tolist()
  assert draws.max(0).tolist() == (ticks[1:] - 1).tolist()
  # Of short clips all, and some again.
  drawn = {tuple(shifted_frames(5, 8, generator)) for _ in range(100)}
  assert len(drawn) > 10 and all(set(x) == set(range(5)) for x in drawn)


def test_segment_frames_leave_out_the_rest():
  generator = np.random.default_rng(0)
  draws = np.stack([segment_frames(47, 8, generator) for _ in range(200)])
  assert draws.min(0).tolist() == list(range(0, 40, 5))
  assert draws.max(0).tolist() == list(range(4, 40, 5))
  assert segment_frames(47, 8).tolist() == list(range(2, 40, 5))
  assert segment_frames(3, 8, generator).tolist() == [0, 1] + [2] * 6


@pytest.mark.parametrize(
    ('total', 'fps', 'expected'),
    [
        (300, 30, (2, 39, 77, 114, 151, 188, 226, 263)),
        (250, 25, (1, 31, 62, 92, 123, 153, 184, 214)),
        (150, 15, (3, 19, 34, 50, 65, 81, 96, 112)),
        (1000, 30, (150, 245, 340, 435, 530, 625, 720, 815)),
        (3, 25, (0, 1, 2, 2, 2, 2, 2, 2)),
        # Pictures without a rate: the whole clip, as for every short video.
        (300, 0, (2, 39, 77, 114, 151, 188, 226, 263)),
    ],
)
def test_interval_frames_of_the_specification(total, fps, expected):
  assert interval_frames(total, 8, fps, 0.5).tolist() == list(expected)


def test_crops_reach_every_edge_that_they_may():
  generator = np.random.default_rng(0)
  places = [crop_offsets(256, 340, 224, generator) for _ in range(4000)]
  tops, lefts = zip(*places, strict=True)
  assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 32, 0, 116)
  # CLIP-FSAR's miss the last row and column.
  places = [jittered_offsets(256, 224, generator) for _ in range(2000)]
  assert {t for t, _ in places} == {x for _, x in places} == set(range(32))
  assert jittered_offsets(224, 224, generator) == (0, 0)


def test_view_offsets_of_the_specification():
  assert crop_offsets(256, 340, 224, Place()) == (16, 58)
  three = [Place(crop=k, crops=3) for k in range(3)]
  views = [crop_offsets(256, 340, 224, place) for place in three]
  assert views == [(16, 0), (16, 58), (16, 116)]
  with pytest.raises(ValueError, match=r'data\.crop_pixels'):
    crop_offsets(200, 340, 224, Place())


def test_boxes_of_the_specification():
  sizes = ez_clip.box_sizes(240, 320, 224)
  assert len(sizes) == 10
  assert sorted({h for h, _ in sizes}) == [158, 180, 210, 240]
  assert (240, 180) not in sizes and (240, 210) in sizes
  # 256 * 0.875 is 224 already; 225 is within 2 pixels.
  assert 224 in {h for h, _ in ez_clip.box_sizes(225, 300, 224)}
  # The original would go beyond the frame.
  assert max(h for h, _ in ez_clip.box_sizes(223, 300, 224)) == 223


def test_boxes_lie_at_thirteen_places():
  generator = np.random.default_rng(0)
  draw = ez_clip.multi_scale_box
  boxes = {draw(240, 320, 224, generator) for _ in range(4000)}
  for top, left, tall, wide in boxes:
    assert top + tall <= 240 and left + wide <= 320
  square = {b[:2] for b in boxes if b[2:] == (180, 180)}
  # Rooms of 60 and 140 pixels in steps of 15 and 35.
  assert square == {
      (15 * y, 35 * x)
      for x, y in itertools.product(range(5), repeat=2)
      if (x % 2, y % 2) in ((0, 0), (1, 1))
  }
