"""What several tests of decoding need."""

import pytest

from data_pipelines.video import film


@pytest.fixture
def decoded(monkeypatch):
  """Counts the frames that come out of the decoder."""
  count = []
  original = film.decode

  def counting(*args):
    for frame in original(*args):
      count.append(1)
      yield frame

  monkeypatch.setattr(film, 'decode', counting)
  return count
