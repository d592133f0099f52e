"""Clips read by processes are those read here; bad files hurt nobody."""

import concurrent.futures
import dataclasses
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from data_pipelines.loaders import clip_frames, open_data
from data_pipelines.video import child, readers
from data_pipelines.video.read import VideoError
from data_pipelines.views import ev_clip, ez_clip
from tests.data_pipelines import trees

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  root = trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')
  data = trees.data_config(root=str(root))
  return open_data.open_data(data, 1, 1, cache_dir=str(root.parent / 'c')).train


@pytest.fixture
def read(monkeypatch):
  """As a loader with two workers reads, in processes of the test's own."""
  own = child.Children('data_pipelines.video.readers')
  monkeypatch.setattr(readers, '_children', own)
  yield readers.reader(2)
  own.close()


def a_clip(source, index=0):
  return clip_frames.eval_clip(source, index, ev_clip.Spec(4, 16))


# What the processes are made to do with the frames; they import it from here.


def crash(frames):
  os.kill(os.getpid(), signal.SIGSEGV)


def fail(frames):
  raise KeyError('no such colour')


def who(frames):
  return np.frombuffer(str(os.getpid()).encode(), np.uint8)


def what_is_imported(frames):
  names = ('jax', 'tensorflow', 'numba')
  return np.array([n in sys.modules for n in names], np.uint8)


def test_the_pixels_are_those_read_here(source, read):
  for spec in (ev_clip.Spec(4, 16), ez_clip.Spec(4, 'random', 32)):
    for index in (0, 3):
      here, there = (
          clip_frames.train_clip(
              source, index, spec, np.random.default_rng(index)
          )
          for _ in range(2)
      )
      there = read(there)
      np.testing.assert_array_equal(there, here.read())
      assert there.dtype == np.uint8 and there.shape == spec.shape


def test_the_contents_of_a_file_are_read_as_well(source, read):
  clip = a_clip(source)
  contents = pathlib.Path(clip.media).read_bytes()
  packed = dataclasses.replace(clip, media=contents)
  np.testing.assert_array_equal(read(packed), clip.read())


def test_one_worker_reads_in_this_process(source):
  clip = dataclasses.replace(a_clip(source), pixels=who)
  assert bytes(readers.reader(1)(clip)) == str(os.getpid()).encode()


def test_threads_have_a_process_each_and_keep_it(source, read):
  clip = dataclasses.replace(a_clip(source), pixels=who)
  both = threading.Barrier(2)

  def work(_):
    both.wait()
    return [bytes(read(clip)) for _ in range(5)]

  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    seen = {x for answers in pool.map(work, range(2)) for x in answers}
  assert len(seen) == 2 and str(os.getpid()).encode() not in seen
  assert bytes(read(clip)) in seen


def test_the_processes_know_nothing_of_models(source, read):
  clip = dataclasses.replace(a_clip(source), pixels=what_is_imported)
  assert read(clip).tolist() == [0, 0, 1]


def test_their_time_is_counted(source, read):
  before = readers.cpu_seconds()
  read(a_clip(source))
  assert readers.cpu_seconds() > before


def test_a_file_that_crashes_a_decoder_is_named(source, read):
  clip = a_clip(source)
  wanted = read(clip)
  for _ in range(2):
    with pytest.raises(VideoError, match='crashed .signal 11') as caught:
      read(dataclasses.replace(clip, pixels=crash))
    assert clip.probe.name in str(caught.value)
    np.testing.assert_array_equal(read(clip), wanted)


def test_a_process_that_was_killed_is_replaced(source, read):
  clip = dataclasses.replace(a_clip(source), pixels=who)
  os.kill(int(bytes(read(clip))), signal.SIGKILL)
  assert bytes(read(clip)).isdigit()


def test_a_file_that_is_gone_is_an_error_of_the_user(source, read, tmp_path):
  gone = dataclasses.replace(a_clip(source), media=str(tmp_path / 'gone.avi'))
  with pytest.raises(VideoError, match='gone.avi'):
    read(gone)


def test_a_fault_of_ours_shows_where(source, read):
  clip = dataclasses.replace(a_clip(source), pixels=fail)
  with pytest.raises(RuntimeError, match='no such colour') as caught:
    read(clip)
  assert 'in fail' in str(caught.value)


def test_a_process_that_cannot_start_blames_no_file(source, monkeypatch):
  broken = child.Children('data_pipelines.no_such_module')
  monkeypatch.setattr(readers, '_children', broken)
  with pytest.raises(child.NotStarted, match='-m data_pipelines.no_such_mod'):
    readers.reader(2)(a_clip(source))


@pytest.mark.skipif(not os.path.isdir('/proc'), reason='looks into /proc')
@pytest.mark.parametrize('ending', ['', 'os.kill(os.getpid(), 9)'])
def test_no_process_outlives_a_program(ending, source, tmp_path):
  (tmp_path / 'clip').write_bytes(pickle.dumps(a_clip(source)))
  code = (
      'import os, pathlib, pickle, sys, threading\n'
      'from data_pipelines.video import readers\n'
      'clip = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n'
      'def work():\n'
      '  while True: readers.reader(2)(clip)\n'
      'readers.reader(2)(clip)\n'
      'threading.Thread(target=work, daemon=True).start()\n'
      'print(*readers._used)\n'
  )
  done = subprocess.run(
      [sys.executable, '-uc', code + ending, tmp_path / 'clip'],
      env=os.environ | {'PYTHONPATH': str(ROOT)},
      capture_output=True,
      text=True,
      timeout=120,
  )
  assert done.stdout.split(), done.stderr
  for process in done.stdout.split():
    deadline = time.monotonic() + 20
    while _runs(process):
      assert time.monotonic() < deadline
      time.sleep(0.1)


def _runs(process):
  try:
    state = pathlib.Path('/proc', process, 'stat').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  # A zombie has ended; nobody has looked yet.
  return state.rsplit(')', 1)[1].split()[0] != 'Z'
