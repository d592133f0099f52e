"""Corruptions: how strong they are, and what they depend on."""

import functools

import jax
import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.views.view import squares
from evclip_jax.domain_shift import visual
from evclip_jax.models import corruptions

SEVERITIES = range(1, 6)


@pytest.fixture(scope='module')
def clips():
  """Two clips of 8 frames: a square that moves over a smooth texture."""
  rng = np.random.default_rng(0)
  coarse = rng.uniform(20, 220, (2, 1, 9, 9, 3)).repeat(8, axis=1)
  frames = coarse.repeat(8, axis=2).repeat(8, axis=3)
  for t in range(8):
    frames[:, t, 20:40, 4 * t : 4 * t + 20] = 250
  return frames.astype(np.uint8)


def worse(kind, clips, seed=1):
  """Returns the clips at severities 1..5, by one compiled function."""
  step = jax.jit(functools.partial(corruptions.apply, kind, seed=seed))
  out = [np.asarray(step(clips, severity=s)) for s in (0, *SEVERITIES)]
  assert step._cache_size() == 1
  np.testing.assert_array_equal(out[0], clips)
  return out[1:]


@pytest.mark.parametrize(
    'kind, factor, sign',
    [
        ('darken', 'luminance', -1),
        ('blur', 'sharpness', -1),
        ('low_resolution', 'sharpness', -1),
        ('shake', 'camera_motion', 1),
    ],
)
def test_severities_are_monotone(clips, kind, factor, sign):
  numbers = np.arange(8)[None]
  for number in range(2):
    values = [
        visual.of_frames(x[number][None], numbers, 25.0)[factor]
        for x in (clips, *worse(kind, clips))
    ]
    assert (sign * np.diff(values) >= 0).all(), values
    assert sign * (values[-1] - values[0]) > 0


@pytest.mark.parametrize('kind', ['head_camera', 'occlude', 'compress'])
def test_more_of_the_frame_is_changed(clips, kind):
  far = [np.abs(x.astype(float) - clips).mean() for x in worse(kind, clips)]
  assert far[0] > 0 and np.all(np.diff(far) > 0), far


def test_fewer_frames_are_shown():
  clip = np.arange(16, dtype=np.uint8)[None, :, None, None, None]
  clip = clip.repeat(4, axis=2).repeat(4, axis=3).repeat(3, axis=4)
  shown = [np.unique(x) for x in worse('drop_frames', clip)]
  assert all(x[0] == 0 for x in shown)
  assert all(set(b) < set(a) for a, b in zip(shown, shown[1:], strict=False))


def test_half_of_the_frame_is_covered(clips):
  grey = (worse('occlude', clips)[4][0, 0] == 128).all(axis=-1).mean()
  assert grey == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize('kind', ['darken', 'shake', 'occlude'])
def test_what_is_drawn_depends_on_clip_and_seed_only(clips, kind):
  both, swapped = worse(kind, clips)[2], worse(kind, clips[::-1])[2]
  np.testing.assert_array_equal(both, swapped[::-1])
  assert not np.array_equal(both, worse(kind, clips, seed=2)[2])


def test_episodes_of_clips_are_taken_as_clips(clips):
  one = corruptions.apply('darken', clips, 3, 1)
  episodes = corruptions.apply('darken', clips[None], 3, 1)
  np.testing.assert_array_equal(one, episodes[0])


@pytest.mark.parametrize('text', ['darkn:3', 'darken', 'darken:6', 'darken:x'])
def test_unknown_kinds_and_severities_are_refused(text):
  with pytest.raises(UserError, match='data.corrupt='):
    corruptions.parse(text)


def test_both_squares_of_frames_are_corrupted():
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (1, 2, 80, 48, 3), np.uint8)
  out = np.asarray(corruptions.apply('blur', frames, 3, 1, side=32))
  upper, lower = squares(frames, 32)
  for found, square in zip(squares(out, 32), (upper, lower), strict=True):
    alone = corruptions.apply('blur', square, 3, 1)
    np.testing.assert_array_equal(found, alone)
    assert not np.array_equal(found, square)
  np.testing.assert_array_equal(out[..., :32, 32:, :], frames[..., :32, 32:, :])


def test_training_is_left_alone(clips):
  pixels = corruptions.Corrupted(lambda frames, rng: frames, 'darken:5', 1)
  assert pixels(clips, 'a key') is clips
  assert np.asarray(pixels(clips, None)).mean() < clips.mean() / 2
