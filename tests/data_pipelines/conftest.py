"""What several tests of decoding need."""

import pytest

from data_pipelines.video_files import pyav


@pytest.fixture
def decoded(monkeypatch):
  """Counts the frames that come out of the decoder."""
  count = []
  original = pyav.decode

  def counting(*args):
    for frame in original(*args):
      count.append(1)
      yield frame

  monkeypatch.setattr(pyav, 'decode', counting)
  return count
