"""What every data set with an official download does the same way."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest

from data_pipelines import datasets
from data_pipelines.errors import UserError
from tests.data_pipelines import (
  epic_tree,
  kinetics_tree,
  official_trees,
  ssv2_tree,
  trees,
)

EVALUATE = ('val', 'test')
_EPIC_LISTS = 'epic-kitchens-100-annotations'


@dataclasses.dataclass(frozen=True)
class Case:
  """A data set in the form that people have it, with files of 4 bytes.

  Attributes:
    make: (root, folder of videos, folder of lists) writes the tree.
    places: usual places: (videos, lists, folder below root or '..').
    names: the classes.
    keys: (role, split) -> the clips of an official list in its order.
    label: key -> the class.
    own: key -> its path in lists of others.
    by_folder: whether clips lie in folders of their classes.
  """

  make: Callable
  places: tuple[tuple[str, str, str], ...]
  names: list[str]
  keys: Callable[[str, int], list[str]]
  label: Callable[[str], int]
  own: Callable[[str], str] = lambda key: key.rsplit('/', 1)[-1]
  by_folder: bool = False


def _ucf(role, split):
  groups = [g for g in range(1, 5) if (g == split) == (role == 'test')]
  return [trees.clip_key(c, g) for c in trees.CLASSES for g in groups]


def _hmdb(role, split):
  unused = split % 4 + 1
  numbers = [n for n in range(1, 5) if n not in (split, unused)]
  numbers = [split] if role == 'test' else numbers
  names = official_trees.HMDB_CLIPS
  return [official_trees.hmdb_key(c, n) for c in names for n in numbers]


def _arid(role, split):
  numbers = {'train': [3 - split, 3], 'val': [4], 'test': [split]}[role]
  names = official_trees.ARID_CLASSES.values()
  return [official_trees.arid_key(c, n) for c in names for n in numbers]


def _egtea(role, split):
  numbers = [n for n in range(1, 5) if (n == split) == (role == 'test')]
  return [official_trees.egtea_key(c, n) for c in range(3) for n in numbers]


def _make_kinetics(root, videos, lists):
  kinetics_tree.write_clips(root / videos)
  kinetics_tree.write_lists(root / lists)


def _kinetics(role, split):
  del split
  folder, rows = {
      'train': ('train', kinetics_tree.TRAIN),
      'test': ('val', kinetics_tree.TEST),
  }[role]
  return [f'{folder}/{kinetics_tree.file_name(v, s)}' for v, s, _ in rows]


def _kinetics_label(key):
  video = key.rsplit('/', 1)[-1][:11]
  rows = kinetics_tree.TRAIN + kinetics_tree.TEST
  (number,) = {k for v, _, k in rows if v == video}
  return sorted(kinetics_tree.CLASSES).index(kinetics_tree.CLASSES[number])


def _make_ssv2(root, videos, lists):
  ssv2_tree.write_labels(root / lists)
  for number, _ in ssv2_tree.TRAIN + ssv2_tree.TEST:
    path = root / videos / f'{number}.webm'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'clip')


def _ssv2(role, split):
  del split
  rows = {'train': ssv2_tree.TRAIN, 'test': ssv2_tree.TEST}[role]
  return [f'{number}.webm' for number, _ in rows]


def _make_epic(root, videos, lists):
  epic_tree.write_lists(root / lists)
  for video in ('P01_01', 'P01_02', 'P02_101'):
    path = root / videos / video[:3] / 'videos' / f'{video}.MP4'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'clip')


def _epic(role, split):
  del split
  rows = {'train': epic_tree.TRAIN, 'test': epic_tree.TEST}[role]
  return [f'{v[:3]}/videos/{v}.MP4@{a:g}-{b:g}' for v, a, b, *_ in rows]


def _epic_label(key):
  rows = epic_tree.TRAIN + epic_tree.TEST
  found = (r for r in rows if key.endswith(f'{r[0]}.MP4@{r[1]:g}-{r[2]:g}'))
  return next(found)[4]


CASES = {
    'ucf101': Case(
        lambda root, videos, lists: trees.make_ucf(root, videos, lists, False),
        (
            ('UCF-101', 'ucfTrainTestlist', ''),
            ('ucf101_video/UCF-101-video', 'ucf101_video/ucfTrainTestlist', ''),
            ('UCF101/UCF-101', 'ucfTrainTestlist', ''),
            ('.', 'splits', ''),
            ('UCF-101', 'ucfTrainTestlist', 'UCF-101'),
            ('UCF-101', 'ucfTrainTestlist', '..'),
        ),
        ['Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo'],
        _ucf,
        lambda key: trees.CLASSES.index(key.split('/')[0]),
        by_folder=True,
    ),
    'hmdb51': Case(
        official_trees.make_hmdb,
        (
            ('videos', 'test_train_splits', ''),
            ('hmdb51/video_data', 'hmdb51/test_train_splits', ''),
            ('hmdb51_org', 'testTrainMulti_7030_splits', ''),
            ('videos', 'test_train_splits', 'videos'),
            ('.', 'splits', ''),
            ('videos', 'testTrainMulti_7030_splits', '..'),
        ),
        ['climb stairs', 'flic flac', 'sword'],
        _hmdb,
        lambda key: list(official_trees.HMDB_CLIPS).index(key.split('/')[0]),
        by_folder=True,
    ),
    'arid': Case(
        official_trees.make_arid,
        (
            ('clips_v1.5', 'list_cvt', ''),
            ('ARID_v1_5_211015/clips_v1.5', 'ARID_v1_5_211015/list_cvt', ''),
            ('clips_v1.5', 'list_cvt', 'clips_v1.5'),
            ('.', 'lists', ''),
            ('clips_v1.5', 'list_cvt', '..'),
        ),
        ['Drink', 'Push', 'Wave'],
        _arid,
        lambda key: ['Drink', 'Push', 'Wave'].index(key.split('/')[0]),
        by_folder=True,
    ),
    'egtea': Case(
        official_trees.make_egtea,
        (
            ('cropped_clips', 'action_annotation', ''),
            ('egtea/cropped_clips', 'egtea/action_annotation', ''),
            ('cropped_clips', 'action_annotation', 'cropped_clips'),
            ('videos', 'lists', ''),
            ('cropped_clips', 'action_annotation', '..'),
        ),
        list(official_trees.EGTEA_CLASSES),
        _egtea,
        lambda key: int(key.split('-F')[-1][:6]) // 1000,
    ),
    'epic_kitchens100': Case(
        _make_epic,
        (
            ('.', _EPIC_LISTS, ''),
            ('EPIC-KITCHENS', f'EPIC-KITCHENS/{_EPIC_LISTS}', ''),
            ('.', 'annotations', ''),
            ('.', _EPIC_LISTS, '..'),
        ),
        list(epic_tree.VERBS),
        _epic,
        _epic_label,
        own=lambda key: key,
    ),
    'kinetics': Case(
        _make_kinetics,
        (
            ('.', 'annotations', ''),
            ('k600', 'k600/annotations', ''),
            ('kinetics-dataset/k400', 'kinetics-dataset/k400/annotations', ''),
            ('.', '.', ''),
            ('.', 'annotations', '..'),
        ),
        sorted(kinetics_tree.CLASSES),
        _kinetics,
        _kinetics_label,
    ),
    'ssv2': Case(
        _make_ssv2,
        (
            ('20bn-something-something-v2', 'labels', ''),
            ('SSv2/20bn-something-something-v2', 'labels', ''),
            ('videos', 'annotations', ''),
            ('videos', 'labels', 'videos'),
            ('20bn-something-something-v2', 'labels', '..'),
        ),
        [t.replace('[', '').replace(']', '') for t in ssv2_tree.TEMPLATES],
        _ssv2,
        lambda key: dict(ssv2_tree.TRAIN + ssv2_tree.TEST)[
            int(key.split('.')[0])
        ],
    ),
}


@pytest.fixture(params=CASES)
def name(request):
  return request.param


@pytest.fixture
def case(name):
  return CASES[name]


@pytest.fixture
def root(case, tmp_path):
  return make(case, tmp_path / 'data' / 'root')


def make(case, root, place=0):
  videos, lists, below = case.places[place]
  root.mkdir(parents=True, exist_ok=True)
  case.make(root, videos, lists)
  return root.parent if below == '..' else root / below


def read(name, root, split=1, roles=None, report=None, **values):
  data = trees.data_config(name=name, root=str(root), **values)
  roles = [roles] if roles else []
  return datasets.read(data, split, report, *roles)


def keys(clips):
  return [r.key for r in clips.records]


def check(case, clips, wanted):
  """The clips end in these keys (the folder of videos may be a higher one)."""
  found = keys(clips)
  assert len(found) == len(wanted)
  for key, end in zip(found, wanted, strict=True):
    assert key.endswith(end)
  assert [r.label for r in clips.records] == [case.label(k) for k in wanted]


def own_list(path, case, wanted, number=None):
  """A list of one's own; labels by the order of the classes, or `number`."""
  number = number or case.label
  lines = []
  for key in wanted:
    file, at, times = case.own(key).partition('@')
    times = times.split('-') if at else []
    lines.append('\t'.join([file, str(number(key)), *times]))
  path.write_text('\n'.join(lines) + '\n')
  return str(path)


def test_every_data_set_is_here():
  # UCF101-DS has nothing to train on (test_ucf101_ds.py).
  assert set(datasets.OFFICIAL) == {*CASES, 'ucf101_ds'}


def test_official_lists_of_every_split(name, case, root):
  what = datasets.describe(name)
  for split in what.splits:
    data = read(name, root, split)
    assert data.class_names == case.names
    check(case, data.train, case.keys('train', split))
    check(case, data.tests['test'], case.keys('test', split))
    assert (data.val is not None) == ('val' in what.roles)
    if data.val:
      check(case, data.val, case.keys('val', split))
  with pytest.raises(UserError, match='split=4: .* has the split'):
    read(name, root, 4)


@pytest.mark.parametrize(
    ('name', 'place'),
    [(n, k) for n, case in CASES.items() for k in range(1, len(case.places))],
)
def test_usual_places(name, place, tmp_path):
  case = CASES[name]
  data = read(name, make(case, tmp_path / 'root', place))
  check(case, data.train, case.keys('train', 1))


def test_what_is_needed_is_said(name, case, root, tmp_path):
  (tmp_path / 'empty').mkdir()
  for wrong in ('', tmp_path / 'nowhere', tmp_path / 'empty'):
    with pytest.raises(UserError, match=r'data\.root.*\n?.*http'):
      read(name, wrong)
  with pytest.raises(UserError, match='holds no finished'):
    read(name, '', tfds_dir=str(tmp_path))
  shutil.rmtree(root / case.places[0][1])
  with pytest.raises(UserError, match='was not found near') as error:
    read(name, root)
  assert 'data.train_list' in str(error.value) and 'http' in str(error.value)


def test_missing_clips(name, case, root, tmp_path, capsys):
  wanted = case.keys('train', 1)
  files = sorted({key.split('@')[0] for key in wanted})
  gone = case.label(wanted[-1])
  for file in files:
    if any(case.label(k) == gone for k in wanted if k.startswith(file)):
      (root / case.places[0][0] / file).unlink()
  videos = root / case.places[0][0]
  left = [k for k in wanted if (videos / k.split('@')[0]).exists()]
  lost = len(wanted) - len(left)
  text = f'{lost} of {len(wanted)} clips of the train list'
  with pytest.raises(UserError, match=text) as error:
    read(name, root, report=tmp_path / 'run')
  assert 'data.on_missing=skip' in str(error.value)
  report = tmp_path / 'run' / 'missing-train.txt'
  assert len(report.read_text().splitlines()) == lost
  with pytest.raises(UserError, match=r'more than data\.most_missing=0\.2'):
    read(name, root, on_missing='skip', most_missing=0.2)
  # All classes are named, so that those without clips stay.
  names = tmp_path / 'names'
  names.write_text('\n'.join(case.names))
  capsys.readouterr()
  data = read(name, root, on_missing='skip', class_names=str(names))
  assert data.class_names == case.names
  check(case, data.train, left)
  assert len(data.train.missing) == lost
  told = capsys.readouterr().out
  assert text in told
  assert 'Classes that have lost all their clips' in told


def test_a_written_list_is_read_back(name, case, root, tmp_path):
  data = read(name, root)
  lists = {'train_list': data.train, 'test_list': data.tests['test']}
  for key, clips in lists.items():
    clips.write(tmp_path / f'{key}.txt')
  again = read(name, root, **{k: str(tmp_path / f'{k}.txt') for k in lists})
  assert again.train.records == data.train.records
  assert again.tests['test'].hash == data.tests['test'].hash
  assert again.class_names == data.class_names


def test_lists_of_others_name_files_only(name, case, root, tmp_path):
  wanted = case.keys('train', 1)
  train = own_list(tmp_path / 'train.txt', case, wanted)
  data = read(name, root, train_list=train)
  check(case, data.train, wanted)
  with pytest.raises(UserError, match='are also in the train list'):
    read(name, root, train_list=train, test_list=train)
  other = own_list(tmp_path / 'other.txt', case, wanted[:1], lambda key: 7)
  if not case.by_folder:
    with pytest.raises(UserError, match='line 1: the label 7 is out of range'):
      read(name, root, train_list=other)


@pytest.mark.parametrize('name', [n for n in CASES if CASES[n].by_folder])
def test_another_numbering(name, case, root, tmp_path):
  """Where folders tell the classes they decide, in both scopes."""
  wanted = case.keys('train', 1)
  turned = own_list(
      tmp_path / 'train.txt', case, wanted, lambda key: 2 - case.label(key)
  )
  check(case, read(name, root, train_list=turned).train, wanted)
  names = tmp_path / 'names.txt'
  names.write_text('\n'.join(case.names))
  data = read(
      name,
      root,
      train_list=turned,
      class_scope='per_list',
      class_names=str(names),
  )
  assert data.class_names == case.names
  check(case, data.train, wanted)
  twice = own_list(tmp_path / 'twice.txt', case, wanted, lambda key: 0)
  for scope in ('shared', 'per_list'):
    with pytest.raises(UserError, match='the number 0 stands for|one to one'):
      read(name, root, train_list=twice, class_scope=scope)


def test_scoring_needs_no_training_clips(name, case, root):
  test = {key.split('@')[0] for key in case.keys('test', 1)}
  for key in case.keys('train', 1):
    if key.split('@')[0] not in test:
      (root / case.places[0][0] / key.split('@')[0]).unlink(missing_ok=True)
  data = read(name, root, 1, ('test',))
  assert data.train is None
  check_ends = case.keys('test', 1)
  assert [k.endswith(e) for k, e in zip(
      keys(data.tests['test']), check_ends, strict=True
  )] == [True] * len(check_ends)  # fmt: skip


def test_a_rule_opens_another_layout(name, case, tmp_path):
  root = make(case, tmp_path)
  videos = root / case.places[0][0]
  moved = tmp_path / 'my' / 'own' / 'place'
  files = [p for p in videos.rglob('*') if p.suffix in ('.avi', '.mp4', '.MP4',
           '.webm')]  # fmt: skip
  for file in files:
    new = moved / file.relative_to(videos)
    new.parent.mkdir(parents=True, exist_ok=True)
    file.rename(new)
  rules = {
      'epic_kitchens100': r'^(P..)/rgb_\w+(.+)=>my/own/place/\1/videos\2.MP4',
      # Clips are found by their ids anywhere.
      'kinetics': 'x=>x',
  }
  rule = rules.get(name, '^=>my/own/place/')
  data = read(name, root, path_rule=rule)
  assert data.train.records[0].path.startswith('my/own/place/')
  for bad in ('no arrow', '(=>x', r'(a)=>\2'):
    with pytest.raises(UserError, match='data.path_rule='):
      read(name, root, path_rule=bad)


def test_the_example_of_the_page(tmp_path, monkeypatch):
  """docs/data/adding.md: a data set of its own file."""
  page = pathlib.Path('docs/data/adding.md').read_text()
  code = page.split('```python\n')[1].split('```')[0]
  module = {}
  exec(code, module)
  from data_pipelines.datasets import official

  for label, folder in enumerate(('high', 'long')):
    trees.make_folder(tmp_path / 'videos', {folder: 2})
    (tmp_path / 'lists').mkdir(exist_ok=True)
    for number, role in enumerate(('train', 'test')):
      with open(tmp_path / 'lists' / f'{role}1.txt', 'a') as file:
        file.write(f'{folder}/{number}.mp4 {label}\n')
  (tmp_path / 'lists' / 'classes.txt').write_text('high jump\nlong jump\n')
  data = trees.data_config(name='jumps', root=str(tmp_path))
  found = official.read(module['DESCRIPTION'], data, 1)
  assert found.class_names == ['high jump', 'long jump']
  assert [r.line for r in found.train.records] == [
      'high/0.mp4\t0', 'long/0.mp4\t1',
  ]  # fmt: skip
  json.dumps(found.class_names)
