"""What several tests of videos and loaders need."""

import pathlib

import pytest

from data_pipelines.video import examine, pyav_reader
from tests.data_pipelines import coded_clips, trees


@pytest.fixture(scope='session')
def root(tmp_path_factory) -> pathlib.Path:
  """UCF-101 in small, see `trees.make_ucf`."""
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


@pytest.fixture(scope='session')
def clips(tmp_path_factory) -> dict[str, str]:
  """{format name: path} of clips of 60 coded frames."""
  folder = tmp_path_factory.mktemp('clips')
  return {
      f.name: coded_clips.write(folder / f'{f.name}{f.suffix}', f, 60)
      for f in coded_clips.AVAILABLE
  }


@pytest.fixture
def decoded(monkeypatch):
  """Counts the frames that come out of the decoder."""
  count = []

  def counting(*args):
    for frame in original(*args):
      count.append(1)
      yield frame

  original = pyav_reader.decode
  monkeypatch.setattr(pyav_reader, 'decode', counting)
  monkeypatch.setattr(examine, 'decode', counting)
  return count
