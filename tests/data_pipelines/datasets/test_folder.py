"""Clips of one's own: class folders, splits, CSVs, what is held out."""

import os

import pytest

from data_pipelines.datasets import folder
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from tests.data_pipelines.datasets import cases
from tests.data_pipelines.trees import make_folder, write_clips, write_lines


def read(root='', split=1, **values):
  return cases.read('folder', root, split, **values)


def pairs(clips):
  return [(r.path, r.label) for r in clips.records]


def everything(data):
  return dict(pairs(data.train) + pairs(data.tests['test']))


def test_folders_are_classes_in_alphabetical_order(tmp_path):
  root = make_folder(tmp_path, {'openDoor': 6, 'brush_hair': 5})
  write_clips(root, '.hidden/x.mp4', 'openDoor/.x.mp4', 'openDoor/notes.txt')
  write_clips(root, 'openDoor/day 1/a.WEBM')
  data = read(root)
  assert data.class_names == ['brush hair', 'open Door']
  assert len(everything(data)) == 12
  assert everything(data)['openDoor/day 1/a.WEBM'] == 1
  assert data.tests['test'].counts() == {0: 1, 1: 1}


def test_what_is_held_out_depends_on_the_split_only(tmp_path):
  root = make_folder(tmp_path, {'a': 20, 'b': 10})
  one, again, other = (read(root, s) for s in (1, 1, 2))
  assert one.tests['test'].hash == again.tests['test'].hash
  assert one.tests['test'].hash != other.tests['test'].hash
  assert one.tests['test'].counts() == {0: 4, 1: 2}
  assert one.train.counts() == {0: 16, 1: 8}


@pytest.mark.parametrize(
    ('clips', 'shots', 'held'),
    [(10, 0, 2), (10, 9, 1), (8, 8, 0), (4, 8, 0), (1, 0, 0)],
)
def test_holding_out_leaves_enough_to_train_on(clips, shots, held):
  pool = ClipList('train', tuple(ClipRecord(f'{k}', 0) for k in range(clips)))
  train, test = folder.hold_out(pool, shots, split=1)
  assert (len(train.records), len(test.records)) == (clips - held, held)


def test_pieces_of_one_film_are_held_out_together():
  pieces = tuple(
      ClipRecord(f'film{f}.mp4', k % 2, k, k + 1)
      for f in range(10)
      for k in range(4)
  )
  train, test = folder.hold_out(ClipList('train', pieces), 0, split=1)
  films = [{r.path for r in x.records} for x in (train, test)]
  assert not films[0] & films[1] and len(films[1]) == 2


def test_train_val_and_test_folders_are_the_splits(tmp_path, capsys):
  for part in ('train', 'val', 'test'):
    make_folder(tmp_path / part, {'a': 2, 'b': 1})
  write_clips(tmp_path, 'train/x.mp4')
  (tmp_path / 'notes').mkdir()
  data = read(tmp_path)
  assert data.class_names == ['a', 'b']
  assert data.train.counts() == data.val.counts() == {0: 2, 1: 1}
  assert pairs(data.tests['test'])[0] == ('test/a/0.mp4', 0)
  assert 'not in a class folder, and are not used, such as train/x.mp4' in (
      capsys.readouterr().out
  )


def test_val_is_reported_on_if_there_is_no_test_folder(tmp_path):
  for part in ('train', 'validation'):
    make_folder(tmp_path / part, {'a': 2, 'b': 1})
  data = read(tmp_path)
  assert data.val is None
  assert pairs(data.tests['test'])[-1] == ('validation/b/0.mp4', 1)


def test_a_class_may_be_called_train(tmp_path):
  root = make_folder(tmp_path, {'train': 5, 'test': 5, 'boat': 5})
  assert read(root).class_names == ['boat', 'test', 'train']


def test_csv_with_class_names_and_times(tmp_path):
  make_folder(tmp_path, {'films': 2})
  rows = 'films/0.mp4,run,0,2', 'films/0.mp4,walk,2,4', 'films/1.mp4,run,1,'
  csv = write_lines(tmp_path / 'all.csv', 'path,label,start,end', *rows)
  data = read(train_list=csv)
  assert data.class_names == ['run', 'walk']
  assert [r.key for r in data.train.records][0] == 'films/0.mp4@0-2'
  test = write_lines(tmp_path / 'test.csv', 'path,label', 'films/0.mp4,run')
  with pytest.raises(UserError, match='1 of 1 clips of the test list'):
    read(train_list=csv, test_list=test)


def test_root_may_be_the_csv(tmp_path):
  make_folder(tmp_path, {'x': 10})
  lines = [f'x/{k}.mp4,{"ab"[k % 2]}' for k in range(10)]
  data = read(write_lines(tmp_path / 'all.csv', 'path,label', *lines))
  assert data.class_names == ['a', 'b']
  assert data.tests['test'].counts() == {0: 1, 1: 1}
  assert data.train.origin == 'all.csv'
  csv = str(tmp_path / 'all.csv')
  with pytest.raises(UserError, match='are both files: data.root must be the'):
    read(csv, train_list=csv)


LISTS = {'train_list': 'train.txt', 'test_list': 'test.txt'}


def test_numbers_take_their_names_from_the_folders(tmp_path):
  make_folder(tmp_path / 'videos', {'b_b': 3, 'a': 3})
  lines = 'videos/b_b/0.mp4 0', 'videos/a/0.mp4 1', 'videos/a/1.mp4 1'
  write_lines(tmp_path / 'train.txt', *lines)
  # Another author's list may count in another order.
  for lines, labels in (
      (['videos/a/2.mp4 1'], [1]),
      (['videos/a/2.mp4 0', 'videos/b_b/2.mp4 1'], [1, 0]),
  ):
    write_lines(tmp_path / 'test.txt', *lines)
    data = read(tmp_path, **LISTS)
    assert data.class_names == ['b b', 'a']
    assert data.train.counts() == {0: 1, 1: 2}
    assert [r.label for r in data.tests['test'].records] == labels


def test_numbers_without_names_ask_for_them(tmp_path):
  make_folder(tmp_path, {'all': 4})
  write_lines(tmp_path / 'train.txt', 'all/0.mp4 0', 'all/1.mp4 1')
  write_lines(tmp_path / 'test.txt', 'all/2.mp4 1')
  with pytest.raises(UserError, match='data.class_names=FILE'):
    read(tmp_path, **LISTS)
  names = write_lines(tmp_path / 'names', 'to run', 'to walk')
  data = read(tmp_path, class_names=names, **LISTS)
  assert data.class_names == ['to run', 'to walk']


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['all/0.mp4 0', 'all/1.mp4 2'], r'line 2: the label 2.*0\.\.1'),
        (['path,label', 'all/0.mp4,swim'], "line 2: the class 'swim'"),
        (['run/0.mp4 0', 'run/1.mp4 1'], "line 2: the numbers 0 and 1 .*'run'"),
        (['run/0.mp4 5', 'all/0.mp4 0'], 'line 2: nothing tells the class of'),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, lines, message):
  make_folder(tmp_path, {'all': 4, 'run': 2})
  names = write_lines(tmp_path / 'names', 'run', 'walk')
  write_lines(tmp_path / 'a.txt', *lines)
  with pytest.raises(UserError, match=rf'a\.txt, {message}'):
    read(tmp_path, class_names=names, train_list='a.txt')


@pytest.mark.parametrize(
    ('names', 'label'),
    [
        (['A2', 'a1'], 1),
        (['opening a door', 'closing a door'], 0),
        (['a1', 'closing a door'], None),
    ],
)
def test_class_name_file_orders_and_renames(tmp_path, names, label):
  root = make_folder(tmp_path / 'd', {'a1': 5, 'a2': 5})
  file = write_lines(tmp_path / 'names', *names)
  if label is None:
    with pytest.raises(UserError, match="does not name the folder 'a2'"):
      read(root, class_names=file)
  else:
    data = read(root, class_names=file)
    assert data.class_names == names
    assert everything(data)['a1/0.mp4'] == label


def test_test_list_alone_leaves_the_rest_to_train(tmp_path):
  root = make_folder(tmp_path, {'a': 3, 'b': 3})
  write_lines(root / 'test.txt', 'a/1.mp4', 'b/0.mp4')
  data = read(root, test_list='test.txt')
  assert pairs(data.tests['test']) == [('a/1.mp4', 0), ('b/0.mp4', 1)]
  assert len(data.train.records) == 4
  assert ('a/1.mp4', 0) not in pairs(data.train)
  write_lines(root / 'test.txt', *everything(data))
  with pytest.raises(UserError, match='has no clips but those to score'):
    read(root, test_list='test.txt')


def test_several_named_test_lists(tmp_path):
  root = make_folder(tmp_path, {'a': 4, 'b': 4, 'c': 1})
  write_lines(root / 'train.txt', 'a/0.mp4', 'b/0.mp4')
  write_lines(root / 'bright.txt', 'a/1.mp4', 'b/1.mp4')
  write_lines(root / 'dark.txt', 'a/2.mp4')
  tests = {'bright': 'bright.txt', 'dark': 'dark.txt'}
  data = read(root, train_list='train.txt', tests=tests)
  assert list(data.tests) == ['bright', 'dark']
  assert pairs(data.tests['dark']) == [('a/2.mp4', 0)]
  with pytest.raises(UserError, match='both name test lists'):
    read(root, tests=tests, test_list='dark.txt')
  with pytest.raises(UserError, match='data.tests.val: give this test list'):
    read(root, tests={'val': 'dark.txt'})
  # A class that is only tested.
  write_lines(root / 'test.txt', 'a/1.mp4', 'c/0.mp4')
  with pytest.raises(UserError, match="1 classes without a training .*'c'"):
    read(root, **LISTS)
  write_lines(root / 'train.txt', 'path,label', 'a/0.mp4,run', 'b/0.mp4,c')
  write_lines(root / 'test.txt', 'path,label', 'a/1.mp4,Run')
  with pytest.raises(UserError, match="'Run'.* Write it as 'run'"):
    read(root, **LISTS)


@pytest.mark.parametrize('made', [False, True])
def test_missing_or_empty_root_says_what_is_wanted(tmp_path, made):
  (tmp_path / 'clips').mkdir() if made else None
  with pytest.raises(UserError, match='data.root=') as error:
    read(tmp_path / 'clips')
  assert 'one folder of videos per class' in str(error.value)
  with pytest.raises(UserError, match='data.root is not set'):
    read()
  with pytest.raises(UserError, match='data.tfds_dir'):
    read(tmp_path, tfds_dir='x')


def test_clips_outside_of_the_root_keep_their_path(tmp_path):
  far = make_folder(tmp_path / 'far', {'x': 2}) / 'x'
  near = make_folder(tmp_path / 'near', {'y': 2})
  lines = f'{far}/0.mp4,a', '../far/x/1.mp4,a', 'y/0.mp4,b', 'y/1.mp4,b'
  write_lines(near / 'l.csv', 'path,label', *lines)
  found = everything(read(near, train_list='l.csv'))
  outside = {os.fspath(far / f'{k}.mp4') for k in range(2)}
  assert found.keys() == {*outside, 'y/0.mp4', 'y/1.mp4'}
