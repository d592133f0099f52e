"""Clips read by processes are those read here; bad files hurt nobody."""

import dataclasses
import itertools
import os
import pathlib
import signal
import threading
import time

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip, open_data, pipeline
from data_pipelines.loaders.batches import Batches, Row, Rows
from data_pipelines.video.read import VideoError
from data_pipelines.views import ev_clip, ez_clip
from evclip_jax.config import schema
from tests.data_pipelines import trees
from tests.data_pipelines.loaders.test_loader import joined


@pytest.fixture(scope='module')
def source(root):
  return trees.open_sets(root).train


# What the processes are made to do with the frames; they import it from here.


def crash(frames):
  os.kill(os.getpid(), signal.SIGSEGV)


def hang(frames):
  time.sleep(600)


def test_the_pixels_are_those_read_here(source):
  for spec in (ev_clip.Spec(4, 16), ez_clip.Spec(4, 'random', 32)):
    for index in (0, 3):
      here, there = (
          one_clip.train_clip(source, index, spec, np.random.default_rng(index))
          for _ in range(2)
      )
      there = one_clip.read(there)
      np.testing.assert_array_equal(there, here.read())
      assert there.dtype == np.uint8 and there.shape == spec.shape
  # And those of the contents of the file.
  clip = one_clip.eval_clip(source, 0, ev_clip.Spec(4, 16))
  contents = pathlib.Path(clip.media).read_bytes()
  packed = dataclasses.replace(clip, media=contents)
  np.testing.assert_array_equal(one_clip.read(packed), clip.read())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'pixels': crash}, r'the decoder crashed \(signal 11\)'),
        ({'pixels': hang}, 'it took longer than 1 s'),
        ({'media': '/gone/v_gone.avi'}, 'v_gone.avi: there is no such file'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    source, monkeypatch, changes, message
):
  clip = one_clip.eval_clip(source, 0, ev_clip.Spec(4, 16))
  # Others may wait for a process, which may start slowly on a busy machine.
  if changes.get('pixels') is hang:
    monkeypatch.setattr(one_clip, 'TIME_LIMIT', 1.0)
  with pytest.raises(VideoError, match=message) as caught:
    one_clip.read(dataclasses.replace(clip, **changes))
  assert changes.get('media', clip.probe.name) in str(caught.value)
  monkeypatch.undo()
  np.testing.assert_array_equal(one_clip.read(clip), clip.read())


@pytest.mark.parametrize('ctrl_c', [False, True])
def test_closing_ends_clips_that_hang(source, ctrl_c):
  spec = ev_clip.Spec(4, 16)
  clip = one_clip.eval_clip(source, 0, spec)
  hung = dataclasses.replace(clip, pixels=hang)
  batches = Batches(Rows(lambda n: Row(hung if n == 5 else clip), 4, spec, 2))
  next(batches)
  start = time.monotonic()
  if ctrl_c:
    # Also where whoever started this ignores it, as a shell's `&` does.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = os.getpid(), signal.SIGINT
    threading.Timer(0.5, os.kill, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
      next(batches)
    signal.signal(signal.SIGINT, usual)
  batches.close()
  # They are given a second; the rest is for a busy machine.
  assert time.monotonic() - start < 10
  np.testing.assert_array_equal(one_clip.read(clip), clip.read())


@pytest.fixture
def skipping(tmp_path):
  """The folder of videos, and a config that leaves out what cannot be read."""
  root = trees.make_ucf(tmp_path / 'ucf')
  config = schema.base()
  config.data = trees.data_config(root=str(root), on_broken='skip')
  config.batch_size, config.cache_dir = 3, str(tmp_path / 'c')
  config.eval.crops = 3
  return root / 'UCF-101', config


def test_a_clip_that_goes_missing_is_named_in_a_plain_error(skipping, capfd):
  root, config = skipping
  config.data.on_broken = 'error'
  data = pipeline.Pipeline(config)
  (root / trees.clip_key('YoYo', 3)).unlink()
  with (
      data.train(0) as batches,
      pytest.raises(UserError, match='v_YoYo_g03_c01.avi') as error,
  ):
    list(itertools.islice(batches, 3))
  assert 'tensorflow' not in str(error.value).lower()
  assert capfd.readouterr().err == ''


def test_a_clip_that_fails_later_is_replaced_by_the_seed(
    skipping, tmp_path, capsys
):
  root, config = skipping
  bad = trees.clip_key('YoYo', 3)

  def run():
    data = pipeline.Pipeline(config)
    data.write(tmp_path / 'run')
    (root / bad).rename(tmp_path / 'gone')
    with data.train(0) as batches:
      indices = [next(batches)['index'].tolist() for _ in range(9)]
    (tmp_path / 'gone').rename(root / bad)
    return data, sum(indices, [])

  (data, indices), (_, again) = run(), run()
  assert indices == again
  keys = [r.key for r in open_data.open_data(
      config.data, 1, 1, cache_dir=config.cache_dir).train.records]  # fmt: skip
  ((clip, other),) = data.description['lists']['train']['replaced'].items()
  assert clip == bad and other != bad and 'YoYo' in other
  assert keys.index(bad) not in indices
  # Three epochs: the other one comes twice in each.
  assert indices.count(keys.index(other)) == 6
  listed = (tmp_path / 'run' / 'lists' / 'skipped.txt').read_text()
  assert listed.startswith(f'train\t{bad}\t') and other in listed
  assert capsys.readouterr().err.count(f'{other} takes its place') == 2


@pytest.fixture
def skipping_nine(skipping, tmp_path):
  """The same with three clips of each class to score."""
  root, config = skipping
  for role, groups in (('train', (4,)), ('test', (1, 2, 3))):
    file = trees.write_vifi(tmp_path / role, groups)
    config.data[f'{role}_list'] = file
  return root, config


def test_a_scored_clip_that_fails_later_is_left_out(
    skipping_nine, tmp_path, capsys
):
  root, config = skipping_nine
  data = pipeline.Pipeline(config, evaluate_only=True)
  data.write(tmp_path / 'run')
  listed, gone = data.evals['test'], trees.clip_key('ApplyEyeMakeup', 2)
  (root / gone).unlink()
  whole = joined(list(listed.batches()))
  kept = whole['mask'] > 0
  assert listed.skips and set(whole['index'][kept]) == {0, *range(2, 9)}
  assert not whole['video'][~kept].any()
  assert list(data.description['lists']['test']['unread']) == [gone]
  written = (tmp_path / 'run' / 'lists' / 'skipped.txt').read_text()
  assert written.count('\n') == 1 and written.startswith(f'test\t{gone}\t')
  assert capsys.readouterr().err.count('left out of test') == 1


def test_a_clip_of_episodes_that_fails_later_is_replaced(skipping_nine):
  root, config = skipping_nine
  # Training episodes do not matter here.
  config.episodes.update(
      way=2, shot=1, test_query=1, test_episodes=6, per_step=2, train_episodes=3
  )
  data = pipeline.Pipeline(config, evaluate_only=True, episodic=True)
  listed = data.evals['test']
  records, gone = listed.episodes.clips.records, 1
  (root / records[gone].key).unlink()
  whole = joined(list(listed.batches()))
  there = whole['mask'] > 0
  bank = dict(zip(whole['index'][there], whole['video'][there], strict=True))
  assert set(bank) == set(range(9)) - {gone}
  drawn = listed.episodes.batch(0, 6)['clips']
  clips = listed.without(drawn, {gone})
  changed = clips != drawn
  assert changed.any() and (drawn[changed] == gone).all()
  assert all(len(set(row)) == len(row) for row in clips.tolist())
  labels = [r.label for r in records]
  assert [labels[k] for k in clips[changed]] == [labels[gone]] * changed.sum()
  # From pixels the same clips take its place.
  videos = joined(list(listed.episode_batches()))['video']
  for row, video in zip(clips, videos, strict=True):
    np.testing.assert_array_equal(video, np.stack([bank[k] for k in row]))
  about = data.description['lists']['test']
  assert list(about['replaced']) == list(about['unread'])
  with pytest.raises(UserError, match='no other clip of its class'):
    listed.without(drawn, set(range(9)))
