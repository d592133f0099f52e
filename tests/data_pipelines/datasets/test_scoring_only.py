"""Scoring alone: neither training lists nor training clips are needed."""

import pytest

from data_pipelines.errors import UserError
from tests.data_pipelines import kinetics_tree, trees
from tests.data_pipelines.datasets.cases import read
from tests.data_pipelines.trees import write_lines

TEST = ('test',)


def make_ucf(tmp_path, group):
  """Clips of one group alone."""
  root = trees.make_ucf(tmp_path / 'data', real=False)
  for file in root.glob('UCF-101/*/*'):
    if f'_g0{group}_' not in file.name:
      file.unlink()
  return root


def test_a_training_list_still_tells_the_classes(tmp_path):
  root = make_ucf(tmp_path, 1)
  some = trees.CLASSES[1:]
  lists = {
      'train_list': trees.write_vifi(tmp_path / 'train.txt', [2, 3], some),
      'test_list': trees.write_vifi(tmp_path / 'test.txt', [1], some),
  }
  got = read('ucf101', root, roles=TEST, **lists)
  assert got.class_names == ['Handstand Pushups', 'Yo Yo']
  with pytest.raises(UserError, match='4 of 4 clips of the train list'):
    read('ucf101', root, **lists)


def test_a_flat_folder_with_a_list_and_names(tmp_path):
  root = trees.write_clips(tmp_path / 'clips', 'a.mp4')
  values = {
      'test_list': write_lines(tmp_path / 't.txt', 'a.mp4 1'),
      'class_names': write_lines(tmp_path / 'c.txt', 'x', 'y'),
  }
  got = read('folder', root, roles=TEST, **values)
  assert (got.train, got.class_names) == (None, ['x', 'y'])


def test_a_class_that_lost_its_training_clips_stays(tmp_path):
  kinetics_tree.write_clips(tmp_path)
  kinetics_tree.write_lists(tmp_path / 'annotations')
  video, start, label = kinetics_tree.TRAIN[1]
  (tmp_path / 'train' / kinetics_tree.file_name(video, start)).unlink()
  got = read('kinetics', tmp_path, on_missing='skip')
  assert got.class_names == sorted(kinetics_tree.CLASSES)
  assert kinetics_tree.TEST[0][2] == label
  assert len(got.tests['test'].records) == 2


def test_novel_kinetics_classes_as_another_data_set(tmp_path):
  kinetics_tree.write_clips(tmp_path / 'k')
  kinetics_tree.write_lists(tmp_path, 'k600_test')
  names = [kinetics_tree.CLASSES[2], kinetics_tree.CLASSES[1]]
  values = {
      'test_list': str(tmp_path / 'k600_test.csv'),
      'class_names': write_lines(tmp_path / 'names', *names),
  }
  got = read('kinetics', tmp_path / 'k', roles=TEST, **values)
  assert got.class_names == names
  assert [r.label for r in got.tests['test'].records] == [1, 0]


def test_misses_of_all_lists_are_said_at_once(tmp_path):
  root = make_ucf(tmp_path, 3)
  own = trees.write_vifi(tmp_path / 'own.txt', [4])
  with pytest.raises(UserError) as error:
    read('ucf101', root, report=tmp_path / 'run', val_list=own)
  text = str(error.value)
  for name, count in (('train', '6 of 9'), ('val', '3 of 3'), ('test', '3 of')):
    assert f'{count}' in text and f'the {name} list' in text
    report = tmp_path / 'run' / f'missing-{name}.txt'
    assert report.read_text().count('\n') == int(count[0])
  # Of a list that would have no clip left nothing is left out.
  assert text.count('Complete the data') == 1 and '=skip' not in text
