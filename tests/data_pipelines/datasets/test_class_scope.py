"""Lists with classes of their own, base and novel classes."""

import json

import pytest

from data_pipelines.datasets import base_novel
from data_pipelines.errors import UserError
from tests.data_pipelines import trees
from tests.data_pipelines.datasets import cases
from tests.data_pipelines.trees import write_lines

CLASSES = ('kick', 'run', 'sit', 'talk', 'wave')


@pytest.fixture
def episodes(tmp_path):
  """Reads 5 classes of 3 files of 4 bytes by CLIP-FSAR's lists of them."""
  trees.make_folder(tmp_path / 'data', dict.fromkeys(CLASSES, 3))
  lists = {'train': ('wave', 'run'), 'val': ('sit',), 'test': ('talk', 'kick')}
  for split, own in lists.items():
    write_lines(tmp_path / f'{split}_few_shot.txt', *(
        f'{split}{label}//{name}/{n}.mp4'
        for label, name in enumerate(own)
        for n in range(3)
    ))  # fmt: skip

  def read(names=None, **values):
    for split in ('train', 'val', 'test'):
      file = str(tmp_path / f'{split}_few_shot.txt')
      values.setdefault(f'{split}_list', file)
    if names is not None:
      text = names if isinstance(names, str) else json.dumps(names)
      values['class_names'] = write_lines(tmp_path / 'names.json', text)
    values = {'class_scope': 'per_list', **values}
    return whole(tmp_path, **values)

  return read


def test_base_and_novel_lists_of_ez_clip(tmp_path):
  root = trees.make_ucf(tmp_path / 'ucf', real=False)
  # EZ-CLIP numbers the base classes in an order of its own.
  for name, groups in {'train': (2, 3), 'base': (1,)}.items():
    write_lines(tmp_path / name, *(
        f'/x/{trees.clip_key(c, g).split("/")[1][:-4]} 40 {label}'
        for label, c in enumerate(('YoYo', 'ApplyEyeMakeup'))
        for g in groups
    ))  # fmt: skip
  write_lines(tmp_path / 'novel', '/y/v_HandStandPushups_g01_c01 40 0')
  tests = {name: str(tmp_path / name) for name in ('base', 'novel')}
  values = {'class_scope': 'per_list', 'train_list': str(tmp_path / 'train')}
  got = cases.read('ucf101', root, tests=tests, **values)
  assert got.class_names == ['Yo Yo', 'Apply Eye Makeup']
  assert got.own_names == {
      'base': ['Yo Yo', 'Apply Eye Makeup'],
      'novel': ['Handstand Pushups'],
  }
  assert [r.label for r in got.tests['base'].records] == [0, 1]
  assert got.tests['novel'].records[0].path.startswith('HandstandPushups/')


def whole(tmp_path, **values):
  return cases.read('folder', tmp_path / 'data', **values)


def test_each_list_numbers_its_own_classes(episodes):
  got = episodes()
  assert got.class_names == ['wave', 'run']
  assert got.own_names == {'val': ['sit'], 'test': ['talk', 'kick']}
  assert got.train.records[3].path == 'run/0.mp4'
  assert [r.label for r in got.train.records] == [0, 0, 0, 1, 1, 1]
  assert [r.label for r in got.tests['test'].records] == [0, 0, 0, 1, 1, 1]


def test_the_shared_scope_is_refused(episodes):
  with pytest.raises(UserError, match='number the classes of each split'):
    episodes(class_scope='shared')
  values = {'class_scope': 'shared', 'val_list': '', 'test_list': ''}
  with pytest.raises(UserError, match='data.class_scope=per_list'):
    episodes({'train': ['a', 'b']}, train_list='', **values)


def test_names_of_a_file_for_each_list(episodes, tmp_path):
  names = {'train': ['W', 'R', 'no clip'], 'test': ['[some], T', 'K']}
  got = episodes(names)
  assert got.class_names == ['W', 'R', 'no clip']
  assert got.own_names['test'] == ['[some], T', 'K']
  assert got.own_names['val'] == ['sit']
  # The list says 'val', wherever it is given.
  val = str(tmp_path / 'val_few_shot.txt')
  names = {'val': ['V'], 'test': ['A', 'B']}
  got = episodes(names, test_list=val, val_list='')
  assert got.own_names == {'test': ['V']}


def test_a_number_without_a_name_is_refused(episodes, tmp_path):
  with pytest.raises(UserError, match='label 1 is out of range.*names'):
    episodes({'train': ['W']})
  trees.write_clips(tmp_path / 'data', '7.webm', '8.webm')
  ids = write_lines(tmp_path / 'ids.txt', 'train0/7', 'train1/8')
  with pytest.raises(UserError, match='neither the list nor the folders'):
    episodes(train_list=ids)
  got = episodes({'train': ['Holding [something]', 'B']}, train_list=ids)
  assert got.class_names == ['Holding [something]', 'B']
  assert [r.path for r in got.train.records] == ['7.webm', '8.webm']


@pytest.mark.parametrize(
    ('text', 'message'),
    [('[', 'cannot read'), ('["a"]', 'wanted'), ('{"train": "a"}', 'wanted')],
)
def test_wrong_files_of_names(episodes, text, message):
  with pytest.raises(UserError, match=message):
    episodes(text)


@pytest.mark.parametrize(
    ('choice', 'base', 'novel'),
    [
        ('half', ['kick', 'run', 'sit'], ['talk', 'wave']),
        ('first_half', ['sit', 'talk', 'wave'], ['kick', 'run']),
        ('file', ['kick', 'sit', 'talk'], ['run', 'wave']),
    ],
)
def test_novel_classes(tmp_path, choice, base, novel):
  trees.make_folder(tmp_path / 'data', dict.fromkeys(CLASSES, 5))
  if choice == 'file':
    choice = write_lines(tmp_path / 'novel.txt', 'wave', 'run')
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
  trees.make_folder(tmp_path / 'data', dict.fromkeys(CLASSES, 5))
  if text is not None:
    write_lines(tmp_path / 'novel.txt', text)
  with pytest.raises(UserError, match=message):
    base_novel.split(whole(tmp_path), str(tmp_path / 'novel.txt'))


def test_novel_classes_of_lists_with_their_own_are_refused(episodes):
  with pytest.raises(UserError, match='data.tests instead'):
    base_novel.split(episodes(), 'half')


def test_a_val_list_needs_names_of_its_own(tmp_path):
  root = cases.make(cases.CASES['ssv2'], tmp_path)
  values = {'class_scope': 'per_list', 'class_names': 'clip_fsar/ssv2_small'}
  for split, number in (('train', 1), ('val', 20), ('test', 50)):
    file = write_lines(tmp_path / f'{split}.txt', f'{split}0/{number}')
    values[f'{split}_list'] = file
  with pytest.raises(UserError, match=r'"val": .names.*clip_fsar/.*FILE.json'):
    cases.read('ssv2', root, **values)
  own = write_lines(tmp_path / 'val.json', '{"val": ["Holding [something]"]}')
  values['class_names'] += f',{own}'
  data = cases.read('ssv2', root, **values)
  assert data.own_names['val'] == ['Holding [something]']
  assert (len(data.class_names), len(data.own_names['test'])) == (64, 24)
