"""Other data sets that are scored beside a run's own (data.others)."""

import json
import types

import ml_collections
import pytest

from data_pipelines.datasets import others
from data_pipelines.errors import UserError
from tests.data_pipelines import trees
from tests.data_pipelines.trees import write_lines


def open_it(root, others, **values):
  return trees.open_sets(root, others=others, **values)


def other(root, **values):
  return {'name': 'ucf101', 'root': str(root), **values}


def test_other_data_sets_are_scored_against_their_own_classes(root, tmp_path):
  copy = trees.make_ucf(tmp_path / 'copy')
  names = 'Make Up', 'Stand on Hands', 'Toy on a String'
  names = write_lines(tmp_path / 'names', *names)
  entry = other(copy, splits=(1, 2), class_names=names)
  bare = {'name': 'folder', 'root': str(copy / 'UCF-101')}
  sets = open_it(root, {'more': entry, 'bare': bare}, novel_classes='half')
  assert list(sets.tests) == [
      'base', 'novel', 'bare', 'more_split1', 'more_split2',
  ]  # fmt: skip
  assert sets.class_names == ['Apply Eye Makeup', 'Handstand Pushups']
  assert sets.tests['more_split2'].class_names[2] == 'Toy on a String'
  assert sets.tests['more_split2'].media(0).startswith(str(copy))
  assert len(sets.tests['bare']) == 12
  about = sets.description['lists']['more_split2']
  assert (about['data_set'], about['split'], about['classes']) == (
      'ucf101', 2, 3,
  )  # fmt: skip
  assert str(copy) not in json.dumps(sets.description)
  sets.write_lists(tmp_path / 'lists')
  text = (tmp_path / 'lists' / 'novel-classes.txt').read_text()
  assert text == 'Yo Yo\n'
  assert not (tmp_path / 'lists' / 'base-classes.txt').exists()


def test_splits_that_hold_training_clips_are_refused(root):
  with pytest.raises(UserError, match='more_split2 list.*also in the train'):
    open_it(root, {'more': other(root, splits=(1, 2))})
  sets = open_it(root, {'more': other(root, splits=(1, 2))}, only=True)
  assert list(sets.tests) == ['test', 'more_split1', 'more_split2']


def test_others_need_their_test_clips_only(root, tmp_path):
  for name in trees.CLASSES:
    for group in (1, 2):
      key = f'UCF-101/{trees.clip_key(name, group)}'
      (tmp_path / 'data' / key).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / 'data' / key).symlink_to(root / key)
  for split in (1, 2):
    trees.write_vifi(tmp_path / f'val{split}.txt', [split])
  entry = other(tmp_path / 'data', splits=(1, 2))
  entry['test_list'] = str(tmp_path / 'val{split}.txt')
  sets = open_it(root, {'more': entry})
  assert list(sets.tests) == ['test', 'more_split1', 'more_split2']
  for split in (1, 2):
    records = sets.tests[f'more_split{split}'].records
    assert all(f'_g0{split}_' in r.path for r in records)
  entry['test_list'] = str(tmp_path / 'val1.txt')
  assert list(open_it(root, {'more': entry}).tests) == ['test', 'more']


def test_only_other_data_sets_are_scored(root):
  sets = open_it(root, {'more': other(root)}, only=True, score_own=False)
  assert (sets.train, list(sets.tests)) == (None, ['more'])


def test_of_several_test_lists_one_is_named():
  several = types.SimpleNamespace(tests={'bright': None, 'dark': None})
  data = ml_collections.ConfigDict({'others': {'x': {'name': 'demo'}}})
  with pytest.raises(UserError, match='others.x: .* bright, dark. Name'):
    next(others.read(data, lambda config, split: several))


@pytest.mark.parametrize(
    ('others', 'message'),
    [
        ({'test': {}}, 'data.others.test: give this data set another name'),
        ({'x': {'roots': ''}}, "data.others.x: unknown key 'roots'"),
        ({'x': {'name': 'nothing'}}, "data.others.x: data.name='nothing'"),
        ({'x': {'name': 'ucf101'}}, 'data.others.x: data.root is not set'),
        ({'x': {'splits': ()}}, 'data.others.x.splits is empty'),
    ],
)
def test_wrong_entries_are_named(root, others, message):
  with pytest.raises(UserError, match=message):
    open_it(root, others)
