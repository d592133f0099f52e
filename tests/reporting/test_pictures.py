"""Pictures of clips."""

import numpy as np
import pytest

from evclip_jax.reporting import pictures


@pytest.fixture
def frames():
  return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


def test_frames_behind_a_mask(frames):
  seen = pictures.masked(frames, np.ones((32, 32)))
  np.testing.assert_array_equal(seen, frames)
  # Where it is 0, only the mean colour is left.
  seen = pictures.masked(frames, np.zeros((32, 32)), fill=(0.2, 0.4, 0.6))
  expected = np.broadcast_to([51, 102, 153], seen.shape)
  np.testing.assert_array_equal(seen, expected)
  # One per frame acts on its own frame.
  maps = np.zeros((8, 32, 32))
  maps[3] = 1
  seen = pictures.masked(frames, maps)
  np.testing.assert_array_equal(seen[3], frames[3])
  assert (seen[2] != frames[2]).any()


def test_a_high_map_is_brighter_than_a_low_one(frames):
  low = pictures.heat(frames, np.zeros((32, 32)))
  high = pictures.heat(frames, np.ones((32, 32)))
  assert high.mean() > low.mean() + 50


@pytest.mark.parametrize('num_frames', [1, 8, 24])
@pytest.mark.parametrize('names', [(), ('mask',), ('mask', 'attention')])
def test_any_clip_gives_a_picture(num_frames, names):
  clip = pictures.ClipPicture(
      title='a $name\udcff that is much too long for a picture.mp4' * 3,
      frames=np.full((num_frames, 32, 32, 3), 90, np.uint8),
      scores=[('one', 0.7), ('two $ $' * 30, 0.3)],
      truth='one',
      maps={name: np.full((32, 32), 0.5) for name in names},
  )
  image = pictures.draw(clip)
  rows = {(): 1, ('mask',): 3, ('mask', 'attention'): 4}[names]
  assert image.mode == 'RGB'
  assert image.height > 120 * rows
  # Nothing reaches the right end, the answer in the title least of all.
  assert (np.asarray(image)[:, -8:] == 255).all()


def test_right_and_wrong_are_told_apart():
  frames = np.zeros((8, 32, 32, 3), np.uint8)
  pixels = {}
  for truth in ('one', 'two'):
    clip = pictures.ClipPicture('a', frames, [('one', 0.9)], truth)
    pixels[truth] = np.asarray(pictures.draw(clip)).reshape(-1, 3)
  green, red = (35, 120, 74), (179, 54, 43)
  assert (pixels['one'] == green).all(axis=1).any()
  assert not (pixels['one'] == red).all(axis=1).any()
  assert (pixels['two'] == red).all(axis=1).any()


def test_a_dark_clip_is_also_shown_brightened(frames):
  dark = pictures.draw(pictures.ClipPicture('a', frames // 8, [('one', 0.9)]))
  plain = pictures.draw(pictures.ClipPicture('a', frames, [('one', 0.9)]))
  assert dark.height > plain.height + 100
  assert pictures.brightened(frames // 8).mean() > 100
