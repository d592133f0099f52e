"""HMDB51: odd names, 51 files per split, lists that name only the file."""

import pathlib
import shutil

import pytest

from data_pipelines import build, datasets
from data_pipelines.datasets import hmdb51
from data_pipelines.errors import UserError
from data_pipelines.lists import grammars
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import open_data
from tests.data_pipelines import official_trees, pictures, trees

NAMES = ['climb stairs', 'flic flac', 'sword']


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'hmdb51', **values})
  return datasets.read(data, split, report)


def keys(clips):
  return [r.path for r in clips.records]


@pytest.fixture
def root(tmp_path):
  return official_trees.make_hmdb(tmp_path / 'hmdb')


def vifi(path, numbers, classes=official_trees.HMDB_CLIPS):
  """A ViFi-CLIP list: file names only, classes in the published order."""
  return official_trees.write_lines(
      path,
      [
          f'{official_trees.HMDB_CLIPS[c][n - 1]} {hmdb51.CLASSES.index(c)}'
          for c in classes
          for n in numbers
      ],
  )


@pytest.mark.parametrize('split', [1, 2, 3])
def test_official_splits_leave_unused_clips_out(root, split):
  data = read(split, root=str(root))
  assert data.class_names == NAMES
  used = [n for n in range(1, 5) if n not in (split, split % 4 + 1)]
  assert keys(data.train) == [
      official_trees.hmdb_key(c, n)
      for c in official_trees.HMDB_CLIPS
      for n in used
  ]
  assert keys(data.tests['test']) == [
      official_trees.hmdb_key(c, split) for c in official_trees.HMDB_CLIPS
  ]
  with pytest.raises(UserError, match='split=4: HMDB51 has the splits 1, 2'):
    read(4, root=str(root))


@pytest.mark.parametrize(
    ('videos', 'lists', 'below'),
    [
        ('video_data', 'test_train_splits', ''),
        ('hmdb51/video_data', 'hmdb51/test_train_splits', ''),
        ('hmdb51_org', 'testTrainMulti_7030_splits', ''),
        ('videos', 'test_train_splits', 'videos'),
        ('.', 'splits', ''),
    ],
)
def test_usual_places(tmp_path, videos, lists, below):
  official_trees.make_hmdb(tmp_path, videos, lists)
  assert len(read(root=str(tmp_path / below)).train.records) == 6


def test_vifi_lists_number_all_51_classes(root, tmp_path):
  lists = {
      'train_list': vifi(tmp_path / 'train1_few_shot_2.txt', (3, 4)),
      'test_list': vifi(tmp_path / 'val1.txt', (1,)),
  }
  data = read(root=str(root), shots=2, **lists)
  assert data.class_names == NAMES
  assert data.train.counts() == {0: 2, 1: 2, 2: 2}
  assert keys(data.train)[0] == official_trees.hmdb_key('climb_stairs', 3)
  wrong = official_trees.HMDB_CLIPS['sword'][2] + ' 8'
  bad = official_trees.write_lines(tmp_path / 'bad.txt', [wrong])
  with pytest.raises(UserError, match="without a training .*'climb_stairs'"):
    read(root=str(root), train_list=bad, test_list=lists['test_list'])


def test_a_flat_folder_tells_classes_by_file_names(tmp_path):
  flat = tmp_path / 'videos' / 'all'
  flat.mkdir(parents=True)
  for clips in official_trees.HMDB_CLIPS.values():
    for clip in clips:
      (flat / clip).write_bytes(b'clip')
  train = vifi(tmp_path / 'train.txt', (2, 3))
  test = vifi(tmp_path / 'test.txt', (1,))
  data = read(root=str(tmp_path), train_list=train, test_list=test)
  assert data.class_names == NAMES


@pytest.mark.parametrize(
    ('name', 'raw'),
    [
        ('a/x_draw_sword_f_cm_np1_ba_med_1.avi', 'draw_sword'),
        ('a/draw_SWORD_sword_f_cm_np1_ba_med_1.avi', 'sword'),
        ('a/kick_kick_ball_f_cm_np1_ba_med_1.mp4', 'kick_ball'),
        ('Brush hair/x_wave_f_cm_np1_ba_med_1.avi', 'Brush hair'),
        ('a/x_draw_sword_f_cm_np1_ba_med_1', 'draw_sword'),
        ('a/x.avi', 'a'),
    ],
)
def test_class_of_a_clip(name, raw):
  assert hmdb51.class_of(name) == raw


def test_train_and_test_lists_of_two_splits_overlap(root, tmp_path):
  train = vifi(tmp_path / 'train.txt', (2, 3))
  assert len(read(1, root=str(root), train_list=train).train.records) == 6
  with pytest.raises(UserError, match='3 of 3 clips of the test list'):
    read(2, root=str(root), train_list=train)


def test_missing_clips_are_named_before_any_work(root, tmp_path):
  gone = [official_trees.hmdb_key(c, 3) for c in official_trees.HMDB_CLIPS]
  gone.append(official_trees.hmdb_key('sword', 4))
  for key in gone:
    (root / 'videos' / key).unlink()
  with pytest.raises(UserError) as error:
    read(root=str(root), report=tmp_path / 'run')
  assert '4 of 6 clips of the train list' in str(error.value)
  report = tmp_path / 'run' / 'missing-train.txt'
  assert report.read_text().splitlines() == gone
  (root / 'videos' / gone[-1]).touch()
  data = read(root=str(root), on_missing='skip')
  assert keys(data.train) == [
      official_trees.hmdb_key(c, 4) for c in official_trees.HMDB_CLIPS
  ]


def test_broken_official_files(root):
  folder = root / 'test_train_splits'
  file = folder / 'sword_test_split1.txt'
  file.write_text('a.avi 1\nb.avi 7\n')
  with pytest.raises(UserError, match=r"split1.txt, line 2: .*'b.avi 7'"):
    read(root=str(root))
  file.rename(folder / 'dancing_test_split1.txt')
  with pytest.raises(UserError, match="'dancing' is not a class of HMDB51"):
    read(root=str(root))


def test_without_official_lists_the_message_says_where_to_get_them(tmp_path):
  root = official_trees.make_hmdb(tmp_path / 'hmdb', lists='some/where')
  with pytest.raises(UserError, match='test_train_splits.rar'):
    read(root=str(root))
  with pytest.raises(UserError, match='serre.lab.brown.edu'):
    read(root=str(tmp_path / 'nowhere'))


def test_folders_of_pictures_are_clips_too(tmp_path):
  root = official_trees.make_hmdb(tmp_path / 'hmdb')
  for clip in (root / 'videos').glob('*/*.avi'):
    clip.unlink()
    # As EZ-CLIP's script names them.
    clip.mkdir()
    for number in (1, 2, 3):
      (clip / f'img_{number:05d}.jpg').write_bytes(b'jpg')
  data = read(root=str(root))
  assert keys(data.train)[0] == official_trees.hmdb_key('climb_stairs', 3)
  assert data.class_names == NAMES


@pytest.mark.parametrize('below', ['', 'frames', 'rawframes'])
def test_folders_of_pictures_without_class_folders(tmp_path, below):
  official_trees.make_hmdb(tmp_path, videos='moved')
  shutil.rmtree(tmp_path / 'moved')
  for clips in official_trees.HMDB_CLIPS.values():
    for clip in clips:
      pictures.write(
          tmp_path / below / clip.removesuffix('.avi'), 2, 'img_{:05d}.jpg'
      )
  data = read(root=str(tmp_path))
  assert data.class_names == ['climb stairs', 'flic flac', 'sword']
  assert [r.label for r in data.tests['test'].records] == [0, 1, 2]


def test_a_rule_opens_another_layout(tmp_path):
  official_trees.make_hmdb(tmp_path, videos='my/train')
  with pytest.raises(UserError, match='data.path_rule'):
    read(root=str(tmp_path))
  data = read(root=str(tmp_path), path_rule='^=>my/train/')
  assert data.train.records[0].path.startswith('my/train/climb_stairs/')
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError, match='no videos of HMDB51'):
    read(root=str(tmp_path / 'empty'), path_rule='^=>my/train/')


def test_a_built_folder_gives_the_same_lists(tmp_path):
  pytest.importorskip('array_record')
  root = official_trees.make_hmdb(tmp_path / 'hmdb', real=True)
  out = tmp_path / 'out'
  build.build('hmdb51', str(root), str(out))
  own = {
      'train_list': vifi(tmp_path / 'train.txt', (2, 4)),
      'test_list': vifi(tmp_path / 'test.txt', (1,)),
  }
  for split, lists in ((1, {}), (3, {}), (1, own)):
    files, packed = (
        open_data.open_data(
            trees.data_config(name='hmdb51', shots=2, **where, **lists),
            1,
            split,
            cache_dir=str(tmp_path / 'cache'),
        )
        for where in ({'root': str(root)}, {'tfds_dir': str(out)})
    )
    assert packed.description == files.description
    file = pathlib.Path(files.train.media(0))
    assert packed.train.media(0) == file.read_bytes()


def test_published_lists_on_a_full_tree_of_empty_files(shared, tmp_path):
  folder = shared / 'splits' / 'vifi' / 'hmdb'
  names = ('train1_few_shot_16.txt', 'val1.txt')
  for name in names:
    for line in (folder / name).read_text().splitlines():
      clip, label = line.rsplit(' ', 1)
      path = tmp_path / 'videos' / hmdb51.CLASSES[int(label)] / clip
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
  data = read(
      root=str(tmp_path),
      train_list=str(folder / names[0]),
      test_list=str(folder / names[1]),
      shots=16,
  )
  assert data.train.counts() == dict.fromkeys(range(51), 16)
  assert len(data.tests['test'].records) == 1530
  table = shared / 'splits' / 'vifi' / 'labels' / 'hmdb_51_labels.csv'
  published = [x.split(',')[1] for x in table.read_text().split('\n')[1:52]]
  assert data.class_names == [x.strip() for x in published]


def test_names_that_begin_with_a_hash_survive_the_plain_form(tmp_path):
  record = ClipRecord(official_trees.HMDB_CLIPS['climb_stairs'][2], 6)
  file = tmp_path / 'train.txt'
  ClipList('train', (record,), 'x').write(file)
  (item,) = grammars.read(file, 'data.train_list').items
  assert (item.path, item.label) == (record.path, 6)
