"""Where a video is looked at, and what is written along it."""

import csv

import ml_collections
import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.video import probe
from evclip_jax.config import experiment
from evclip_jax.evaluation.look import Seen
from evclip_jax.runs import overlay, prediction, windows
from tests import clips


def _config(preprocess='ev_clip', **values) -> ml_collections.ConfigDict:
  config = experiment.new('zero_shot')
  config.data.preprocess = preprocess
  config.update_from_flattened_dict(values)
  return config


def _frames(total):
  return np.zeros((total, 4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        (np.zeros((8, 60, 80, 3)), 'float64. Convert floats in 0..1 by'),
        (np.zeros((8, 60, 80, 3), np.int32), 'uint8 frames .* they are int32'),
        (np.zeros((8, 3, 60, 80), np.uint8), r'shape is \(8, 3, 60, 80\)'),
        (np.zeros((60, 80, 3), np.uint8), r'shape is \(60, 80, 3\)'),
        (np.zeros((1, 60, 80, 3), np.uint8), 'one frame is no video'),
        (np.zeros((2, 1, 60, 80, 3), np.uint8), 'one frame is no video'),
        (np.zeros((8, 0, 80, 3), np.uint8), 'there is no pixel'),
        ([], r'wanted a path, .* but got \[\]'),
        (['a.mp4', None], 'but got None'),
        ({'a.mp4': 0}, 'but got {'),
        ('', "but got ''"),
        (np.array(['a.mp4', None]), 'but got None'),
    ],
)
def test_what_is_no_video_is_told(frames, message):
  with pytest.raises(UserError, match=message):
    windows.listed(frames)


@pytest.mark.parametrize(
    ('total', 'how', 'number', 'first', 'last'),
    [
        (20, {}, 1, (0, 20), (0, 20)),
        (32, {}, 1, (0, 32), (0, 32)),
        (33, {}, 2, (0, 32), (1, 33)),
        (320, {}, 10, (0, 32), (288, 320)),
        # Long ones are looked at here and there, all along if that is asked.
        (3200, {}, 16, (0, 32), (3168, 3200)),
        (3200, {'along': True}, 100, (0, 32), (3168, 3200)),
        (64_000, {'along': True}, 1000, (0, 32), (63_968, 64_000)),
        (3200, {'clips': 5}, 5, (0, 32), (3168, 3200)),
        (3200, {'clips': 1}, 1, (0, 3200), (0, 3200)),
        # Recipes without a length take ten seconds.
        (300, {'recipe': 'ez_clip'}, 1, (0, 300), (0, 300)),
        (301, {'recipe': 'ez_clip'}, 2, (0, 300), (1, 301)),
        (900, {'recipe': 'clip_fsar'}, 3, (0, 300), (600, 900)),
    ],
)
def test_windows_reach_from_end_to_end(total, how, number, first, last):
  how = dict(how)
  config = _config(how.pop('recipe', 'ev_clip'))
  film = windows.open_film(_frames(total), config, **how)
  assert len(film.spans) == number
  assert film.spans[0] == first
  assert film.spans[-1] == last
  assert film.total == total
  assert len(film.views) == number


def test_a_short_video_has_the_views_of_an_evaluation():
  config = _config('ez_clip', **{'eval.clips': 4, 'eval.crops': 3})
  film = windows.open_film(_frames(100), config)
  assert (len(film.spans), len(film.views)) == (1, 12)
  # Four times eight frames between those of the others.
  assert film.seen == 32
  with pytest.raises(UserError, match='clips=-1: use 1 or more'):
    windows.open_film(_frames(100), config, clips=-1)


def _seen(value):
  return Seen(np.array([value, 1 - value]), np.ones(3), _frames(1), {})


def test_what_was_seen_is_the_mean_and_the_middle():
  film = windows.Film(96, 25.0, [(0, 32), (32, 64), (64, 96)], [None] * 3, 24)
  views = [_seen(0.0), _seen(0.5), _seen(1.0)]
  found = windows.gathered(film, views, 1, every=True)
  np.testing.assert_allclose(found.probabilities, [0.5, 0.5])
  np.testing.assert_array_equal(found.windows[:, 0], [0, 0.5, 1])
  assert found.frames is views[1].frames
  assert len(found.window_maps) == 3
  # One that cannot be read is the video's error.
  views[0] = UserError('damaged')
  assert windows.gathered(film, views, 1) is views[0]


@pytest.fixture
def along(tmp_path):
  """A video of 40 frames whose answer changes, seen in two windows."""
  path = tmp_path / 'a.mp4'
  clips.write_clip(path, 3, frames=40)
  film = windows.Film(40, 25.0, [(0, 20), (20, 40)], [None] * 2, 16)
  shares = np.array([[0.9, 0.1], [0.2, 0.8]])
  masks = [{'mask': np.full((224, 224), k, np.uint8)} for k in (255, 0)]
  return path, Seen(
      shares.mean(0), np.ones(3), _frames(8), {}, shares, masks, film
  )


def test_the_overlay_says_what_was_seen_when(along, tmp_path):
  path, seen = along
  config = _config()
  spec = windows.one_clip.spec_of(config.data)
  file = tmp_path / 'o.mp4'
  red = (1.0, 0.0, 0.0)
  overlay.write(file, str(path), seen, ['start', 'start'], spec, red, 0.85)
  assert (probe(str(file)).num_frames, probe(str(file)).fps) == (40, 25)
  frames = windows.one_clip.decode.read_frames(str(file), [5, 35])
  assert frames.shape[1:] == (360 + 120, 480 + 360, 3)
  # Behind the second mask nothing is left but the colour that it fades to.
  right = frames[:, 100:300, 600:750].astype(float).mean(axis=(1, 2))
  assert np.abs(right[1] - [255, 0, 0]).max() < 12
  assert np.abs(right[0] - [255, 0, 0]).max() > 40
  # Its answer is none of these: there is no blue bar.
  bars = frames[:, 389:395, 20:160].astype(float).mean(axis=(1, 2))
  assert bars[0, 2] - bars[0, 0] > 80 > bars[1, 2] - bars[1, 0]


def test_the_timeline_has_a_row_for_each_window(along, tmp_path):
  path, seen = along
  file = tmp_path / 'a.timeline.csv'
  picture = prediction.timeline(
      file, str(path), seen, ['start', 'answer'], 0.85
  )
  with file.open(newline='') as lines:
    rows = list(csv.DictReader(lines))
  assert [r['answer'] for r in rows] == ['start', 'none of these']
  assert [r['p: answer'] for r in rows] == ['0.1', '0.8']
  assert (rows[1]['start in s'], rows[1]['end in s']) == ('0.8', '1.6')
  assert picture.draw().count('<polyline') == 2
