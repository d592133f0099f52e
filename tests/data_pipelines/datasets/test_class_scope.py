"""Lists with classes of their own, base and novel classes, other data sets."""

import json

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import base_novel, folder
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from tests.data_pipelines import trees

CLASSES = ('kick', 'run', 'sit', 'talk', 'wave')


def make(tmp_path):
  """5 classes of 3 files of 4 bytes, and CLIP-FSAR's lists of them."""
  root = trees.make_folder(tmp_path / 'data', dict.fromkeys(CLASSES, 3))
  for split, own in (
      ('train', ('wave', 'run')), ('val', ('sit',)), ('test', ('talk', 'kick'))
  ):  # fmt: skip
    lines = [
        f'{split}{label}//{name}/{n}.mp4\n'
        for label, name in enumerate(own)
        for n in range(3)
    ]
    (tmp_path / f'{split}_few_shot.txt').write_text(''.join(lines))
  return root


def episodes(tmp_path, **values):
  lists = {
      f'{s}_list': str(tmp_path / f'{s}_few_shot.txt')
      for s in ('train', 'val', 'test')
  }
  values = {'class_scope': 'per_list', **lists, **values}
  root = str(tmp_path / 'data')
  return folder.read(trees.data_config(name='folder', root=root, **values), 1)


def test_each_list_numbers_its_own_classes(tmp_path):
  make(tmp_path)
  got = episodes(tmp_path)
  assert got.class_names == ['wave', 'run']
  assert got.own_names == {'val': ['sit'], 'test': ['talk', 'kick']}
  assert got.train.records[3].path == 'run/0.mp4'
  assert [r.label for r in got.train.records] == [0, 0, 0, 1, 1, 1]
  assert [r.label for r in got.tests['test'].records] == [0, 0, 0, 1, 1, 1]


def test_numbers_in_the_shared_scope_are_refused(tmp_path):
  make(tmp_path)
  with pytest.raises(UserError, match='number their classes'):
    episodes(tmp_path, class_scope='shared')


def test_names_of_a_file_for_each_list(tmp_path):
  make(tmp_path)
  names = tmp_path / 'names.json'
  names.write_text(
      json.dumps({'train': ['W', 'R', 'no clip'], 'test': ['[some], T', 'K']})
  )
  got = episodes(tmp_path, class_names=str(names))
  assert got.class_names == ['W', 'R', 'no clip']
  assert got.own_names['test'] == ['[some], T', 'K']
  assert got.own_names['val'] == ['sit']
  # The list says 'val', wherever it is given.
  val = str(tmp_path / 'val_few_shot.txt')
  names.write_text(json.dumps({'val': ['V'], 'test': ['A', 'B']}))
  got = episodes(tmp_path, class_names=str(names), test_list=val, val_list='')
  assert got.own_names == {'test': ['V']}


def test_a_number_without_a_name_is_refused(tmp_path):
  make(tmp_path)
  names = tmp_path / 'names.json'
  names.write_text(json.dumps({'train': ['W']}))
  with pytest.raises(UserError, match='label 1 is out of range.*names'):
    episodes(tmp_path, class_names=str(names))
  (tmp_path / 'data' / '7.webm').write_bytes(b'clip')
  (tmp_path / 'data' / '8.webm').write_bytes(b'clip')
  ids = tmp_path / 'ids.txt'
  ids.write_text('train0/7\ntrain1/8\n')
  with pytest.raises(UserError, match='neither the list nor the folders'):
    episodes(tmp_path, train_list=str(ids))
  names.write_text(json.dumps({'train': ['Holding [something]', 'B']}))
  got = episodes(tmp_path, train_list=str(ids), class_names=str(names))
  assert got.class_names == ['Holding [something]', 'B']
  assert [r.path for r in got.train.records] == ['7.webm', '8.webm']


@pytest.mark.parametrize(
    ('text', 'message'),
    [('[', 'cannot read'), ('["a"]', 'wanted'), ('{"train": "a"}', 'wanted')],
)
def test_wrong_files_of_names(tmp_path, text, message):
  make(tmp_path)
  (tmp_path / 'names.json').write_text(text)
  with pytest.raises(UserError, match=message):
    episodes(tmp_path, class_names=str(tmp_path / 'names.json'))


def test_names_per_list_need_the_scope(tmp_path):
  make(tmp_path)
  (tmp_path / 'names.json').write_text('{"train": ["a", "b"]}')
  with pytest.raises(UserError, match='data.class_scope=per_list'):
    episodes(
        tmp_path, class_scope='shared', class_names=str(tmp_path / 'names.json')
    )


def test_base_and_novel_lists_of_ez_clip(tmp_path):
  root = trees.make_ucf(tmp_path / 'ucf', real=False)
  # EZ-CLIP numbers the base classes in an order of its own.
  lines = {'train': (2, 3), 'base': (1,)}
  for name, groups in lines.items():
    (tmp_path / name).write_text(
        ''.join(
            f'/x/{trees.clip_key(c, g).split("/")[1][:-4]} 40 {label}\n'
            for label, c in enumerate(('YoYo', 'ApplyEyeMakeup'))
            for g in groups
        )
    )
  (tmp_path / 'novel').write_text('/y/v_HandStandPushups_g01_c01 40 0\n')
  data = trees.data_config(
      root=str(root),
      class_scope='per_list',
      train_list=str(tmp_path / 'train'),
      tests={n: str(tmp_path / n) for n in ('base', 'novel')},
  )
  got = datasets.read(data, 1)
  assert got.class_names == ['Yo Yo', 'Apply Eye Makeup']
  assert got.own_names == {
      'base': ['Yo Yo', 'Apply Eye Makeup'],
      'novel': ['Handstand Pushups'],
  }
  assert [r.label for r in got.tests['base'].records] == [0, 1]
  assert got.tests['novel'].records[0].path.startswith('HandstandPushups/')


def whole(tmp_path, counts=None, **values):
  root = trees.make_folder(
      tmp_path / 'data', counts or dict.fromkeys(CLASSES, 5)
  )
  return folder.read(
      trees.data_config(name='folder', root=str(root), **values), 1
  )


@pytest.mark.parametrize(
    ('choice', 'base', 'novel'),
    [
        ('half', ['kick', 'run', 'sit'], ['talk', 'wave']),
        ('first_half', ['sit', 'talk', 'wave'], ['kick', 'run']),
        ('file', ['kick', 'sit', 'talk'], ['run', 'wave']),
    ],
)
def test_novel_classes(tmp_path, choice, base, novel):
  if choice == 'file':
    choice = str(tmp_path / 'novel.txt')
    (tmp_path / 'novel.txt').write_text('wave\nrun\n')
  got = base_novel.split(whole(tmp_path), choice)
  assert got.class_names == base
  assert got.own_names == {'novel': novel}
  assert list(got.tests) == ['base', 'novel']
  for clips, names in ((got.train, base), (got.tests['base'], base),
                       (got.tests['novel'], novel)):  # fmt: skip
    assert set(clips.counts()) == set(range(len(names)))
    for record in clips.records:
      assert record.path.startswith(names[record.label] + '/')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, "use 'half' or 'first_half', or a file"),
        ('jump\n', "'jump' is not one of the 5 classes"),
        ('\n'.join(CLASSES), '0 of 5 classes are left for training'),
    ],
)
def test_wrong_novel_classes(tmp_path, text, message):
  file = tmp_path / 'novel.txt'
  if text is not None:
    file.write_text(text)
  with pytest.raises(UserError, match=message):
    base_novel.split(whole(tmp_path), str(file))


def test_novel_classes_of_lists_with_their_own_are_refused(tmp_path):
  make(tmp_path)
  with pytest.raises(UserError, match='data.tests instead'):
    base_novel.split(episodes(tmp_path), 'half')


@pytest.fixture(scope='module')
def ucf(tmp_path_factory):
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


def open_it(root, others, evaluate_only=False, **values):
  data = trees.data_config(root=str(root), others=others, **values)
  cache = str(root.parent / 'cache')
  return open_data.open_data(data, 1, 1, None, cache, evaluate_only)


def other(root, **values):
  return {'name': 'ucf101', 'root': str(root), **values}


def test_other_data_sets_are_scored_against_their_own_classes(ucf, tmp_path):
  copy = trees.make_ucf(tmp_path / 'copy')
  names = tmp_path / 'names'
  names.write_text('Make Up\nStand on Hands\nToy on a String\n')
  entry = other(copy, splits=(1, 2), class_names=str(names))
  bare = {'name': 'folder', 'root': str(copy / 'UCF-101')}
  sets = open_it(ucf, {'more': entry, 'bare': bare}, novel_classes='half')
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


def test_splits_that_hold_training_clips_are_refused(ucf):
  with pytest.raises(UserError, match='more_split2 list.*also in the train'):
    open_it(ucf, {'more': other(ucf, splits=(1, 2))})
  sets = open_it(ucf, {'more': other(ucf, splits=(1, 2))}, evaluate_only=True)
  assert list(sets.tests) == ['test', 'more_split1', 'more_split2']


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
def test_wrong_entries_are_named(ucf, others, message):
  with pytest.raises(UserError, match=message):
    open_it(ucf, others)


