"""What every data set with an official download does the same way."""

import dataclasses
import pathlib
import shutil
from collections.abc import Callable

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import official
from data_pipelines.errors import UserError
from tests.data_pipelines import (
  epic_tree,
  kinetics_tree,
  official_trees,
  ssv2_tree,
  trees,
)

_EPIC_LISTS = 'epic-kitchens-100-annotations'


@dataclasses.dataclass(frozen=True)
class Case:
  """A data set in the form that people have it, with files of 4 bytes.

  Attributes:
    make: (root, folder of videos, folder of lists) writes the tree.
    names: the classes.
    lists: (role, split) -> {clip: label} of an official list in its order.
    places: usual places: videos, lists, and folder below root or '..'.
    own: key -> its path in lists of others.
    by_folder: whether clips lie in folders of their classes.
  """

  make: Callable
  names: list[str]
  lists: Callable[[str, int], dict[str, int]]
  places: tuple[str, ...]
  own: Callable[[str], str] = lambda key: key.rsplit('/', 1)[-1]
  by_folder: bool = False

  @property
  def videos(self) -> str:
    return self.places[0].split()[0]


def _numbered(key, classes, numbers=None):
  """Of clips 1..4 of each class; number N is tested on in split N."""
  numbers = numbers or (
      lambda role, split: [split]
      if role == 'test'
      else [n for n in range(1, 5) if n != split]
  )
  return lambda role, split: {
      key(c, n): k for k, c in enumerate(classes) for n in numbers(role, split)
  }


def _hmdb(role, split):
  unused = split % 4 + 1
  rest = [n for n in range(1, 5) if n not in (split, unused)]
  return [split] if role == 'test' else rest


def _arid(role, split):
  return {'train': [3 - split, 3], 'val': [4], 'test': [split]}[role]


def _make_kinetics(root, videos, lists):
  kinetics_tree.write_clips(root / videos)
  kinetics_tree.write_lists(root / lists)


def _kinetics(role, split):
  del split
  folder = {'train': 'train', 'test': 'val'}[role]
  rows = kinetics_tree.ROWS[role == 'test']
  order = sorted(range(3), key=kinetics_tree.CLASSES.__getitem__)
  return {
      f'{folder}/{kinetics_tree.file_name(v, s)}': order.index(k)
      for v, s, k in rows
  }


def _make_ssv2(root, videos, lists):
  ssv2_tree.write_labels(root / lists)
  numbers = dict(ssv2_tree.TRAIN + ssv2_tree.TEST)
  trees.write_clips(root / videos, *(f'{n}.webm' for n in numbers))


def _ssv2(role, split):
  del split
  rows = ssv2_tree.TRAIN if role == 'train' else ssv2_tree.TEST
  return {f'{number}.webm': label for number, label in rows}


def _make_epic(root, videos, lists):
  epic_tree.write_lists(root / lists)
  names = ('P01_01', 'P01_02', 'P02_101')
  trees.write_clips(root / videos, *(f'{n[:3]}/videos/{n}.MP4' for n in names))


def _epic(role, split):
  del split
  rows = epic_tree.TRAIN if role == 'train' else epic_tree.TEST
  return {
      f'{v[:3]}/videos/{v}.MP4@{a:g}-{b:g}': label
      for v, a, b, _, label, *_ in rows
  }


CASES = {
    'ucf101': Case(
        lambda root, videos, lists: trees.make_ucf(root, videos, lists, False),
        ['Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo'],
        _numbered(trees.clip_key, trees.CLASSES),
        (
            'UCF-101 ucfTrainTestlist',
            'ucf101_video/UCF-101-video ucf101_video/ucfTrainTestlist',
            'UCF101/UCF-101 ucfTrainTestlist', '. splits',
            'UCF-101 ucfTrainTestlist UCF-101', 'UCF-101 ucfTrainTestlist ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'hmdb51': Case(
        official_trees.make_hmdb,
        ['climb stairs', 'flic flac', 'sword'],
        _numbered(official_trees.hmdb_key, official_trees.HMDB_CLIPS, _hmdb),
        (
            'videos test_train_splits',
            'hmdb51/video_data hmdb51/test_train_splits',
            'hmdb51_org testTrainMulti_7030_splits',
            'videos test_train_splits videos', '. splits',
            'videos testTrainMulti_7030_splits ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'arid': Case(
        official_trees.make_arid,
        ['Drink', 'Push', 'Wave'],
        _numbered(official_trees.arid_key, ['Drink', 'Push', 'Wave'], _arid),
        (
            'clips_v1.5 list_cvt',
            'ARID_v1_5_211015/clips_v1.5 ARID_v1_5_211015/list_cvt',
            'clips_v1.5 list_cvt clips_v1.5', '. lists',
            'clips_v1.5 list_cvt ..',
        ),  # fmt: skip
        by_folder=True,
    ),
    'egtea': Case(
        official_trees.make_egtea,
        list(official_trees.EGTEA_CLASSES),
        _numbered(official_trees.egtea_key, range(3)),
        (
            'cropped_clips action_annotation',
            'egtea/cropped_clips egtea/action_annotation',
            'cropped_clips action_annotation cropped_clips', 'videos lists',
            'cropped_clips action_annotation ..',
        ),  # fmt: skip
    ),
    'epic_kitchens100': Case(
        _make_epic,
        list(epic_tree.VERBS),
        _epic,
        (
            f'. {_EPIC_LISTS}', f'EPIC-KITCHENS EPIC-KITCHENS/{_EPIC_LISTS}',
            '. annotations', f'. {_EPIC_LISTS} ..',
        ),  # fmt: skip
        own=lambda key: key,
    ),
    'kinetics': Case(
        _make_kinetics,
        sorted(kinetics_tree.CLASSES),
        _kinetics,
        (
            '. annotations', 'k600 k600/annotations',
            'kinetics-dataset/k400 kinetics-dataset/k400/annotations', '. .',
            '. annotations ..',
        ),  # fmt: skip
    ),
    'ssv2': Case(
        _make_ssv2,
        [t.replace('[', '').replace(']', '') for t in ssv2_tree.TEMPLATES],
        _ssv2,
        (
            '20bn-something-something-v2 labels',
            'SSv2/20bn-something-something-v2 labels', 'videos annotations',
            'videos labels videos', '20bn-something-something-v2 labels ..',
        ),  # fmt: skip
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
  videos, lists, below, *_ = *case.places[place].split(), ''
  root.mkdir(parents=True, exist_ok=True)
  case.make(root, videos, lists)
  return root.parent if below == '..' else root / below


def read(name, root, split=1, roles=None, report=None, **values):
  data = trees.data_config(name=name, root=str(root), **values)
  return datasets.read(data, split, report, *([roles] if roles else []))


def check(clips, wanted):
  """The clips end in these keys (the folder of videos may be a higher one)."""
  for record, (key, label) in zip(clips.records, wanted.items(), strict=True):
    assert record.key.endswith(key) and record.label == label


def own_list(path, case, wanted):
  """A list of one's own with these numbers."""
  lines = []
  for key, label in wanted.items():
    file, _, times = case.own(key).partition('@')
    times = times.split('-') if times else []
    lines.append('\t'.join([file, str(label), *times]))
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
    check(data.train, case.lists('train', split))
    check(data.tests['test'], case.lists('test', split))
    assert (data.val is not None) == ('val' in what.roles)
    if data.val:
      check(data.val, case.lists('val', split))
  with pytest.raises(UserError, match='split=4: .* has the split'):
    read(name, root, 4)


@pytest.mark.parametrize(
    ('name', 'place'),
    [(n, k) for n, case in CASES.items() for k in range(1, len(case.places))],
)
def test_usual_places(name, place, tmp_path):
  data = read(name, make(CASES[name], tmp_path / 'root', place))
  check(data.train, CASES[name].lists('train', 1))


def test_what_is_needed_is_said(name, case, root, tmp_path):
  (tmp_path / 'empty').mkdir()
  for wrong in ('', tmp_path / 'nowhere', tmp_path / 'empty'):
    with pytest.raises(UserError, match=r'data\.root.*\n?.*http'):
      read(name, wrong)
  with pytest.raises(UserError, match='holds no finished'):
    read(name, '', tfds_dir=str(tmp_path))
  shutil.rmtree(root / case.places[0].split()[1])
  with pytest.raises(UserError, match='was not found near') as error:
    read(name, root)
  assert 'data.train_list' in str(error.value) and 'http' in str(error.value)


def test_missing_clips(name, case, root, tmp_path, capsys):
  wanted, videos = case.lists('train', 1), root / case.videos
  *_, gone = wanted.values()
  for key in [key for key, label in wanted.items() if label == gone]:
    (videos / key.split('@')[0]).unlink(missing_ok=True)
  left = {
      k: n for k, n in wanted.items() if (videos / k.split('@')[0]).exists()
  }
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
  check(data.train, left)
  assert len(data.train.missing) == lost
  told = capsys.readouterr().out
  assert text in told and 'Classes that have lost all their clips' in told


def test_a_written_list_is_read_back(name, root, tmp_path):
  data = read(name, root)
  lists = {'train_list': data.train, 'test_list': data.tests['test']}
  for key, clips in lists.items():
    clips.write(tmp_path / f'{key}.txt')
  again = read(name, root, **{k: str(tmp_path / f'{k}.txt') for k in lists})
  assert again.train.records == data.train.records
  assert again.tests['test'].hash == data.tests['test'].hash
  assert again.class_names == data.class_names


def test_lists_of_others_name_files_only(name, case, root, tmp_path):
  wanted = case.lists('train', 1)
  train = own_list(tmp_path / 'train.txt', case, wanted)
  check(read(name, root, train_list=train).train, wanted)
  with pytest.raises(UserError, match='are also in the train list'):
    read(name, root, train_list=train, test_list=train)
  if not case.by_folder:
    odd = own_list(tmp_path / 'odd.txt', case, dict.fromkeys(wanted, 7))
    with pytest.raises(UserError, match='line 1: the label 7 is out of range'):
      read(name, root, train_list=odd)


@pytest.mark.parametrize('name', [n for n in CASES if CASES[n].by_folder])
def test_another_numbering(name, case, root, tmp_path):
  """Where folders tell the classes they decide, in both scopes."""
  wanted = case.lists('train', 1)
  turned = {key: 2 - label for key, label in wanted.items()}
  turned = own_list(tmp_path / 'train.txt', case, turned)
  twice = dict.fromkeys(wanted, 0)
  twice = own_list(tmp_path / 'twice.txt', case, twice)
  names = tmp_path / 'names.txt'
  names.write_text('\n'.join(case.names))
  own = {'class_scope': 'per_list', 'class_names': str(names)}
  for values in ({}, own):
    data = read(name, root, train_list=turned, **values)
    assert data.class_names == case.names
    check(data.train, wanted)
  for scope in ('shared', 'per_list'):
    with pytest.raises(UserError, match='the number 0 stands for|one to one'):
      read(name, root, train_list=twice, class_scope=scope)


def test_scoring_needs_no_training_clips(name, case, root):
  wanted = case.lists('test', 1)
  test = {key.split('@')[0] for key in wanted}
  for file in {key.split('@')[0] for key in case.lists('train', 1)} - test:
    (root / case.videos / file).unlink()
  data = read(name, root, 1, ('test',))
  assert data.train is None
  keys = [record.key for record in data.tests['test'].records]
  assert all(map(str.endswith, keys, wanted)) and len(keys) == len(wanted)


def test_a_rule_opens_another_layout(name, case, tmp_path):
  root = make(case, tmp_path)
  videos, moved = root / case.videos, tmp_path / 'my' / 'own' / 'place'
  suffixes = '.avi', '.mp4', '.MP4', '.webm'
  for file in [p for p in videos.rglob('*') if p.suffix in suffixes]:
    new = moved / file.relative_to(videos)
    new.parent.mkdir(parents=True, exist_ok=True)
    file.rename(new)
  rules = {
      'epic_kitchens100': r'^(P..)/rgb_\w+(.+)=>my/own/place/\1/videos\2.MP4',
      # Clips are found by their ids anywhere.
      'kinetics': 'x=>x',
  }
  data = read(name, root, path_rule=rules.get(name, '^=>my/own/place/'))
  assert data.train.records[0].path.startswith('my/own/place/')
  for bad in ('no arrow', '(=>x', r'(a)=>\2'):
    with pytest.raises(UserError, match='data.path_rule='):
      read(name, root, path_rule=bad)


def test_the_example_of_the_page(tmp_path):
  """docs/data/adding.md: a data set of its own file."""
  page = pathlib.Path('docs/data/adding.md').read_text()
  module = {}
  exec(page.split('```python\n')[1].split('```')[0], module)
  trees.make_folder(tmp_path / 'videos', {'high': 2, 'long': 2})
  (tmp_path / 'lists').mkdir()
  for number, role in enumerate(('train', 'test')):
    lines = f'high/{number}.mp4 0\nlong/{number}.mp4 1\n'
    (tmp_path / 'lists' / f'{role}1.txt').write_text(lines)
  (tmp_path / 'lists' / 'classes.txt').write_text('high jump\nlong jump\n')
  data = trees.data_config(name='jumps', root=str(tmp_path))
  found = official.read(module['DESCRIPTION'], data, 1)
  assert found.class_names == ['high jump', 'long jump']
  check(found.train, {'high/0.mp4': 0, 'long/0.mp4': 1})
