"""Clips of one's own: class folders, splits, CSVs, what is held out."""

import pytest

from data_pipelines.datasets import folder
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from tests.data_pipelines import trees


def read(split=1, report=None, **values):
  return folder.read(trees.data_config(name='folder', **values), split, report)


def pairs(clips):
  return [(r.path, r.label) for r in clips.records]


def test_folders_are_classes_in_alphabetical_order(tmp_path):
  root = trees.make_folder(tmp_path, {'openDoor': 6, 'brush_hair': 5})
  (root / '.hidden').mkdir()
  (root / '.hidden' / 'x.mp4').write_bytes(b'clip')
  (root / 'openDoor' / '.x.mp4').write_bytes(b'clip')
  (root / 'openDoor' / 'notes.txt').write_text('not a clip')
  (root / 'openDoor' / 'day 1').mkdir()
  (root / 'openDoor' / 'day 1' / 'a.WEBM').write_bytes(b'clip')
  data = read(root=str(root))
  assert data.class_names == ['brush hair', 'open Door']
  everything = {**dict(pairs(data.train)), **dict(pairs(data.tests['test']))}
  assert len(everything) == 12
  assert everything['openDoor/day 1/a.WEBM'] == 1
  assert data.tests['test'].counts() == {0: 1, 1: 1}


def test_what_is_held_out_depends_on_the_split_only(tmp_path):
  root = trees.make_folder(tmp_path, {'a': 20, 'b': 10})
  one, again, other = (read(s, root=str(root)) for s in (1, 1, 2))
  assert one.tests['test'].hash == again.tests['test'].hash
  assert one.tests['test'].hash != other.tests['test'].hash
  assert one.tests['test'].counts() == {0: 4, 1: 2}
  assert one.train.counts() == {0: 16, 1: 8}


def test_holding_out_leaves_enough_to_train_on():
  def split(n, shots):
    pool = ClipList('train', tuple(ClipRecord(f'{k}', 0) for k in range(n)))
    train, test = folder.hold_out(pool, shots, split=1)
    return len(train.records), len(test.records)

  assert split(10, 0) == (8, 2)
  assert split(10, 9) == (9, 1)
  assert split(8, 8) == (8, 0)
  assert split(4, 8) == (4, 0)
  assert split(1, 0) == (1, 0)


def test_pieces_of_one_film_are_held_out_together():
  pool = ClipList(
      'train',
      tuple(
          ClipRecord(f'film{f}.mp4', k % 2, k, k + 1)
          for f in range(10)
          for k in range(4)
      ),
  )
  train, test = folder.hold_out(pool, 0, split=1)
  films = [{r.path for r in x.records} for x in (train, test)]
  assert not films[0] & films[1]
  assert len(films[1]) == 2


def test_train_val_and_test_folders_are_the_splits(tmp_path):
  for part in ('train', 'val', 'test'):
    trees.make_folder(tmp_path / part, {'a': 2, 'b': 1})
  data = read(root=str(tmp_path))
  assert data.class_names == ['a', 'b']
  assert data.train.counts() == data.val.counts() == {0: 2, 1: 1}
  assert pairs(data.tests['test'])[0] == ('test/a/0.mp4', 0)


def test_what_lies_beside_the_splits_is_said(tmp_path, capsys):
  for part in ('train', 'test'):
    trees.make_folder(tmp_path / part, {'a': 2, 'b': 1})
  (tmp_path / 'notes').mkdir()
  (tmp_path / 'train' / 'x.mp4').write_bytes(b'clip')
  data = read(root=str(tmp_path))
  assert (data.class_names, len(data.train.records)) == (['a', 'b'], 3)
  assert 'in no folder of a class, and are not used, such as train/x.mp4' in (
      capsys.readouterr().out
  )


def test_val_is_reported_on_if_there_is_no_test_folder(tmp_path):
  for part in ('train', 'validation'):
    trees.make_folder(tmp_path / part, {'a': 2, 'b': 1})
  data = read(root=str(tmp_path))
  assert data.val is None
  assert pairs(data.tests['test'])[-1] == ('validation/b/0.mp4', 1)


def test_a_class_may_be_called_train(tmp_path):
  root = trees.make_folder(tmp_path, {'train': 5, 'test': 5, 'boat': 5})
  assert read(root=str(root)).class_names == ['boat', 'test', 'train']


def test_csv_with_class_names_and_times(tmp_path):
  trees.make_folder(tmp_path, {'films': 2})
  (tmp_path / 'all.csv').write_text(
      'path,label,start,end\n'
      'films/0.mp4,run,0,2\nfilms/0.mp4,walk,2,4\n'
      'films/1.mp4,run,1,\n'
  )
  (tmp_path / 'test.csv').write_text('path,label\nfilms/0.mp4,run\n')
  data = read(train_list=str(tmp_path / 'all.csv'))
  assert data.class_names == ['run', 'walk']
  assert [r.key for r in data.train.records][0] == 'films/0.mp4@0-2'
  with pytest.raises(UserError, match='1 of 1 clips of the test list'):
    read(
        train_list=str(tmp_path / 'all.csv'),
        test_list=str(tmp_path / 'test.csv'),
    )


def test_root_may_be_the_csv(tmp_path):
  trees.make_folder(tmp_path, {'x': 10})
  lines = [f'x/{k}.mp4,{"ab"[k % 2]}' for k in range(10)]
  (tmp_path / 'all.csv').write_text('path,label\n' + '\n'.join(lines))
  data = read(root=str(tmp_path / 'all.csv'))
  assert data.class_names == ['a', 'b']
  assert data.tests['test'].counts() == {0: 1, 1: 1}
  assert data.train.origin == 'all.csv'


def test_numbers_take_their_names_from_the_folders(tmp_path):
  root = trees.make_folder(tmp_path / 'videos', {'b_b': 3, 'a': 3}).parent
  (tmp_path / 'train.txt').write_text(
      'videos/b_b/0.mp4 0\nvideos/a/0.mp4 1\nvideos/a/1.mp4 1\n'
  )
  (tmp_path / 'test.txt').write_text('videos/a/2.mp4 1\n')
  data = read(root=str(root), train_list='train.txt', test_list='test.txt')
  assert data.class_names == ['b b', 'a']
  assert data.train.counts() == {0: 1, 1: 2}
  # Another author's list counts in another order.
  (tmp_path / 'test.txt').write_text('videos/a/2.mp4 0\nvideos/b_b/2.mp4 1\n')
  data = read(root=str(root), train_list='train.txt', test_list='test.txt')
  assert data.class_names == ['b b', 'a']
  assert [r.label for r in data.tests['test'].records] == [1, 0]


def test_numbers_without_names_ask_for_them(tmp_path):
  trees.make_folder(tmp_path, {'all': 4})
  (tmp_path / 'train.txt').write_text('all/0.mp4 0\nall/1.mp4 1\n')
  (tmp_path / 'test.txt').write_text('all/2.mp4 1\n')
  lists = {'train_list': 'train.txt', 'test_list': 'test.txt'}
  with pytest.raises(UserError, match='data.class_names=FILE'):
    read(root=str(tmp_path), **lists)
  (tmp_path / 'names').write_text('to run\nto walk\n')
  data = read(root=str(tmp_path), class_names=str(tmp_path / 'names'), **lists)
  assert data.class_names == ['to run', 'to walk']


def test_label_out_of_range_and_unknown_class(tmp_path):
  trees.make_folder(tmp_path, {'all': 4})
  (tmp_path / 'names').write_text('run\nwalk\n')
  common = {'root': str(tmp_path), 'class_names': str(tmp_path / 'names')}
  (tmp_path / 'a.txt').write_text('all/0.mp4 0\nall/1.mp4 2\n')
  with pytest.raises(UserError, match=r'a.txt, line 2: the label 2.*0\.\.1'):
    read(train_list='a.txt', **common)
  (tmp_path / 'a.csv').write_text('path,label\nall/0.mp4,swim\n')
  with pytest.raises(UserError, match="a.csv, line 2: the class 'swim'"):
    read(train_list='a.csv', **common)


def test_class_name_file_orders_and_renames(tmp_path):
  root = trees.make_folder(tmp_path / 'd', {'a1': 5, 'a2': 5})
  names = tmp_path / 'names'
  names.write_text('A2\na1\n')
  data = read(root=str(root), class_names=str(names))
  assert data.class_names == ['A2', 'a1']
  assert dict(pairs(data.train) + pairs(data.tests['test']))['a1/0.mp4'] == 1
  names.write_text('opening a door\nclosing a door\n')
  data = read(root=str(root), class_names=str(names))
  assert data.class_names == ['opening a door', 'closing a door']
  assert dict(pairs(data.train) + pairs(data.tests['test']))['a1/0.mp4'] == 0
  names.write_text('a1\nclosing a door\n')
  with pytest.raises(UserError, match="does not name the folder 'a2'"):
    read(root=str(root), class_names=str(names))


def test_test_list_alone_leaves_the_rest_to_train(tmp_path):
  root = trees.make_folder(tmp_path, {'a': 3, 'b': 3})
  (root / 'test.txt').write_text('a/1.mp4\nb/0.mp4\n')
  data = read(root=str(root), test_list='test.txt')
  assert pairs(data.tests['test']) == [('a/1.mp4', 0), ('b/0.mp4', 1)]
  assert len(data.train.records) == 4
  assert ('a/1.mp4', 0) not in pairs(data.train)


def test_several_named_test_lists(tmp_path):
  root = trees.make_folder(tmp_path, {'a': 4, 'b': 4})
  (root / 'train.txt').write_text('a/0.mp4\nb/0.mp4\n')
  (root / 'bright.txt').write_text('a/1.mp4\nb/1.mp4\n')
  (root / 'dark.txt').write_text('a/2.mp4\n')
  tests = {'bright': 'bright.txt', 'dark': 'dark.txt'}
  data = read(root=str(root), train_list='train.txt', tests=tests)
  assert list(data.tests) == ['bright', 'dark']
  assert pairs(data.tests['dark']) == [('a/2.mp4', 0)]
  with pytest.raises(UserError, match='both name test lists'):
    read(root=str(root), tests=tests, test_list='dark.txt')


def test_a_class_that_is_only_tested_is_refused(tmp_path):
  root = trees.make_folder(tmp_path, {'a': 2, 'b': 2, 'c': 2})
  (root / 'train.txt').write_text('a/0.mp4\nb/0.mp4\n')
  (root / 'test.txt').write_text('a/1.mp4\nc/1.mp4\n')
  with pytest.raises(UserError, match="1 classes without a training .*'c'"):
    read(root=str(root), train_list='train.txt', test_list='test.txt')


@pytest.mark.parametrize('made', [False, True])
def test_missing_or_empty_root_says_what_is_wanted(tmp_path, made):
  root = tmp_path / 'clips'
  if made:
    root.mkdir()
  with pytest.raises(UserError, match='data.root=') as error:
    read(root=str(root))
  assert 'one folder of videos per class' in str(error.value)
  with pytest.raises(UserError, match='data.root is not set'):
    read()


def test_clips_outside_of_the_root_keep_their_path(tmp_path):
  trees.make_folder(tmp_path / 'far', {'x': 2})
  trees.make_folder(tmp_path / 'near', {'y': 2})
  far = tmp_path / 'far' / 'x'
  (tmp_path / 'near' / 'l.csv').write_text(
      f'path,label\n{far}/0.mp4,a\n../far/x/1.mp4,a\ny/0.mp4,b\ny/1.mp4,b\n'
  )
  data = read(root=str(tmp_path / 'near'), train_list='l.csv')
  keys = {r.path for c in (data.train, *data.tests.values()) for r in c.records}
  assert keys == {f'{far}/0.mp4', f'{far}/1.mp4', 'y/0.mp4', 'y/1.mp4'}


def test_prepared_folders_are_for_data_sets(tmp_path):
  with pytest.raises(UserError, match='data.tfds_dir'):
    read(root=str(tmp_path), tfds_dir='x')
