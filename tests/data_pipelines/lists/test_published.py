"""Published lists: their sizes, and what they give on a tree of their clips."""

import pathlib

import pytest

from data_pipelines.lists import class_files, grammars
from tests.data_pipelines import trees
from tests.data_pipelines.datasets.cases import read

# Rows and classes as the specification counts them.
PUBLISHED = {
    'ez/ucf/base_train_s1.txt': (816, 51, ''),
    'ez/ucf/base_val.txt': (2088, 51, ''),
    'ez/ucf/novel_val.txt': (1695, 50, ''),
    'ez/ucf/few_shot_8.txt': (808, 101, ''),
    'fsar/ssv2_small/train_few_shot.txt': (6400, 64, 'train'),
    'fsar/ssv2_small/val_few_shot.txt': (1200, 12, 'val'),
    'fsar/ssv2_small/test_few_shot.txt': (2400, 24, 'test'),
    'fsar/ucf101/train_few_shot.txt': (9154, 70, 'train'),
    'fsar/ucf101/val_few_shot.txt': (1421, 10, 'val'),
    'fsar/ucf101/test_few_shot.txt': (2745, 21, 'test'),
    'fsar/hmdb51/train_few_shot.txt': (4280, 31, 'train'),
    'fsar/hmdb51/val_few_shot.txt': (1194, 10, 'val'),
    'fsar/hmdb51/test_few_shot.txt': (1292, 10, 'test'),
    'vifi/ucf/val1.txt': (3783, 101, ''),
    'vifi/hmdb/val1.txt': (1530, 51, ''),
}
for _name, _count in (('ucf', 101), ('hmdb', 51)):
  for _shots in (2, 8, 16):
    _file = f'vifi/{_name}/train1_few_shot_{_shots}.txt'
    PUBLISHED[_file] = (_count * _shots, _count, '')
SPLITS = ('train', 'val', 'test')


@pytest.mark.parametrize('name', PUBLISHED)
def test_real_lists_have_the_published_numbers(shared, name):
  listing = grammars.read(shared / 'splits' / name, 'key')
  numbers = {i.label for i in listing.items}
  assert (len(listing.items), len(numbers), listing.split) == PUBLISHED[name]
  assert numbers == set(range(len(numbers)))


HMDB = {'kick': 20, 'kick_ball': 21, 'sword': 44, 'sword_exercise': 45}


@pytest.fixture(scope='module')
def hmdb(shared, tmp_path_factory):
  """Empty clips of HMDB51 where its own annotation files say that they are."""
  root = tmp_path_factory.mktemp('hmdb')
  (root / 'lists').mkdir()
  for file in (shared / 'annotations' / 'hmdb51').rglob('*_test_split?.txt'):
    folder = root / 'videos' / file.name.rsplit('_test_split', 1)[0]
    folder.mkdir(parents=True, exist_ok=True)
    (root / 'lists' / file.name).write_bytes(file.read_bytes())
    for line in filter(str.strip, file.read_text().split('\n')):
      (folder / line.strip()[:-2].strip()).touch()
  return root


@pytest.fixture(scope='module')
def ucf(shared, tmp_path_factory):
  """Empty clips of UCF-101 in the folders that lists of CLIP-FSAR name."""
  root = tmp_path_factory.mktemp('ucf')
  for file in fsar_lists(shared, 'ucf101').values():
    for line in pathlib.Path(file).read_text().splitlines():
      path = root / 'UCF-101' / line.split('//videos/')[1]
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
  return root


def fsar_lists(shared, name):
  folder = shared / 'splits' / 'fsar' / name
  return {f'{s}_list': str(folder / f'{s}_few_shot.txt') for s in SPLITS}


def vifi_lists(shared, name, shots):
  folder = shared / 'splits' / 'vifi' / name
  train = str(folder / f'train1_few_shot_{shots}.txt')
  return {'train_list': train, 'test_list': str(folder / 'val1.txt')}


def check_folders(clips, names):
  """The class of each clip is the folder that it lies in."""
  for record in clips.records:
    assert names[record.label].replace(' ', '_') == record.path.split('/')[-2]


def test_official_splits_of_hmdb51(hmdb):
  data = read('hmdb51', hmdb)
  assert data.train.counts() == dict.fromkeys(range(51), 70)
  assert data.tests['test'].counts() == dict.fromkeys(range(51), 30)
  check_folders(data.train, data.class_names)


@pytest.mark.parametrize('dataset', ['hmdb51', 'folder'])
@pytest.mark.parametrize('scope', ['shared', 'per_list'])
@pytest.mark.parametrize('named', [False, True])
def test_lists_of_vifi_clip_on_hmdb51(shared, hmdb, dataset, scope, named):
  """Its lists and its label file number two pairs of classes differently."""
  lists = vifi_lists(shared, 'hmdb', 16)
  items = grammars.read(pathlib.Path(lists['train_list']), 'key').items
  names = shared / 'splits' / 'vifi' / 'labels' / 'hmdb_51_labels.csv'
  table = class_files.read(names)
  for name, number in HMDB.items():
    mine = [i for i in items if i.label == number]
    assert sum(f'_{name}_' in i.path for i in mine) == 16
    assert table[number] != name
  root = hmdb / 'videos' if dataset == 'folder' else hmdb
  values = {'class_names': str(names)} if named else {}
  data = read(dataset, root, class_scope=scope, **lists, **values)
  assert data.train.counts() == dict.fromkeys(range(51), 16)
  check_folders(data.train, data.class_names)
  tests = data.tests['test']
  assert tests.counts() == dict.fromkeys(range(51), 30)
  check_folders(tests, data.own_names.get('test', data.class_names))
  if named:
    clean = scope == 'shared' and dataset == 'hmdb51'
    assert data.class_names == [
        name.replace('_', ' ') if clean else name for name in table
    ]


def test_lists_of_clip_fsar_on_hmdb51(shared, hmdb):
  lists = fsar_lists(shared, 'hmdb51')
  data = read('hmdb51', hmdb, class_scope='per_list', **lists)
  assert len(data.class_names) == 31
  names = {'train': data.class_names, **data.own_names}
  for clips in (data.train, data.val, data.tests['test']):
    check_folders(clips, names[clips.name])


def test_a_split_file_that_is_absent_is_said(hmdb, tmp_path, capsys):
  (tmp_path / 'lists').mkdir()
  for file in (hmdb / 'lists').iterdir():
    if file.name != 'wave_test_split1.txt':
      (tmp_path / 'lists' / file.name).write_bytes(file.read_bytes())
  (tmp_path / 'videos').symlink_to(hmdb / 'videos')
  assert len(read('hmdb51', tmp_path).class_names) == 50
  told = capsys.readouterr().out
  assert '50 of the 51 files *_test_split1.txt; no clip of wave' in told
  (tmp_path / 'lists' / 'wave_test_split1.txt').touch()
  assert len(read('hmdb51', tmp_path).class_names) == 50
  assert 'no clip of wave is in the test list' in capsys.readouterr().out


def test_lists_of_vifi_clip_on_ucf101(shared, ucf):
  data = read('ucf101', ucf, **vifi_lists(shared, 'ucf', 8))
  assert data.train.counts() == dict.fromkeys(range(101), 8)
  assert len(data.tests['test'].records) == 3783
  labels = shared / 'splits' / 'vifi' / 'labels' / 'ucf_101_labels.csv'
  names = class_files.read(labels)
  assert (len(names), names[0]) == (101, 'ApplyEyeMakeup')
  for clips in (data.train, data.tests['test']):
    check_folders(clips, names)


@pytest.mark.parametrize('names', ['', 'clip_fsar/ucf101'])
def test_lists_of_clip_fsar_on_ucf101(shared, ucf, names):
  values = {'class_scope': 'per_list', 'class_names': names}
  data = read('ucf101', ucf, **values, **fsar_lists(shared, 'ucf101'))
  sizes = [len(data.class_names), *map(len, data.own_names.values())]
  assert sizes == [70, 10, 21]
  assert data.class_names[0] == 'Apply Eye Makeup'
  assert data.own_names['test'][3] == (
      'Cutting in Kitchen' if names else 'Cutting In Kitchen'
  )


def test_lists_of_ez_clip_on_ucf101(shared, ucf):
  lists = shared / 'splits' / 'ez' / 'ucf'
  train, tests = lists / 'base_train_s1.txt', ('base', 'novel')
  tests = {k: str(lists / f'{k}_val.txt') for k in tests}
  values = {'class_scope': 'per_list', 'train_list': str(train)}
  data = read('ucf101', ucf, tests=tests, **values)
  assert data.own_names['base'] == data.class_names
  assert (len(data.class_names), data.class_names[0]) == (51, 'Typing')
  assert len(data.own_names['novel']) == 50
  assert not set(data.own_names['novel']) & set(data.class_names)


def test_official_lists_of_egtea_read_by_anybody(shared, tmp_path):
  folder, lists = shared / 'annotations' / 'egtea', {}
  names = (f'action {k}' for k in range(1, 107))
  lists['class_names'] = trees.write_lines(tmp_path / 'names.txt', *names)
  for role in ('train', 'test'):
    file = folder / f'{role}_split1.txt'
    lists[f'{role}_list'] = str(file)
    for line in file.read_text().splitlines():
      clip = line.split()[0]
      path = tmp_path / 'cropped_clips' / '-'.join(clip.split('-')[:3])
      path.mkdir(parents=True, exist_ok=True)
      (path / f'{clip}.mp4').touch()
  found = []
  for name in ('egtea', 'folder'):
    data = read(name, tmp_path, **lists)
    assert len(data.class_names) == 106
    assert len(data.train.records) == 8299
    found.append([(r.path.split('/')[-1], r.label) for r in data.train.records])
  assert found[0] == found[1]
  first = (folder / 'train_split1.txt').read_text().split()
  assert found[0][0] == (f'{first[0]}.mp4', int(first[1]) - 1)
