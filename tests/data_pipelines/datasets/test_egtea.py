"""EGTEA Gaze+: session folders, numbers from 1, class names with semicolons."""

import pytest

from data_pipelines import build, datasets
from data_pipelines.errors import UserError
from tests.data_pipelines import official_trees, trees

NAMES = ['Inspect/Read recipe', 'Open fridge', 'Take bowl']


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'egtea', **values})
  return datasets.read(data, split, report)


def keys(clips):
  return [r.path for r in clips.records]


def numbered(*numbers):
  return [official_trees.egtea_key(c, n) for c in range(3) for n in numbers]


@pytest.fixture
def root(tmp_path):
  return official_trees.make_egtea(tmp_path / 'egtea')


def test_a_number_that_no_class_has(root):
  file = root / 'action_annotation' / 'train_split1.txt'
  text = file.read_text()
  file.write_text(text.replace(' 3 9 ', ' 4 9 '))
  with pytest.raises(UserError, match=r'label 4 is out of range: .* 1\.\.3'):
    read(root=str(root))
  file.write_text(text + 'OP01-R01-PastaSalad-1-2-F1-F2\n')
  with pytest.raises(UserError, match=r'train_split1.txt, line 10: wanted <cl'):
    read(root=str(root))


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ('2; a\n3; b\n4; c\n', r'from 0 or from 1.* 2\.\.4'),
        ('1; a\n3; b\n4; c\n', 'keep the first or the last class'),
        ('0; a\n1; b\n1; c\n', 'line 4: the number 1 is there twice'),
        ('0; a\n1; b\nc\n', 'line 4: wanted <number>; <name>'),
        ('0; a\n1; b\n2; A\n', 'have the same name'),
        ('', 'found 0 numbers'),
    ],
)
def test_tables_of_names_that_make_no_sense(root, rows, message):
  table = root / 'action_annotation' / 'raw_annotations' / 'cls_label_index.csv'
  table.write_text('# Action ID; Action Label\n' + rows)
  with pytest.raises(UserError, match=message):
    read(root=str(root))


def test_the_other_file_with_names_will_do(root):
  folder = root / 'action_annotation'
  (folder / 'raw_annotations' / 'cls_label_index.csv').unlink()
  with pytest.raises(UserError, match='cls_label_index.csv with the'):
    read(root=str(root))
  with pytest.raises(UserError, match='cls_label_index.csv with the class'):
    build.build('egtea', str(root), str(root / 'out'))
  official_trees.write_lines(
      folder / 'action_idx.txt', [f'{n} {k}' for k, n in enumerate(NAMES, 1)]
  )
  assert read(root=str(root)).class_names == NAMES


def test_a_cut_official_list_is_read_as_such(root, tmp_path):
  text = (root / 'action_annotation' / 'train_split1.txt').read_text()
  some = [x for x in text.splitlines() if ' 3 9 ' not in x]
  test = (root / 'action_annotation' / 'test_split1.txt').read_text()
  lists = {
      'train_list': official_trees.write_lines(tmp_path / 'train.txt', some),
      'test_list': official_trees.write_lines(
          tmp_path / 'test.txt', test.splitlines()[:2]
      ),
  }
  data = read(root=str(root), **lists)
  # Neither a 0 nor the highest number is in them.
  assert data.class_names == NAMES[:2]
  assert data.train.counts() == {0: 3, 1: 3}


@pytest.mark.parametrize('first', [0, 1])
def test_a_table_cut_to_some_classes(root, first):
  folder = root / 'action_annotation'
  # The last class tells that the numbers begin with 1.
  rows = {first: '"Take; bowl"', first + 2: NAMES[2], 105 + first: NAMES[0]}
  if not first:
    del rows[105]
  (folder / 'raw_annotations' / 'cls_label_index.csv').write_text(
      ''.join(f'{k}; {name}; verb\n' for k, name in rows.items())
  )
  for file in folder.glob('t*_split1.txt'):
    lines = [x for x in file.read_text().splitlines() if x.split()[1] != '2']
    official_trees.write_lines(file, lines)
  data = read(root=str(root))
  assert data.class_names == ['Take; bowl', NAMES[2]]
  assert data.train.counts() == {0: 3, 1: 3}


def test_an_official_list_of_two_columns_counts_from_1(root, tmp_path):
  lists = {
      name: official_trees.write_lines(
          tmp_path / f'{name}.txt',
          [f'{official_trees.egtea_clip(k, n)} {k + 1}' for k in range(2)],
      )
      for name, n in (('train_list', 2), ('test_list', 1))
  }
  assert read(root=str(root), **lists).class_names == NAMES[:2]


def test_lists_of_others_count_from_0(root, tmp_path):
  lists = {
      name: official_trees.write_lines(
          tmp_path / f'{name}.txt',
          [f'{official_trees.egtea_clip(k, n)}.mp4 {k}' for k in range(3)],
      )
      for name, n in (('train_list', 2), ('test_list', 1))
  }
  data = read(root=str(root), **lists)
  assert data.train.counts() == {0: 1, 1: 1, 2: 1}
  with pytest.raises(UserError, match='3 of 3 clips of the test list'):
    read(2, root=str(root), train_list=lists['train_list'])


