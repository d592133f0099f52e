"""What several tests of decoding need."""

import pytest

from data_pipelines.video import examine, pyav_reader


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
