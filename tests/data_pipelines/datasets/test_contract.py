"""What every data set with an official download does the same way."""

import pathlib
import shutil

import pytest

from data_pipelines import datasets
from data_pipelines.datasets import official
from data_pipelines.errors import UserError
from tests.data_pipelines import trees
from tests.data_pipelines.datasets.cases import (
  CASES,
  check,
  make,
  own_list,
  read,
)


@pytest.fixture(params=CASES)
def name(request):
  return request.param


@pytest.fixture
def case(name):
  return CASES[name]


@pytest.fixture
def root(case, tmp_path):
  return make(case, tmp_path / 'data' / 'root')


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
  count = f'{len(wanted)} of {len(wanted)} clips of the test list'
  with pytest.raises(UserError, match='are also in the train list') as error:
    read(name, root, train_list=train, test_list=train)
  assert count in str(error.value) and next(iter(wanted)) in str(error.value)
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
  for number, role in enumerate(('train', 'test')):
    lines = f'high/{number}.mp4 0', f'long/{number}.mp4 1'
    trees.write_lines(tmp_path / 'lists' / f'{role}1.txt', *lines)
  names = 'high jump', 'long jump'
  trees.write_lines(tmp_path / 'lists' / 'classes.txt', *names)
  data = trees.data_config(name='jumps', root=str(tmp_path))
  found = official.read(module['DESCRIPTION'], data, 1)
  assert found.class_names == ['high jump', 'long jump']
  check(found.train, {'high/0.mp4': 0, 'long/0.mp4': 1})
