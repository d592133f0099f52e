"""Factors against frames whose factors are known by construction."""

import pathlib

import cv2
import numpy as np
import pytest

from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import Source
from data_pipelines.stores.files import FileTree
from data_pipelines.video import probe
from evclip_jax.domain_shift import factors, visual
from tests import clips

NUMBERS = np.arange(8)[None]


def texture(seed=0, side=160):
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(0, 255, (side // 8, side // 8, 3))
  return coarse.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)


def found(frames):
  return visual.of_frames(np.asarray(frames)[None], NUMBERS, 25.0)


def test_grey_has_the_luminance_that_sRGB_gives_it():
  values = found(np.full((8, 40, 40, 3), 118, np.uint8))
  # 118 of 255 is the photographer's 18 % grey.
  assert values['luminance'] == pytest.approx(0.18, abs=0.002)
  for name in ('contrast', 'noise', 'clutter', 'colourfulness', 'sharpness'):
    assert values[name] == pytest.approx(0, abs=1e-4), name


def test_dark_and_clipped_pixels_are_counted():
  frames = np.full((8, 40, 40, 3), 118, np.uint8)
  frames[:, :10] = 20
  frames[:, -4:, :, 1] = 255
  values = found(frames)
  assert values['dark'] == pytest.approx(25)
  assert values['clipped'] == pytest.approx(10)


def test_noise_is_that_which_was_added():
  rng = np.random.default_rng(0)
  grey = (100 + rng.normal(0, 7, (300, 300))).astype(np.float32)
  assert visual.noise(grey) == pytest.approx(7, rel=0.02)


def test_rounding_makes_nothing_sharp():
  grey = cv2.GaussianBlur(texture()[..., 0].astype(np.float32) / 4, (0, 0), 4)
  assert visual.sharpness(grey.round()) == pytest.approx(
      visual.sharpness(grey), rel=0.1
  )


def test_colourfulness_by_hand():
  # Half red, half grey: a is 255 or 0, b 127.5 or 0.
  frame = np.zeros((4, 4, 3), np.uint8)
  frame[:2, :, 0] = 255
  wanted = 1.3 * np.hypot(127.5, 63.75)
  assert visual.colourfulness(frame) == pytest.approx(wanted)


def test_a_camera_that_moves_evenly():
  big = texture(side=400)
  frames = [big[:160, 4 * t : 4 * t + 160] for t in range(8)]
  values = found(frames)
  assert values['camera_motion'] == pytest.approx(100 * 4 / 160 * 25, rel=0.05)
  assert values['camera_jerk'] < 0.005 * 25**3
  still = found([big[:160, :160]] * 8)
  assert still['camera_motion'] == still['subject_motion'] == 0


def test_a_subject_that_moves_before_a_still_camera():
  frames = np.stack([texture()] * 8)
  for t in range(8):
    frames[t, 60:90, 10 * t : 10 * t + 30] = 255
  values = found(frames)
  assert values['camera_motion'] == 0
  assert values['subject_motion'] > 1


def test_a_cut_is_seen_and_a_pan_is_not():
  red, blue = np.zeros((2, 4, 64, 64, 3), np.uint8)
  red[..., 0] = blue[..., 2] = 200
  assert found(np.concatenate([red, blue]))['cut_rate'] == 25 / 8
  big = texture(side=400)
  pan = [big[:160, 20 * t : 20 * t + 160] for t in range(8)]
  assert found(pan)['cut_rate'] == 0


@pytest.mark.parametrize(
    'name',
    ['contrast', 'sharpness', 'clutter', 'camera_motion', 'subject_motion'],
)
def test_exposure_does_not_count(name):
  frames = np.stack([texture() // 2 + 60] * 8)
  for t in range(8):
    frames[t, 60:90, 10 * t : 10 * t + 30] = 220
  light = (frames / 255) ** 2.2
  dark = (255 * (light / 3) ** (1 / 2.2)).round().astype(np.uint8)
  assert found(dark)[name] == pytest.approx(found(frames)[name], rel=0.1)


def test_frames_are_spread_over_long_clips_and_all_of_short_ones():
  assert visual.frame_numbers(5).tolist() == [[0, 1, 2, 3, 4]]
  long = visual.frame_numbers(300)
  assert long.shape == (8, 4) and long.min() == 0 and long.max() == 299


@pytest.fixture
def source(tmp_path):
  clips.write_folder(tmp_path, classes=1, clips=4)
  return source_of(tmp_path, *(f'class_0/clip_{i}.mp4' for i in range(4)))


def source_of(folder, *names):
  listed = ClipList('test', tuple(ClipRecord(name, 0) for name in names))
  probes = {name: probe(folder / name) for name in names}
  return Source(listed, ['class 0'], FileTree(folder), probes)


def test_a_copy_of_a_known_clip_is_not_measured_again(
    source, tmp_path, monkeypatch
):
  rows, *_ = factors.visual_factors(source, tmp_path / 'cache')
  monkeypatch.setattr(visual, 'measure', None)
  contents = pathlib.Path(source.media(2)).read_bytes()
  (tmp_path / 'copy.mp4').write_bytes(contents)
  again = source_of(tmp_path, 'copy.mp4')
  assert factors.visual_factors(again, tmp_path / 'cache')[0] == [rows[2]]


def test_contents_are_told_apart():
  seen = {
      factors.content_hash(*args)
      for args in ((b'ab', 0, 2), (b'ac', 0, 2), (b'ab', 0, 1), (b'ab', 1, 2))
  }
  assert len(seen) == 4
  # Images, as a TFDS folder holds them.
  assert factors.content_hash((b'a', b'b'), 0, 2) in seen


def test_a_clip_that_has_gone_is_told(source, tmp_path):
  (tmp_path / source.records[1].path).unlink()
  rows, _, faults = factors.visual_factors(source, tmp_path / 'cache')
  assert [row is None for row in rows] == [False, True, False, False]
  assert len(faults) == 1 and 'clip_1.mp4' in faults[0]
