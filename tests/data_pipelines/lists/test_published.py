"""Published lists: their sizes, and what they give on a tree of their clips."""

import pytest

from data_pipelines import datasets
from data_pipelines.lists import class_files, grammars
from tests.data_pipelines import trees

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


@pytest.mark.parametrize('name', PUBLISHED)
def test_real_lists_have_the_published_numbers(shared, name):
  listing = grammars.read(shared / 'splits' / name, 'key')
  numbers = {i.label for i in listing.items}
  assert (len(listing.items), len(numbers), listing.split) == PUBLISHED[name]
  assert numbers == set(range(len(numbers)))


def test_published_lists(shared):
  splits = shared / 'splits'
  for name, count in (('ucf', 101), ('hmdb', 51)):
    for shots in (2, 8, 16):
      file = splits / 'vifi' / name / f'train1_few_shot_{shots}.txt'
      items = grammars.read(file, 'key').items
      assert len(items) == count * shots
      assert {i.label for i in items} == set(range(count))
  labels = class_files.read(splits / 'vifi' / 'labels' / 'ucf_101_labels.csv')
  assert len(labels) == 101
  assert labels[0] == 'ApplyEyeMakeup'


HMDB = {'kick': 20, 'kick_ball': 21, 'sword': 44, 'sword_exercise': 45}


@pytest.fixture(scope='session')
def hmdb(shared, tmp_path_factory):
  """Empty clips of HMDB51 where its own annotation files say that they are."""
  root = tmp_path_factory.mktemp('hmdb')
  (root / 'lists').mkdir()
  for file in (shared / 'annotations' / 'hmdb51').rglob('*_test_split?.txt'):
    name = file.name.rsplit('_test_split', 1)[0]
    (root / 'videos' / name).mkdir(parents=True, exist_ok=True)
    (root / 'lists' / file.name).write_bytes(file.read_bytes())
    for line in file.read_text().split('\n'):
      if line.strip():
        (root / 'videos' / name / line.strip()[:-2].strip()).touch()
  return root


def read(name, root, **values):
  data = trees.data_config(name=name, root=str(root), **values)
  return datasets.read(data, 1)


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
  vifi = shared / 'splits' / 'vifi'
  train = vifi / 'hmdb' / 'train1_few_shot_16.txt'
  items = grammars.read(train, 'key').items
  table = class_files.read(vifi / 'labels' / 'hmdb_51_labels.csv')
  for name, number in HMDB.items():
    mine = [i for i in items if i.label == number]
    assert sum(f'_{name}_' in i.path for i in mine) == 16
    assert (table[number] == name) == (name not in HMDB)
  data = read(
      dataset,
      hmdb / 'videos' if dataset == 'folder' else hmdb,
      train_list=str(train),
      test_list=str(vifi / 'hmdb' / 'val1.txt'),
      class_scope=scope,
      class_names=str(vifi / 'labels' / 'hmdb_51_labels.csv') if named else '',
  )
  assert data.train.counts() == dict.fromkeys(range(51), 16)
  check_folders(data.train, data.class_names)
  tests = data.tests['test']
  assert tests.counts() == dict.fromkeys(range(51), 30)
  check_folders(tests, data.own_names.get('test', data.class_names))
  if named:
    assert data.class_names == [n.replace('_', ' ') if scope == 'shared' and
                                dataset == 'hmdb51' else n
                                for n in table]  # fmt: skip


def test_lists_of_clip_fsar_on_hmdb51(shared, hmdb):
  lists = shared / 'splits' / 'fsar' / 'hmdb51'
  values = {
      f'{split}_list': str(lists / f'{split}_few_shot.txt')
      for split in ('train', 'val', 'test')
  }
  data = read('hmdb51', hmdb, class_scope='per_list', **values)
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


@pytest.fixture(scope='session')
def ucf(shared, tmp_path_factory):
  """Empty clips of UCF-101 in the folders that lists of CLIP-FSAR name."""
  root = tmp_path_factory.mktemp('ucf')
  for split in ('train', 'val', 'test'):
    file = shared / 'splits' / 'fsar' / 'ucf101' / f'{split}_few_shot.txt'
    for line in file.read_text().splitlines():
      path = root / 'UCF-101' / line.split('//videos/')[1]
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
  return root


def test_lists_of_vifi_clip_on_ucf101(shared, ucf):
  vifi = shared / 'splits' / 'vifi'
  data = read(
      'ucf101',
      ucf,
      train_list=str(vifi / 'ucf' / 'train1_few_shot_8.txt'),
      test_list=str(vifi / 'ucf' / 'val1.txt'),
  )
  assert data.train.counts() == dict.fromkeys(range(101), 8)
  assert len(data.tests['test'].records) == 3783
  names = class_files.read(vifi / 'labels' / 'ucf_101_labels.csv')
  for record in (*data.train.records, *data.tests['test'].records):
    assert names[record.label] == record.path.split('/')[-2]


@pytest.mark.parametrize('names', ['', 'clip_fsar/ucf101'])
def test_lists_of_clip_fsar_on_ucf101(shared, ucf, names):
  lists = shared / 'splits' / 'fsar' / 'ucf101'
  values = {
      f'{s}_list': str(lists / f'{s}_few_shot.txt')
      for s in ('train', 'val', 'test')
  }
  data = read(
      'ucf101', ucf, class_scope='per_list', class_names=names, **values
  )
  sizes = [len(data.class_names), *map(len, data.own_names.values())]
  assert sizes == [70, 10, 21]
  assert data.class_names[0] == 'Apply Eye Makeup'
  assert data.own_names['test'][3] == (
      'Cutting in Kitchen' if names else 'Cutting In Kitchen'
  )


def test_lists_of_ez_clip_on_ucf101(shared, ucf):
  lists = shared / 'splits' / 'ez' / 'ucf'
  tests = {k: str(lists / f'{k}_val.txt') for k in ('base', 'novel')}
  data = read(
      'ucf101',
      ucf,
      class_scope='per_list',
      train_list=str(lists / 'base_train_s1.txt'),
      tests=tests,
  )
  assert data.own_names['base'] == data.class_names
  assert (len(data.class_names), data.class_names[0]) == (51, 'Typing')
  assert len(data.own_names['novel']) == 50
  assert not set(data.own_names['novel']) & set(data.class_names)


def test_official_lists_of_egtea_read_by_anybody(shared, tmp_path):
  folder = shared / 'annotations' / 'egtea'
  names = tmp_path / 'names.txt'
  names.write_text(''.join(f'action {k}\n' for k in range(1, 107)))
  for role in ('train', 'test'):
    for line in (folder / f'{role}_split1.txt').read_text().splitlines():
      clip = line.split()[0]
      path = tmp_path / 'cropped_clips' / '-'.join(clip.split('-')[:3])
      path.mkdir(parents=True, exist_ok=True)
      (path / f'{clip}.mp4').touch()
  values = {
      f'{role}_list': str(folder / f'{role}_split1.txt')
      for role in ('train', 'test')
  }
  found = []
  for name in ('egtea', 'folder'):
    data = read(name, tmp_path, class_names=str(names), **values)
    assert len(data.class_names) == 106
    assert len(data.train.records) == 8299
    found.append([(r.path.split('/')[-1], r.label) for r in data.train.records])
  assert found[0] == found[1]
  first = (folder / 'train_split1.txt').read_text().split()
  assert found[0][0] == (f'{first[0]}.mp4', int(first[1]) - 1)
