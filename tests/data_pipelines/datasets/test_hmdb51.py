"""HMDB51: odd names, 51 files per split, lists that name only the file."""

import shutil

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import hmdb51
from data_pipelines.errors import UserError
from tests.data_pipelines import official_trees, pictures, trees

NAMES = ['climb stairs', 'flic flac', 'sword']


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'hmdb51', **values})
  return datasets.read(data, split, report)


def keys(clips):
  return [r.path for r in clips.records]


@pytest.fixture
def root(tmp_path):
  return official_trees.make_hmdb(tmp_path / 'hmdb')


def vifi(path, numbers, classes=official_trees.HMDB_CLIPS):
  """A ViFi-CLIP list: file names only, classes in the published order."""
  return official_trees.write_lines(
      path,
      [
          f'{official_trees.HMDB_CLIPS[c][n - 1]} {hmdb51.CLASSES.index(c)}'
          for c in classes
          for n in numbers
      ],
  )


def test_a_flat_folder_tells_classes_by_file_names(tmp_path):
  flat = tmp_path / 'videos' / 'all'
  flat.mkdir(parents=True)
  for clips in official_trees.HMDB_CLIPS.values():
    for clip in clips:
      (flat / clip).write_bytes(b'clip')
  train = vifi(tmp_path / 'train.txt', (2, 3))
  test = vifi(tmp_path / 'test.txt', (1,))
  data = read(root=str(tmp_path), train_list=train, test_list=test)
  assert data.class_names == NAMES


@pytest.mark.parametrize(
    ('name', 'raw'),
    [
        ('a/x_draw_sword_f_cm_np1_ba_med_1.avi', 'draw_sword'),
        ('a/draw_SWORD_sword_f_cm_np1_ba_med_1.avi', 'sword'),
        ('a/kick_kick_ball_f_cm_np1_ba_med_1.mp4', 'kick_ball'),
        ('Brush hair/x_wave_f_cm_np1_ba_med_1.avi', 'Brush hair'),
        ('a/x_draw_sword_f_cm_np1_ba_med_1', 'draw_sword'),
        ('a/x.avi', 'a'),
    ],
)
def test_class_of_a_clip(name, raw):
  assert hmdb51.class_of(name) == raw


def test_broken_official_files(root):
  folder = root / 'test_train_splits'
  file = folder / 'sword_test_split1.txt'
  file.write_text('a.avi 1\nb.avi 7\n')
  with pytest.raises(UserError, match=r"split1.txt, line 2: .*'b.avi 7'"):
    read(root=str(root))
  file.rename(folder / 'dancing_test_split1.txt')
  with pytest.raises(UserError, match="'dancing' is not a class of HMDB51"):
    read(root=str(root))


@pytest.mark.parametrize('below', ['', 'frames', 'rawframes'])
def test_folders_of_pictures_without_class_folders(tmp_path, below):
  official_trees.make_hmdb(tmp_path, videos='moved')
  shutil.rmtree(tmp_path / 'moved')
  for clips in official_trees.HMDB_CLIPS.values():
    for clip in clips:
      pictures.write(
          tmp_path / below / clip.removesuffix('.avi'), 2, 'img_{:05d}.jpg'
      )
  data = read(root=str(tmp_path))
  assert data.class_names == ['climb stairs', 'flic flac', 'sword']
  assert [r.label for r in data.tests['test'].records] == [0, 1, 2]


