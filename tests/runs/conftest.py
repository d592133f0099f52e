"""Films for the runs of several files."""

import pytest

from tests import clips


@pytest.fixture(scope='session')
def data_root(tmp_path_factory):
  """Three classes of six clips."""
  return clips.write_folder(tmp_path_factory.mktemp('clips'))


@pytest.fixture(scope='session')
def split_root(tmp_path_factory):
  """A training and a test folder of three classes of four clips."""
  root = tmp_path_factory.mktemp('clips')
  for part, first in (('train', 0), ('test', 50)):
    for k in range(3):
      for i in range(4):
        path = root / part / f'class_{k}' / f'{part}_{i}.mp4'
        clips.write_clip(path, seed=100 * k + first + i)
  return root
