"""EPIC-Kitchens-100 on a tree of three short videos with real annotations."""

import pathlib

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from data_pipelines.video import read as decode
from tests.data_pipelines import coded_clips, epic_tree, trees
from tests.data_pipelines.datasets import cases

VIDEOS = ('P01_01', 'P01_02', 'P02_101')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """P01_01 and P01_02 as pictures, P02_101 as a film."""
  root = tmp_path_factory.mktemp('epic') / 'EPIC-KITCHENS'
  epic_tree.write_lists(root / 'epic-kitchens-100-annotations')
  epic_tree.write_frames(root, 'P01_01')
  epic_tree.write_frames(root, 'P01_02', first=0)
  epic_tree.write_film(root, 'P02_101')
  return root


def read(root, **values):
  return cases.read('epic_kitchens100', root, **values)


def test_pieces_of_pictures_and_films(root):
  data = read(root)
  assert [r.line for r in data.train.records] == [
      'P01/rgb_frames/P01_01\t0\tframes 5:20',
      'P01/rgb_frames/P01_01\t2\tframes 20:40',
      'P01/rgb_frames/P01_02\t1\tframes 0:25',
      'P02/videos/P02_101.MP4\t0\t0.4\t1.2',
  ]
  assert data.train.origin == 'EPIC_100_train.csv'
  assert data.tests['test'].origin == 'EPIC_100_validation.csv'
  # The official key, not the word of the line ("pick-up").
  assert data.class_names == ['take', 'put', 'turn-on']


def test_nouns_and_actions(root):
  nouns = read(root, label_kind='noun')
  assert nouns.class_names == ['tap', 'plate', 'board:chopping']
  assert [r.label for r in nouns.train.records] == [1, 0, 2, 0]
  actions = read(root, label_kind='action')
  assert actions.class_names == [
      'take tap', 'take plate', 'put board:chopping', 'turn-on tap',
      'turn-on plate',
  ]  # fmt: skip
  assert [r.label for r in actions.train.records] == [1, 3, 2, 0]
  # A class that only the validation list has stays.
  assert [r.label for r in actions.tests['test'].records] == [1, 4]
  with pytest.raises(UserError, match='data.label_kind'):
    read(root, label_kind='adverb')


def open_it(where, cache, **values):
  data = trees.data_config(name='epic_kitchens100', **where, **values)
  return open_data.open_data(data, 1, 1, cache_dir=str(cache))


def frames(source, index):
  first, total = source.span(index)
  media, probe = source.media(index), source.probe(index)
  return decode.read_frames(media, range(first, first + total), probe)


def check_frames(source, *ranges):
  for index, wanted in enumerate(ranges):
    found = coded_clips.read_indices(frames(source, index))
    assert found == list(range(*wanted))


def test_the_frames_are_those_of_the_piece(root, tmp_path):
  sets = open_it({'root': str(root)}, tmp_path)
  # The folder of P01_02 begins with picture 0.
  check_frames(sets.train, (5, 20), (20, 40), (1, 26), (10, 30))


@pytest.mark.parametrize('packed', [False, True])
def test_a_folder_with_the_pictures_of_its_pieces_only(tmp_path, packed):
  root = tmp_path / 'data'
  epic_tree.write_lists(
      root,
      [('P01_01', 0.2, 0.4, 'put', 1, 'tap', 0),
       ('P01_01', 1.2, 1.6, 'take', 0, 'tap', 0)],
      [('P02_02', 0.0, 0.4, 'put', 1, 'tap', 0)],
  )  # fmt: skip
  # Images 6..40; they spell 5..39.
  for video in ('P01_01', 'P02_02'):
    epic_tree.write_frames(root, video)
  folder = root / 'P01' / 'rgb_frames' / 'P01_01'
  for k in range(1, 6):
    (folder / f'frame_{k:010d}.jpg').unlink()
  where = {'root': str(root)}
  if packed:
    pytest.importorskip('array_record')
    build.build('epic_kitchens100', str(root), str(tmp_path / 'out'))
    where = {'tfds_dir': str(tmp_path / 'out')}
  sets = open_it(where, tmp_path)
  check_frames(sets.train, (5, 10), (30, 40))
  if not packed:
    for k in (6, 7):
      (folder / f'frame_{k:010d}.jpg').unlink()
    with pytest.raises(UserError, match='images run from 8 to 40'):
      open_it(where, tmp_path)
    (folder / 'frame_0000000033.jpg').unlink()
    with pytest.raises(UserError, match='0000000033.jpg is missing'):
      open_it(where, tmp_path)


def test_pieces_of_long_videos_are_not_stored(root, tmp_path):
  with pytest.raises(UserError, match='P02_101.MP4 is a long video'):
    build.build('epic_kitchens100', str(root), str(tmp_path))


@pytest.fixture(scope='module')
def actions(tmp_path_factory):
  """(files, TFDS folder) of a data set of images, by action."""
  pytest.importorskip('array_record')
  folder = tmp_path_factory.mktemp('actions')
  root, out = folder / 'data', folder / 'out'
  epic_tree.write_lists(root / 'epic-kitchens-100-annotations')
  for video in VIDEOS:
    epic_tree.write_frames(root, video)
  build.build('epic_kitchens100', str(root), str(out), kind='action')
  return root, out


def test_built_folder_gives_the_same_frames(actions, tmp_path):
  files, packed = (
      open_it({key: str(folder)}, tmp_path, label_kind='action')
      for key, folder in zip(('root', 'tfds_dir'), actions, strict=True)
  )
  assert packed.class_names == files.class_names
  assert packed.description == files.description
  tests = files.tests['test'], packed.tests['test']
  for one, other in ((files.train, packed.train), tests):
    assert other.hash == one.hash
    for index in range(len(one)):
      np.testing.assert_array_equal(frames(one, index), frames(other, index))
      assert isinstance(other.media(index), tuple)


def test_a_piece_with_two_labels(tmp_path):
  pytest.importorskip('array_record')
  root, out = tmp_path / 'data', tmp_path / 'out'
  twice = [('P01_01', 0.2, 0.8, v, n, 'tap', 0)
           for n, v in enumerate(epic_tree.VERBS[:2])]  # fmt: skip
  test = ('P02_02', 0.0, 0.4, 'put', 1, 'tap', 0)
  epic_tree.write_lists(root, twice, [test])
  for video in ('P01_01', 'P02_02'):
    epic_tree.write_frames(root, video)
  build.build('epic_kitchens100', str(root), str(out))
  files = open_it({'root': str(root)}, tmp_path)
  packed = open_it({'tfds_dir': str(out)}, tmp_path)
  assert [r.label for r in files.train.records] == [0, 1]
  assert packed.description == files.description
  np.testing.assert_array_equal(frames(packed.train, 1), frames(files.train, 0))
  # As a noun it is the same line twice, and as often in the official list.
  nouns = read(root, label_kind='noun').train
  assert [r.label for r in nouns.records] == [0, 0]


@pytest.mark.parametrize('rule', ['', r'^.*/(P\d+_\d+)$=>all/\1.MP4'])
def test_videos_in_one_flat_folder(tmp_path, rule):
  """The rule is the example of docs/data/epic_kitchens100.md."""
  page = pathlib.Path('docs/data/epic_kitchens100.md').read_text()
  assert not rule or rule in page
  epic_tree.write_lists(tmp_path)
  folder = tmp_path / 'all' if rule else tmp_path
  trees.write_clips(folder, *(f'{video}.MP4' for video in VIDEOS))
  data = read(tmp_path, path_rule=rule)
  names = [r.path.removeprefix('all/') for r in data.train.records]
  assert names == [f'{row[0]}.MP4' for row in epic_tree.TRAIN]
  assert data.train.records[0].start == 0.2


def test_a_selection_of_verbs_is_refused_for_nouns(root, tmp_path):
  file = tmp_path / 'shot_1-seed_1.pkl'
  file.write_bytes(b'\x80\x05')
  for kind in ('noun', 'action'):
    with pytest.raises(UserError, match=f'data.label_kind is {kind}'):
      read(root, train_list=str(file), label_kind=kind)


def test_a_tar_that_is_not_unpacked_is_named(root, tmp_path):
  epic_tree.write_lists(tmp_path / 'annotations')
  epic_tree.write_frames(tmp_path, 'P01_01')
  trees.write_clips(tmp_path, 'P01/rgb_frames/P01_02.tar')
  with pytest.raises(UserError, match=r'P01_02\.tar is not unpacked.*mkdir'):
    read(tmp_path)


def test_numbers_of_published_pictures_hold_for_films(root, tmp_path):
  # As EV-CLIP's selections give them: 50 pictures per second of P02_101; the
  # film itself has 25.
  own = trees.write_lines(
      tmp_path / 'own.txt',
      '/data/P01/rgb_frames/P01_01\t0\tframes 5:20',
      '/data/P02/rgb_frames/P02_101\t2\tframes 24:50',
  )
  data = read(root, train_list=own)
  assert [r.line for r in data.train.records] == [
      'P01/rgb_frames/P01_01\t0\tframes 5:20',
      'P02/videos/P02_101.MP4\t2\t0.5\t1',
  ]
  # Frame numbers of a film itself stay.
  film = 'P02/videos/P02_101.MP4\t0\tframes'
  own = trees.write_lines(tmp_path / 'own.txt', f'{film} 3:9')
  test = trees.write_lines(tmp_path / 'test.txt', f'{film} 9:12')
  data = read(root, train_list=own, test_list=test)
  assert data.train.records[0].first == 3


def write_cut(folder, rows, name='my_train.csv'):
  """Some rows as a training list alone in another folder."""
  epic_tree.write_lists(folder / 'all', rows)
  (folder / 'all' / 'EPIC_100_train.csv').rename(folder / name)
  return str(folder / name)


@pytest.mark.parametrize('name', ['my_train.csv', 'EPIC_100_train.csv'])
def test_actions_of_a_cut_list_elsewhere(root, tmp_path, name):
  whole = read(root, label_kind='action')
  cut = write_cut(tmp_path / 'cut', epic_tree.TRAIN[1:3], name)
  data = read(root, label_kind='action', train_list=cut)
  assert data.class_names == whole.class_names
  assert [data.class_names[r.label] for r in data.train.records] == [
      'turn-on tap', 'put board:chopping',
  ]  # fmt: skip
  assert data.train.records == whole.train.records[1:3]


def test_actions_no_official_list_has(root, tmp_path):
  row = ('P01_01', 0.2, 0.8, 'put', 1, 'plate', 1)
  cut = write_cut(tmp_path / 'cut', [epic_tree.TRAIN[0], row])
  with pytest.raises(UserError, match="train.csv, line 3: .*'put plate'"):
    read(root, label_kind='action', train_list=cut)
  cut = write_cut(tmp_path / 'cut', [(*row[:4], 3, *row[5:])])
  with pytest.raises(UserError, match=r'line 2: wanted a verb of 0\.\.2 '):
    read(root, label_kind='action', train_list=cut)


def test_actions_of_a_cut_list_with_a_built_folder(actions, tmp_path):
  root, out = actions
  cut = write_cut(tmp_path / 'cut', epic_tree.TRAIN[1:3])
  where = {'tfds_dir': str(out), 'root': ''}
  values = {'label_kind': 'action', 'train_list': cut}
  with pytest.raises(UserError, match='verb_classes.csv and .* beside it'):
    open_it(where, tmp_path, **values)
  lists = root / 'epic-kitchens-100-annotations'
  for kind in ('verb', 'noun'):
    name = f'EPIC_100_{kind}_classes.csv'
    (tmp_path / 'cut' / name).write_bytes((lists / name).read_bytes())
  sets = open_it(where, tmp_path, **values)
  assert [sets.class_names[r.label] for r in sets.train.records] == [
      'turn-on tap', 'put board:chopping',
  ]  # fmt: skip
