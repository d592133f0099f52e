"""Clips read by processes are those read here; bad files hurt nobody."""

import dataclasses
import os
import pathlib
import signal
import time

import numpy as np
import pytest

from data_pipelines.loaders import one_clip, open_data
from data_pipelines.video.read import VideoError
from data_pipelines.views import ev_clip, ez_clip
from tests.data_pipelines import trees


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  root = trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')
  data = trees.data_config(root=str(root))
  return open_data.open_data(data, 1, 1, cache_dir=str(root.parent / 'c')).train


def a_clip(source, index=0):
  return one_clip.eval_clip(source, index, ev_clip.Spec(4, 16))


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


def test_the_contents_of_a_file_are_read_as_well(source):
  clip = a_clip(source)
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
  clip = a_clip(source)
  monkeypatch.setattr(one_clip, '_SECONDS', 1.0)
  with pytest.raises(VideoError, match=message) as caught:
    one_clip.read(dataclasses.replace(clip, **changes))
  assert changes.get('media', clip.probe.name) in str(caught.value)
  np.testing.assert_array_equal(one_clip.read(clip), clip.read())
