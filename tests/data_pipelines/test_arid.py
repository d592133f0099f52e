"""ARID v1.5: columns with tabs, two splits, a validation list."""

import pytest

from data_pipelines import build, datasets
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from tests.data_pipelines import official_trees, trees

NAMES = ['Drink', 'Push', 'Wave']


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'arid', **values})
  return datasets.read(data, split, report)


def keys(clips):
  return [r.path for r in clips.records]


def numbered(*numbers):
  return [official_trees.arid_key(c, n) for c in NAMES for n in numbers]


@pytest.fixture
def root(tmp_path):
  return official_trees.make_arid(tmp_path / 'arid')


@pytest.mark.parametrize('index', [True, False])
@pytest.mark.parametrize('split', [1, 2])
def test_official_splits(tmp_path, split, index):
  root = official_trees.make_arid(tmp_path, index=index)
  data = read(split, root=str(root))
  assert data.class_names == NAMES
  assert keys(data.train) == numbered(3 - split, 3)
  assert keys(data.val) == numbered(4)
  assert keys(data.tests['test']) == numbered(split)
  others = 'split0_others.txt' if split == 1 else 'split1_other.txt'
  assert data.val.origin == others


def test_there_is_no_third_split(root):
  with pytest.raises(UserError, match='split=3: ARID has the splits 1 and 2'):
    read(3, root=str(root))


@pytest.mark.parametrize(
    ('videos', 'lists', 'below'),
    [
        ('ARID_v1_5_211015/clips_v1.5', 'ARID_v1_5_211015/list_cvt', ''),
        ('ARID_v1_5_211015/clips_v1.5', 'ARID_v1_5_211015/list_cvt', 'up'),
        ('clips_v1.5', 'list_cvt', 'clips_v1.5'),
        ('.', 'lists', ''),
    ],
)
def test_usual_places(tmp_path, videos, lists, below):
  base = tmp_path / 'arid' if below == 'up' else tmp_path
  official_trees.make_arid(base, videos, lists)
  root = tmp_path if below == 'up' else tmp_path / below
  assert len(read(root=str(root)).train.records) == 6


def test_header_and_windows_line_ends(root):
  file = root / 'list_cvt' / 'split_0' / 'split0_train.txt'
  text = 'index\tlabel\tpath\n' + file.read_text()
  file.write_bytes(text.replace('\n', '\r\n').encode())
  assert keys(read(root=str(root)).train) == numbered(2, 3)
  file.write_text(file.read_text() + '9\tDrink\n')
  with pytest.raises(UserError, match=r'split0_train.txt, line 8: wanted col'):
    read(root=str(root))


def test_without_a_validation_list_there_is_none(root):
  (root / 'list_cvt' / 'split_0' / 'split0_others.txt').unlink()
  assert read(root=str(root)).val is None


def test_a_cut_official_list_is_read_as_such(root, tmp_path):
  text = (root / 'list_cvt' / 'split_0' / 'split0_train.txt').read_text()
  cut = official_trees.write_lines(
      tmp_path / 'few.txt', text.splitlines()[::2]
  )
  data = read(root=str(root), train_list=cut)
  assert keys(data.train) == numbered(2)
  assert keys(data.val) == numbered(4)
  other = official_trees.write_lines(
      tmp_path / 'own.txt',
      [f'{official_trees.arid_key(c, 2)} {NAMES.index(c)}' for c in NAMES],
  )
  assert read(root=str(root), train_list=other).class_names == NAMES


def test_lists_of_ones_own_need_no_official_ones(tmp_path):
  root = official_trees.make_arid(tmp_path / 'arid', lists='some/where')
  lists = {
      name: official_trees.write_lines(
          tmp_path / f'{name}.txt',
          [
              f'{official_trees.arid_key(c, n)} {label}'
              for label, c in official_trees.ARID_CLASSES.items()
          ],
      )
      for name, n in (('train_list', 2), ('test_list', 1))
  }
  data = read(root=str(root), **lists)
  assert (data.class_names, data.val) == (NAMES, None)
  with pytest.raises(UserError, match='split0_train.txt was not found'):
    read(root=str(root))


def test_overlaps_are_refused(root):
  lists = root / 'list_cvt' / 'split_0'
  for part, other in (('test', 'train'), ('others', 'test')):
    file = lists / f'split0_{part}.txt'
    text = file.read_text()
    file.write_text((lists / f'split0_{other}.txt').read_text())
    with pytest.raises(UserError, match=r'clips of the \w+ list .*also in'):
      read(root=str(root))
    file.write_text(text)


def test_missing_clips_are_named(root, tmp_path):
  for key in numbered(2, 3):
    (root / 'clips_v1.5' / key).rename(tmp_path / key.replace('/', '_'))
  with pytest.raises(UserError, match='6 of 6 clips of the train list'):
    read(root=str(root), report=tmp_path / 'run')
  report = tmp_path / 'run' / 'missing-train.txt'
  assert report.read_text().splitlines() == numbered(2, 3)
  with pytest.raises(UserError, match=r'ARID v1.5 from https://'):
    read(root='')


def test_a_mirror_with_other_names(tmp_path):
  root = official_trees.make_arid(tmp_path / 'arid')
  for key in numbered(1, 2, 3, 4):
    clip = root / 'clips_v1.5' / key
    clip.rename(clip.with_name(clip.name.replace('_1_', '-')))
  with pytest.raises(UserError, match='6 of 6 clips'):
    read(root=str(root))
  data = read(root=str(root), path_rule=r'_1_(\d)=>-\1')
  assert keys(data.train)[0] == 'Drink/Drink-2.mp4'
  for bad in ('_1_', '(=>x', r'(a)=>\2'):
    with pytest.raises(UserError, match='data.path_rule='):
      read(root=str(root), path_rule=bad)


def test_a_built_folder_gives_the_same_lists(tmp_path, capsys):
  pytest.importorskip('array_record')
  root = official_trees.make_arid(tmp_path / 'arid', real=True)
  gone = official_trees.arid_key('Push', 3)
  (root / 'clips_v1.5' / gone).unlink()
  out = tmp_path / 'out'
  with pytest.raises(UserError, match=f'1 of 6 clips of .*: {gone} .line'):
    build.build('arid', str(root), str(out))
  build.build('arid', str(root), str(out), 'skip')
  places = {'root': str(root)}, {'tfds_dir': str(out)}
  for where in places:
    with pytest.raises(UserError, match='data.on_missing=skip'):
      read(**where)
  for split in (1, 2):
    files, packed = (
        open_data.open_data(
            trees.data_config(name='arid', on_missing='skip', **where),
            1,
            split,
            cache_dir=str(tmp_path / 'cache'),
        )
        for where in places
    )
    assert packed.description == files.description
    assert len(files.train) == 5
    assert packed.val.clips == files.val.clips
