"""What people's folders, names and lists look like: nothing is confused.

Names that differ in a sign only, links, copies, other Unicode forms, files
that are not used, and clips that are not there.
"""

import os
import unicodedata

import pytest

from data_pipelines.datasets import base_novel
from data_pipelines.errors import UserError
from tests.data_pipelines import kinetics_tree, pictures
from tests.data_pipelines.datasets import cases
from tests.data_pipelines.trees import make_folder, write_clips, write_lines

SIGNS = ('still', 'turn_+90', 'turn_-90')
LANGUAGES = ('C', 'C#', 'C++')
LISTS = {'train_list': 'train.txt', 'test_list': 'test.txt'}


def read(root, name='folder', **values):
  return cases.read(name, root, **values)


def records(data):
  return [r for x in (data.train, *data.tests.values()) for r in x.records]


def clip(path, number):
  """A file that is large enough to be told from others."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(number.to_bytes(2, 'big') * 400)


def folders(clips):
  return {r.path.split('/')[0] for r in clips.records}


@pytest.mark.parametrize('classes', [SIGNS, LANGUAGES])
@pytest.mark.parametrize('turned', [False, True])
def test_names_that_differ_in_a_sign(tmp_path, classes, turned):
  root = make_folder(tmp_path / 'data', dict.fromkeys(classes, 5))
  order = list(reversed(classes)) if turned else list(classes)
  names = write_lines(tmp_path / 'names.txt', *order)
  assert read(root, class_names=names).train.counts() == dict.fromkeys(
      range(3), 4
  )
  # The same with a list that numbers its own, and with its numbers turned.
  lines = [f'{c}/{k}.mp4 {n}' for n, c in enumerate(classes) for k in range(4)]
  write_lines(root / 'train.txt', *lines)
  write_lines(root / 'test.txt', *(f'{c}/4.mp4' for c in classes))
  for values in ({}, LISTS, LISTS | {'class_scope': 'per_list'}):
    data = read(root, class_names=names, **values)
    assert data.class_names == order
    for record in records(data):
      assert order[record.label] == record.path.split('/')[0]
  novel = write_lines(tmp_path / 'novel.txt', classes[1])
  data = base_novel.split(read(root), novel)
  assert folders(data.train) == {classes[0], classes[2]}
  assert folders(data.tests['novel']) == {classes[1]}


@pytest.mark.parametrize('form', ['NFC', 'NFD'])
def test_a_folder_and_a_list_in_two_unicode_forms(tmp_path, form):
  other = {'NFC': 'NFD', 'NFD': 'NFC'}[form]
  names = [unicodedata.normalize(form, 'caf\u00e9'), 'run']
  root = make_folder(tmp_path / 'data', dict.fromkeys(names, 3))
  lines = [f'{n}/{k}.mp4,{n}' for n in names for k in range(2)]
  lines = [unicodedata.normalize(other, x) for x in ('path,label', *lines)]
  write_lines(root / 'train.csv', *lines)
  own = [unicodedata.normalize(other, name) for name in names]
  own = write_lines(tmp_path / 'names', *own)
  data = read(root, train_list='train.csv', class_names=own)
  assert {r.path: r.label for r in records(data)} == {
      f'{name}/{k}.mp4': names.index(name) for name in names for k in range(2)
  }


@pytest.mark.parametrize('how', ['symbolic', 'hard', 'copy', 'images'])
def test_a_clip_in_two_lists_under_two_names(tmp_path, how):
  names = ['a/0', 'a/1', 'b/0', 'b/1']
  if how == 'images':
    for number, name in enumerate(names):
      pictures.write(tmp_path / name, 3, width=48 + 8 * number)
    # Under other names of its images.
    pictures.write(tmp_path / 'b' / 'twin', 3, 'img_{:03d}.jpg', width=48)
    suffix = ''
  else:
    suffix = '.mp4'
    for number, name in enumerate(names):
      clip(tmp_path / f'{name}.mp4', number)
    one, twin = tmp_path / 'a' / '0.mp4', tmp_path / 'b' / 'twin.mp4'
    if how == 'copy':
      twin.write_bytes(one.read_bytes())
    else:
      (os.link if how == 'hard' else os.symlink)(one, twin)
  write_lines(tmp_path / 'train.txt', f'a/0{suffix}', f'b/0{suffix}')
  write_lines(tmp_path / 'test.txt', f'a/1{suffix}', f'b/1{suffix}')
  assert len(read(tmp_path, **LISTS).train.records) == 2
  write_lines(tmp_path / 'test.txt', f'a/1{suffix}', f'b/twin{suffix}')
  with pytest.raises(
      UserError, match=rf'same files.*b/twin{suffix} and a/0{suffix}'
  ):
    read(tmp_path, **LISTS)
  data = read(tmp_path)
  for clips in (data.train, data.tests['test']):
    there = {r.path.removesuffix('.mp4') for r in clips.records}
    assert ('a/0' in there) == ('b/twin' in there)


def test_copies_of_a_clip_are_held_out_together(tmp_path):
  for number in range(10):
    for name in 'ab':
      clip(tmp_path / 'run' / f'{name}{number}.mp4', number)
  data = read(tmp_path)
  train, test = (
      {r.path[-5] for r in x.records} for x in (data.train, data.tests['test'])
  )
  assert len(test) == 2 and not train & test


def test_a_file_in_two_classes_is_said(tmp_path, capsys):
  for number in range(8):
    clip(tmp_path / 'ab'[number % 2] / f'{number}.mp4', number)
  (tmp_path / 'b' / 'more').symlink_to(tmp_path / 'a')
  read(tmp_path)
  told = capsys.readouterr().out
  assert '4 clips are the same files as clips of another class' in told


def test_two_links_to_one_folder_are_refused(tmp_path):
  root = make_folder(tmp_path / 'data', {'a': 3, 'b': 3})
  (root / 'c').symlink_to(root / 'a')
  with pytest.raises(UserError, match="'a' and 'c' are the same folder"):
    read(root)


def test_what_is_seen_and_not_used_is_said(tmp_path, capsys):
  suffixes = ('mts', 'm2ts', '3g2', 'f4v', 'qt', 'vob', 'asf', 'gif')
  root = make_folder(tmp_path, {'a': 2, 'empty': 0})
  write_clips(root, 'notes/list.xyz', *(f'b/clip.{x}' for x in suffixes))
  data = read(root)
  assert data.class_names == ['a', 'b']
  assert len(records(data)) == 2 + len(suffixes)
  told = capsys.readouterr().out
  assert '1 files' in told and 'such as notes/list.xyz' in told
  assert "hold no videos and are not classes: 'empty', 'notes'" in told


def test_much_that_is_missing_is_an_error_unless_allowed(tmp_path, capsys):
  root = make_folder(tmp_path, {f'c{k:02d}': 1 for k in range(4)})
  lines = [f'c{k:02d}/0.mp4,class {k:02d}' for k in range(101)]
  write_lines(root / 'all.csv', 'path,label', *lines)
  values = {'train_list': 'all.csv', 'on_missing': 'skip'}
  with pytest.raises(UserError, match='97 of 101 .*\n.*96% is more than'):
    read(root, most_missing=0.2, **values)
  assert len(read(root, most_missing=1.0, **values).class_names) == 4
  told = capsys.readouterr().out
  assert '97 of 101 clips of the train list' in told
  assert 'lost all their clips (97): class 04, class 05' in told


@pytest.fixture
def kinetics(tmp_path):
  return cases.make(cases.CASES['kinetics'], tmp_path)


def test_the_test_list_of_kinetics_has_no_labels(kinetics):
  head = 'youtube_id,time_start,time_end,split'
  for lines in ((head, 'ccccccccccc,0,10,test'),
                (f'label,{head}', ',ccccccccccc,0,10,test')):  # fmt: skip
    write_lines(kinetics / 'annotations' / 'test.csv', *lines)
    with pytest.raises(UserError, match=r'label.*val\.csv'):
      read(kinetics, 'kinetics', test_list='annotations/test.csv')


def test_text_lists_beside_the_tables_of_kinetics(tmp_path):
  def place(role, name, video, start):
    return f'{role}_256/{name}/{kinetics_tree.file_name(video, start)}'

  kinetics_tree.write_clips(tmp_path / 'mirror', place)
  for role, rows in zip(('train', 'val'), kinetics_tree.ROWS, strict=True):
    write_lines(tmp_path / 'mirror' / 'annotations' / f'{role}.txt', *(
        f'{place(role, kinetics_tree.CLASSES[k], v, s)} {k}' for v, s, k in rows
    ))  # fmt: skip
  # The root is one level up.
  data = read(tmp_path, 'kinetics')
  assert data.class_names == list(kinetics_tree.CLASSES)
  assert [r.label for r in data.train.records] == [0, 1, 2, 0]
  assert data.tests['test'].origin == 'val.txt'


def test_flat_clips_in_base_and_novel_lists_of_kinetics(kinetics):
  rows = {'base': kinetics_tree.TRAIN[:2], 'novel': kinetics_tree.TEST[1:]}
  for name, own in rows.items():
    numbers = {k: n for n, k in enumerate(dict.fromkeys(k for *_, k in own))}
    write_lines(kinetics / f'{name}.txt', *(
        f'/x/train/{kinetics_tree.file_name(v, s)[:-4]} 300 {numbers[k]}'
        for v, s, k in own
    ))  # fmt: skip
    classes = (f'{n},{kinetics_tree.CLASSES[k]}' for k, n in numbers.items())
    write_lines(kinetics / f'{name}.csv', 'id,name', *classes)
  values = {
      'class_scope': 'per_list',
      'train_list': 'base.txt',
      'tests': {'novel': 'novel.txt'},
  }
  with pytest.raises(UserError, match='neither the list nor the folders'):
    read(kinetics, 'kinetics', **values)
  names = f'{kinetics}/base.csv,novel={kinetics}/novel.csv'
  data = read(kinetics, 'kinetics', class_names=names, **values)
  assert data.class_names == list(kinetics_tree.CLASSES[:2])
  assert data.own_names == {'novel': [kinetics_tree.CLASSES[2]]}


@pytest.fixture
def ssv2(tmp_path):
  return cases.make(cases.CASES['ssv2'], tmp_path)


def test_ssv2_cut_to_some_classes_keeps_what_is_tested(ssv2, capsys):
  write_lines(ssv2 / 'train.txt', '1.webm 0', '20.webm 1')
  write_lines(ssv2 / 'test.txt', '6.webm 2')
  data = read(ssv2, 'ssv2', **LISTS)
  assert len(data.class_names) == 3
  assert [r.label for r in data.tests['test'].records] == [2]
  assert '1 classes have clips to score but none to train' in (
      capsys.readouterr().out
  )
  write_lines(ssv2 / 'test.txt', '50.webm 1')
  assert len(read(ssv2, 'ssv2', **LISTS).class_names) == 2


def test_lines_that_ez_clip_holds_several_times(ssv2, capsys):
  lines = ['/x/1 30 0', '/x/20 30 1', '/x/1 30 0', '/x/1 30 0']
  names = write_lines(ssv2 / 'names.json', '{"train": ["a", "b", "c"]}')
  values = {
      'class_scope': 'per_list',
      'class_names': names,
      'train_list': write_lines(ssv2 / 'train.txt', *lines),
  }
  data = read(ssv2, 'ssv2', **values)
  assert [r.line for r in data.train.records] == ['1.webm\t0', '20.webm\t1']
  assert '2 lines of the train list' in capsys.readouterr().out
  write_lines(ssv2 / 'train.txt', *lines, '/x/1 9 2')
  twice = r"train\.txt.*'1\.webm' twice.*labels 0 and 2"
  with pytest.raises(UserError, match=twice):
    read(ssv2, 'ssv2', **values)
