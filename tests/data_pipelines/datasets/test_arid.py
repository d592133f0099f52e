"""ARID v1.5: columns with tabs, two splits, a validation list."""

import pytest

from data_pipelines import datasets
from data_pipelines.errors import UserError
from tests.data_pipelines import official_trees, trees

NAMES = ['Drink', 'Push', 'Wave']


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'arid', **values})
  return datasets.read(data, split, report)


def keys(clips):
  return [r.path for r in clips.records]


def numbered(*numbers):
  return [official_trees.arid_key(c, n) for c in NAMES for n in numbers]


@pytest.fixture
def root(tmp_path):
  return official_trees.make_arid(tmp_path / 'arid')


def test_header_and_windows_line_ends(root):
  file = root / 'list_cvt' / 'split_0' / 'split0_train.txt'
  text = 'index\tlabel\tpath\n' + file.read_text()
  file.write_bytes(text.replace('\n', '\r\n').encode())
  assert keys(read(root=str(root)).train) == numbered(2, 3)
  file.write_text(file.read_text() + '9\tDrink\n')
  with pytest.raises(UserError, match=r'split0_train.txt, line 8: wanted col'):
    read(root=str(root))


def test_without_a_validation_list_there_is_none(root):
  (root / 'list_cvt' / 'split_0' / 'split0_others.txt').unlink()
  assert read(root=str(root)).val is None


def test_a_cut_official_list_is_read_as_such(root, tmp_path):
  text = (root / 'list_cvt' / 'split_0' / 'split0_train.txt').read_text()
  cut = official_trees.write_lines(
      tmp_path / 'few.txt', text.splitlines()[::2]
  )
  data = read(root=str(root), train_list=cut)
  assert keys(data.train) == numbered(2)
  assert keys(data.val) == numbered(4)
  other = official_trees.write_lines(
      tmp_path / 'own.txt',
      [f'{official_trees.arid_key(c, 2)} {NAMES.index(c)}' for c in NAMES],
  )
  assert read(root=str(root), train_list=other).class_names == NAMES


def test_a_mirror_with_other_names(tmp_path):
  root = official_trees.make_arid(tmp_path / 'arid')
  for key in numbered(1, 2, 3, 4):
    clip = root / 'clips_v1.5' / key
    clip.rename(clip.with_name(clip.name.replace('_1_', '-')))
  with pytest.raises(UserError, match='6 of 6 clips'):
    read(root=str(root))
  data = read(root=str(root), path_rule=r'_1_(\d)=>-\1')
  assert keys(data.train)[0] == 'Drink/Drink-2.mp4'
  for bad in ('_1_', '(=>x', r'(a)=>\2'):
    with pytest.raises(UserError, match='data.path_rule='):
      read(root=str(root), path_rule=bad)


