"""Scoring alone: neither training lists nor training clips are needed."""

import shutil

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import folder
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from tests.data_pipelines import kinetics_tree, trees
from tests.data_pipelines.trees import write_lines

TEST = ('test',)


@pytest.fixture(scope='module')
def ucf(tmp_path_factory):
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


def config(root, **values):
  return trees.data_config(root=str(root), **values)


def open_it(root, evaluate_only=False, **values):
  cache = str(root.parent / 'cache')
  data = config(root, **values)
  return open_data.open_data(data, 1, 1, None, cache, evaluate_only)


def bare_copy(ucf, root, groups, lists=False):
  """Some groups of every class, with the official lists or without."""
  for name in trees.CLASSES:
    for group in groups:
      key = trees.clip_key(name, group)
      trees.write_clips(root / 'UCF-101', key)
      shutil.copy(ucf / 'UCF-101' / key, root / 'UCF-101' / key)
  if lists:
    shutil.copytree(ucf / 'ucfTrainTestlist', root / 'ucfTrainTestlist')
  return root


def test_others_need_their_test_clips_only(ucf, tmp_path):
  root = bare_copy(ucf, tmp_path / 'data', [1, 2])
  for split in (1, 2):
    trees.write_vifi(tmp_path / f'val{split}.txt', [split])
  entry = {'name': 'ucf101', 'root': str(root)}
  entry['test_list'] = str(tmp_path / 'val{split}.txt')
  sets = open_it(ucf, others={'more': entry | {'splits': (1, 2)}})
  assert list(sets.tests) == ['test', 'more_split1', 'more_split2']
  for split in (1, 2):
    source = sets.tests[f'more_split{split}']
    assert all(f'_g0{split}_' in r.path for r in source.records)
  entry['test_list'] = str(tmp_path / 'val1.txt')
  sets = open_it(ucf, others={'more': entry | {'splits': (1, 2)}})
  assert list(sets.tests) == ['test', 'more']


def test_a_training_list_still_tells_the_classes(ucf, tmp_path):
  root = bare_copy(ucf, tmp_path / 'data', [1], lists=True)
  some = trees.CLASSES[1:]
  lists = {
      'train_list': trees.write_vifi(tmp_path / 'train.txt', [2, 3], some),
      'test_list': trees.write_vifi(tmp_path / 'test.txt', [1], some),
  }
  got = datasets.read(config(root, **lists), 1, None, TEST)
  assert got.class_names == ['Handstand Pushups', 'Yo Yo']
  with pytest.raises(UserError, match='4 of 4 clips of the train list'):
    datasets.read(config(root, **lists), 1)


def test_a_flat_folder_with_a_list_and_names(tmp_path):
  root = trees.write_clips(tmp_path / 'clips', 'a.mp4')
  values = {
      'test_list': write_lines(tmp_path / 't.txt', 'a.mp4 1'),
      'class_names': write_lines(tmp_path / 'c.txt', 'x', 'y'),
  }
  got = folder.read(config(root, **values), 1, None, TEST)
  assert (got.train, got.class_names) == (None, ['x', 'y'])


def test_a_class_that_lost_its_training_clips_stays(tmp_path):
  kinetics_tree.write_clips(tmp_path, kinetics_tree.official)
  kinetics_tree.write_lists(tmp_path / 'annotations')
  video, start, label = kinetics_tree.TRAIN[1]
  (tmp_path / 'train' / kinetics_tree.file_name(video, start)).unlink()
  got = datasets.read(config(tmp_path, name='kinetics', on_missing='skip'), 1)
  assert got.class_names == sorted(kinetics_tree.CLASSES)
  assert kinetics_tree.TEST[0][2] == label
  assert len(got.tests['test'].records) == 2


def test_novel_kinetics_classes_as_another_data_set(tmp_path):
  kinetics_tree.write_clips(tmp_path / 'k', kinetics_tree.official)
  kinetics_tree.write_lists(tmp_path, 'k600_test')
  names = [kinetics_tree.CLASSES[2], kinetics_tree.CLASSES[1]]
  values = {
      'test_list': str(tmp_path / 'k600_test.csv'),
      'class_names': write_lines(tmp_path / 'names', *names),
  }
  data = config(tmp_path / 'k', name='kinetics', **values)
  got = datasets.read(data, 1, None, TEST)
  assert got.class_names == names
  assert [r.label for r in got.tests['test'].records] == [1, 0]


def test_misses_of_all_lists_are_said_at_once(ucf, tmp_path):
  root = bare_copy(ucf, tmp_path / 'data', [3], lists=True)
  own = trees.write_vifi(tmp_path / 'own.txt', [4])
  with pytest.raises(UserError) as error:
    datasets.read(config(root, val_list=own), 1, tmp_path / 'run')
  text = str(error.value)
  for name, count in (('train', '6 of 9'), ('val', '3 of 3'), ('test', '3 of')):
    assert f'{count}' in text and f'the {name} list' in text
    report = tmp_path / 'run' / f'missing-{name}.txt'
    assert report.read_text().count('\n') == int(count[0])
  # Of a list that would have no clip left nothing is left out.
  assert text.count('Complete the data') == 1 and '=skip' not in text


def test_only_other_data_sets_are_scored(ucf):
  entry = {'name': 'ucf101', 'root': str(ucf), 'splits': (1,)}
  sets = open_it(ucf, True, score_own=False, others={'more': entry})
  assert (sets.train, list(sets.tests)) == (None, ['more'])
