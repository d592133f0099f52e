"""UCF-101's layouts, official lists and lists of others, on tiny trees."""

import shutil

import pytest

from data_pipelines import datasets
from data_pipelines.errors import UserError
from tests.data_pipelines import pictures, trees


def read(split=1, report=None, **values):
  data = trees.data_config(**{'name': 'ucf101', **values})
  return datasets.read(data, split, report)


@pytest.fixture
def root(tmp_path):
  return trees.make_ucf(tmp_path / 'ucf', real=False)


def keys(clips):
  return [r.path for r in clips.records]


def test_few_classes_are_numbered_anew(root, tmp_path):
  classes = ('ApplyEyeMakeup', 'YoYo')
  train = trees.write_vifi(tmp_path / 'train.txt', (3, 2), classes)
  test = trees.write_vifi(tmp_path / 'test.txt', (1,), classes)
  data = read(root=str(root), train_list=train, test_list=test)
  assert data.class_names == ['Apply Eye Makeup', 'Yo Yo']
  assert data.train.counts() == {0: 2, 1: 2}
  everything = trees.write_vifi(tmp_path / 'all.txt', (1,))
  with pytest.raises(UserError, match="without a .*'HandstandPushups'"):
    read(root=str(root), train_list=train, test_list=everything)


def test_all_named_classes_stay(root, tmp_path):
  train = trees.write_vifi(tmp_path / 'train.txt', (3,), ('YoYo',))
  names = tmp_path / 'ucf_101_labels.csv'
  names.write_text(
      'id,name\r\n'
      + ''.join(f'{k},{c}\r\n' for k, c in enumerate(trees.CLASSES))
  )
  data = read(root=str(root), train_list=train, class_names=str(names))
  assert data.class_names == [
      'Apply Eye Makeup', 'Handstand Pushups', 'Yo Yo',
  ]  # fmt: skip
  assert data.train.counts() == {2: 1}


def test_other_words_for_the_same_classes(root, tmp_path):
  names = tmp_path / 'names'
  names.write_text('putting on eye shadow\npushing up upside down\nyo-yoing\n')
  data = read(root=str(root), class_names=str(names))
  assert data.class_names[0] == 'putting on eye shadow'
  names.write_text('a\nb\n')
  with pytest.raises(UserError, match="'a' is not a class of UCF-101"):
    read(root=str(root), class_names=str(names))


def test_a_converted_mirror_is_found_by_stem(root, tmp_path):
  for path in root.rglob('*.avi'):
    path.rename(path.with_suffix('.mp4'))
  data = read(root=str(root))
  assert keys(data.train)[0] == 'ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.mp4'


def test_flat_folder_of_clips(tmp_path):
  flat = tmp_path / 'UCF-101' / 'all'
  flat.mkdir(parents=True)
  for c in trees.CLASSES:
    for g in (1, 2):
      (flat / trees.clip_key(c, g).split('/')[1]).write_bytes(b'RIFF')
  train = trees.write_vifi(tmp_path / 'train.txt', (2,))
  test = trees.write_vifi(tmp_path / 'test.txt', (1,))
  data = read(root=str(tmp_path), train_list=train, test_list=test)
  assert data.class_names == [
      'Apply Eye Makeup', 'Hand Stand Pushups', 'Yo Yo',
  ]  # fmt: skip


def test_folders_of_pictures_without_class_folders(tmp_path):
  trees.make_ucf(tmp_path, videos='moved', real=False)
  for clip in (tmp_path / 'moved').glob('*/*.avi'):
    pictures.write(tmp_path / 'frames' / clip.stem, 2, 'img_{:05d}.jpg')
  shutil.rmtree(tmp_path / 'moved')
  data = read(root=str(tmp_path))
  assert [r.label for r in data.tests['test'].records] == [0, 1, 2]
  assert data.train.records[0].path == 'v_ApplyEyeMakeup_g02_c01'


def test_a_name_that_fits_two_clips_is_refused(root, tmp_path):
  twin = root / 'UCF-101' / 'copies' / 'v_YoYo_g02_c01.avi'
  twin.parent.mkdir()
  twin.touch()
  train = trees.write_vifi(tmp_path / 'train.txt', (2,))
  with pytest.raises(UserError, match=r'could be .*YoYo.* or .*copies'):
    read(root=str(root), train_list=train)


def test_a_class_file_cut_to_some_classes(root):
  folder = root / 'ucfTrainTestlist'
  (folder / 'classInd.txt').write_text('1 ApplyEyeMakeup\n3 YoYo\n')
  for file in folder.glob('t*list01.txt'):
    lines = [x for x in file.read_text().splitlines() if 'Handst' not in x]
    file.write_text('\n'.join(lines))
  data = read(root=str(root))
  assert data.class_names == ['Apply Eye Makeup', 'Yo Yo']
  assert data.train.counts() == {0: 3, 1: 3}
  data_config = trees.data_config(root=str(root))
  alone = datasets.read(data_config, 1, None, ('test',))
  assert alone.class_names == data.class_names
