"""What people's folders, names and lists look like: nothing is confused.

Names that differ in a sign only, links, copies, other Unicode forms, files
that are not used, and clips that are not there.
"""

import json
import os
import unicodedata

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import base_novel
from data_pipelines.errors import UserError
from tests.data_pipelines import kinetics_tree, pictures, ssv2_tree, trees

SIGNS = ('still', 'turn_+90', 'turn_-90')
LANGUAGES = ('C', 'C#', 'C++')


def read(root, name='folder', **values):
  data = trees.data_config(name=name, root=str(root), **values)
  return datasets.read(data, 1)


def clip(path, number):
  """A file that is large enough to be told from others."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(number.to_bytes(2, 'big') * 400)


def check(data, names):
  """Every clip has the class of its folder."""
  lists = [data.train, *data.tests.values()]
  for record in (r for clips in lists for r in clips.records):
    assert names[record.label] == record.path.split('/')[0]


@pytest.mark.parametrize('classes', [SIGNS, LANGUAGES])
@pytest.mark.parametrize('turned', [False, True])
def test_names_that_differ_in_a_sign(tmp_path, classes, turned):
  root = trees.make_folder(tmp_path / 'data', dict.fromkeys(classes, 5))
  order = list(reversed(classes)) if turned else list(classes)
  names = tmp_path / 'names.txt'
  names.write_text('\n'.join(order))
  data = read(root, class_names=str(names))
  assert data.class_names == order
  assert data.train.counts() == dict.fromkeys(range(3), 4)
  check(data, order)
  # The same with a list that numbers its own, and with its numbers turned.
  lines = [f'{c}/{k}.mp4 {n}' for n, c in enumerate(classes) for k in range(4)]
  (root / 'train.txt').write_text('\n'.join(lines))
  (root / 'test.txt').write_text('\n'.join(f'{c}/4.mp4' for c in classes))
  lists = {'train_list': 'train.txt', 'test_list': 'test.txt'}
  for scope in ('shared', 'per_list'):
    data = read(root, class_names=str(names), class_scope=scope, **lists)
    assert data.class_names == order
    check(data, order)
  (tmp_path / 'novel.txt').write_text(classes[1])
  data = base_novel.split(read(root), str(tmp_path / 'novel.txt'))
  kept = {r.path.split('/')[0] for r in data.train.records}
  assert kept == {classes[0], classes[2]}
  paths = [r.path for r in data.tests['novel'].records]
  assert {path.split('/')[0] for path in paths} == {classes[1]}


def test_a_loose_name_of_two_folders_names_both(tmp_path):
  root = trees.make_folder(tmp_path / 'data', dict.fromkeys(SIGNS, 2))
  (tmp_path / 'names').write_text('still\nturn 90\nother\n')
  with pytest.raises(UserError, match=r"turn_\+90.*turn_-90.*'turn 90'"):
    read(root, class_names=str(tmp_path / 'names'))


@pytest.mark.parametrize('form', ['NFC', 'NFD'])
def test_a_folder_and_a_list_in_two_unicode_forms(tmp_path, form):
  other = {'NFC': 'NFD', 'NFD': 'NFC'}[form]
  names = [unicodedata.normalize(form, 'caf\u00e9'), 'run']
  root = trees.make_folder(tmp_path / 'data', dict.fromkeys(names, 3))
  lines = [f'{n}/{k}.mp4,{n}' for n in names for k in range(2)]
  text = unicodedata.normalize(other, '\n'.join(['path,label', *lines]))
  (root / 'train.csv').write_text(text)
  names_file = tmp_path / 'names'
  names_file.write_text(unicodedata.normalize(other, 'caf\u00e9\nrun'))
  data = read(root, train_list='train.csv', class_names=str(names_file))
  found = [r for x in (data.train, data.tests['test']) for r in x.records]
  assert {r.path: r.label for r in found} == {
      f'{name}/{k}.mp4': names.index(name) for name in names for k in range(2)
  }


def test_pandas_labels_and_numbered_names(tmp_path):
  root = trees.make_folder(tmp_path / 'data', {'clips': 6})
  rows = [f'clips/{k}.mp4,{k % 2}.0' for k in range(6)]
  (root / 'all.csv').write_text('\n'.join(['path,label', *rows]))
  (root / 'names.csv').write_text('0,falling\n1,sitting\n')
  data = read(root, train_list='all.csv', class_names=str(root / 'names.csv'))
  assert data.class_names == ['falling', 'sitting']
  assert set(data.train.counts()) == {0, 1}


@pytest.mark.parametrize('how', ['symbolic', 'hard', 'copy'])
def test_a_file_in_two_lists_under_two_names(tmp_path, how):
  for number, name in enumerate(('a/0', 'a/1', 'b/0', 'b/1')):
    clip(tmp_path / f'{name}.mp4', number)
  twin = tmp_path / 'b' / 'twin.mp4'
  if how == 'symbolic':
    twin.symlink_to(tmp_path / 'a' / '0.mp4')
  elif how == 'hard':
    os.link(tmp_path / 'a' / '0.mp4', twin)
  else:
    twin.write_bytes((tmp_path / 'a' / '0.mp4').read_bytes())
  (tmp_path / 'train.txt').write_text('a/0.mp4\nb/0.mp4\n')
  (tmp_path / 'test.txt').write_text('a/1.mp4\nb/1.mp4\n')
  lists = {'train_list': 'train.txt', 'test_list': 'test.txt'}
  assert len(read(tmp_path, **lists).train.records) == 2
  (tmp_path / 'test.txt').write_text('a/1.mp4\nb/twin.mp4\n')
  with pytest.raises(UserError, match=r'same files.*b/twin\.mp4 and a/0\.mp4'):
    read(tmp_path, **lists)


def test_copies_of_folders_of_images_are_noticed(tmp_path):
  for number, name in enumerate(('a/0', 'a/1', 'b/0', 'b/1', 'b/2')):
    # The last is the first under other names of its images.
    pattern = 'frame_{:05d}.jpg' if number < 4 else 'img_{:03d}.jpg'
    side = 48 + 8 * (number % 4)
    pictures.write(tmp_path / name, 3, pattern, width=side)
  (tmp_path / 'train.txt').write_text('a/0\nb/0\n')
  lists = {'train_list': 'train.txt', 'test_list': 'test.txt'}
  (tmp_path / 'test.txt').write_text('a/1\nb/1\n')
  read(tmp_path, **lists)
  (tmp_path / 'test.txt').write_text('a/1\nb/2\n')
  with pytest.raises(UserError, match=r'same files.*b/2 and a/0'):
    read(tmp_path, **lists)
  data = read(tmp_path)
  for clips in (data.train, data.tests['test']):
    there = {r.path for r in clips.records}
    assert ('a/0' in there) == ('b/2' in there)


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
  root = trees.make_folder(tmp_path / 'data', {'a': 3, 'b': 3})
  (root / 'c').symlink_to(root / 'a')
  with pytest.raises(UserError, match="'a' and 'c' are one and the same"):
    read(root)


def test_what_is_seen_and_not_used_is_said(tmp_path, capsys):
  suffixes = ('.mts', '.m2ts', '.3g2', '.f4v', '.qt', '.vob', '.asf', '.gif')
  root = trees.make_folder(tmp_path, {'a': 2, 'empty': 0, 'notes': 0})
  (root / 'notes' / 'list.xyz').write_text('no video')
  for suffix in suffixes:
    (root / 'b').mkdir(exist_ok=True)
    (root / 'b' / f'clip{suffix}').write_bytes(b'clip')
  data = read(root)
  assert data.class_names == ['a', 'b']
  found = sum(len(x.records) for x in (data.train, data.tests['test']))
  assert found == 2 + len(suffixes)
  told = capsys.readouterr().out
  assert '1 files' in told and 'such as notes/list.xyz' in told
  assert "hold no videos and are no classes: 'empty', 'notes'" in told


def test_much_that_is_missing_is_an_error_unless_allowed(tmp_path, capsys):
  root = trees.make_folder(tmp_path, {f'c{k:02d}': 1 for k in range(4)})
  lines = [f'c{k:02d}/0.mp4,class {k:02d}' for k in range(101)]
  (root / 'all.csv').write_text('\n'.join(['path,label', *lines]))
  values = {'train_list': 'all.csv', 'on_missing': 'skip'}
  with pytest.raises(UserError, match='97 of 101 .*\n.*96% is more than'):
    read(root, most_missing=0.2, **values)
  assert len(read(root, most_missing=1.0, **values).class_names) == 4
  told = capsys.readouterr().out
  assert '97 of 101 clips of the train list' in told
  assert 'lost all their clips (97): class 04, class 05' in told


def make_kinetics(root, place=kinetics_tree.official):
  kinetics_tree.write_clips(root, place)
  kinetics_tree.write_lists(root / 'annotations')
  return root


def test_the_test_list_of_kinetics_has_no_labels(tmp_path):
  root = make_kinetics(tmp_path)
  file = root / 'annotations' / 'test.csv'
  for text in ('youtube_id,time_start,time_end,split\nccccccccccc,0,10,test\n',
               'label,youtube_id,time_start,time_end,split\n'
               ',ccccccccccc,0,10,test\n'):  # fmt: skip
    file.write_text(text)
    with pytest.raises(UserError, match=r'label.*val\.csv'):
      read(root, 'kinetics', test_list='annotations/test.csv')


def test_text_lists_beside_the_tables_of_kinetics(tmp_path):
  def place(role, name, video, start):
    return f'{role}_256/{name}/{kinetics_tree.file_name(video, start)}'

  kinetics_tree.write_clips(tmp_path / 'mirror', place)
  (tmp_path / 'mirror' / 'annotations').mkdir()
  for role, rows in zip(('train', 'val'), kinetics_tree.ROWS, strict=True):
    text = ''.join(
        f'{place(role, kinetics_tree.CLASSES[k], v, s)} {k}\n'
        for v, s, k in rows
    )
    (tmp_path / 'mirror' / 'annotations' / f'{role}.txt').write_text(text)
  # The root is one level up.
  data = read(tmp_path, 'kinetics')
  assert data.class_names == list(kinetics_tree.CLASSES)
  assert [r.label for r in data.train.records] == [0, 1, 2, 0]
  assert data.tests['test'].origin == 'val.txt'


def test_flat_clips_in_base_and_novel_lists_of_kinetics(tmp_path):
  root = make_kinetics(tmp_path)
  rows = {'base': kinetics_tree.TRAIN[:2], 'novel': kinetics_tree.TEST[1:]}
  for name, own in rows.items():
    numbers = {k: n for n, k in enumerate(dict.fromkeys(k for *_, k in own))}
    text = ''.join(
        f'/x/train/{kinetics_tree.file_name(v, s)[:-4]} 300 {numbers[k]}\n'
        for v, s, k in own
    )
    (root / f'{name}.txt').write_text(text)
    classes = [f'{n},{kinetics_tree.CLASSES[k]}' for k, n in numbers.items()]
    (root / f'{name}.csv').write_text('\n'.join(['id,name', *classes]))
  values = {
      'class_scope': 'per_list',
      'train_list': 'base.txt',
      'tests': {'novel': 'novel.txt'},
  }
  with pytest.raises(UserError, match='neither the list nor the folders'):
    read(root, 'kinetics', **values)
  names = f'{root}/base.csv,novel={root}/novel.csv'
  data = read(root, 'kinetics', class_names=names, **values)
  assert data.class_names == list(kinetics_tree.CLASSES[:2])
  assert data.own_names == {'novel': [kinetics_tree.CLASSES[2]]}


def test_names_of_more_classes_than_the_lists_have_are_said(tmp_path, capsys):
  root = make_kinetics(tmp_path)
  names = [*kinetics_tree.CLASSES, 'zumba', 'yoga']
  file = root / 'annotations' / 'kinetics_600_labels.csv'
  file.write_text(
      'id,name\n' + ''.join(f'{k},{n}\n' for k, n in enumerate(names))
  )
  assert len(read(root, 'kinetics').class_names) == 5
  told = capsys.readouterr().out
  assert '2 of 5 classes (kinetics_600_labels.csv) have no clip' in told


def make_ssv2(root, lists):
  ssv2_tree.write_labels(root / 'labels')
  (root / 'videos').mkdir(parents=True)
  for number, _ in ssv2_tree.TRAIN + ssv2_tree.TEST:
    (root / 'videos' / f'{number}.webm').write_bytes(b'clip')
  for name, lines in lists.items():
    (root / name).write_text('\n'.join(lines))
  return root


def test_ssv2_cut_to_some_classes_keeps_what_is_tested(tmp_path, capsys):
  lists = {'train.txt': ['1.webm 0', '20.webm 1'], 'test.txt': ['6.webm 2']}
  root = make_ssv2(tmp_path / 'data', lists)
  data = read(root, 'ssv2', train_list='train.txt', test_list='test.txt')
  assert len(data.class_names) == 3
  assert [r.label for r in data.tests['test'].records] == [2]
  assert '1 classes have clips to score and none to train' in (
      capsys.readouterr().out
  )
  (root / 'own.txt').write_text('50.webm 1')
  data = read(root, 'ssv2', train_list='train.txt', test_list='own.txt')
  assert len(data.class_names) == 2


def test_lines_that_ez_clip_holds_several_times(tmp_path, capsys):
  lines = ['/x/1 30 0', '/x/20 30 1', '/x/1 30 0', '/x/1 30 0']
  bad = [*lines, '/x/1 9 2']
  root = make_ssv2(tmp_path / 'data', {'train.txt': lines, 'bad.txt': bad})
  values = {'class_scope': 'per_list', 'class_names': str(root / 'names.json')}
  (root / 'names.json').write_text(json.dumps({'train': ['a', 'b', 'c']}))
  data = read(root, 'ssv2', train_list='train.txt', **values)
  assert [r.line for r in data.train.records] == ['1.webm\t0', '20.webm\t1']
  assert '2 lines of the train list' in capsys.readouterr().out
  with pytest.raises(UserError, match=r"'1\.webm' twice.*labels 0 and 2"):
    read(root, 'ssv2', train_list='bad.txt', **values)
