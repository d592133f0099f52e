"""Published lists: their grammars, where their clips are, the plain form."""

import os
import pickle
import sys
import types

import pytest

from data_pipelines.datasets import folder
from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, locate
from data_pipelines.stores.files import FileTree
from tests.data_pipelines import trees

EZ = """\
/media/a/UCF_101/v_Typing_g10_c04 256 0
/media/b/UCF_101/v_Typing_g20_c07 216 0
/media/a/my clips/v_Punch 1 300 1
"""
EPISODES_A = 'train0/51958\ntrain12/103723\ntrain1/511\n'
EPISODES_B = """\
test0//videos/fencing/1899_Hamlet__fencing_f_cm_np2_le_med_0.avi
test1//videos/kick ball/(Rad)Schlag_die_Bank!_0.avi
"""


def write(tmp_path, text, name='list.txt'):
  path = tmp_path / name
  path.write_text(text)
  return path


def read(tmp_path, text):
  return grammars.read(write(tmp_path, text), 'data.train_list')


def brief(listing):
  return [(i.path.rsplit('/', 1)[-1], i.label) for i in listing.items]


def make_files(root, *names):
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'clip')
  return root


def test_ez_clip_lists(tmp_path):
  listing = read(tmp_path, EZ)
  assert brief(listing) == [
      ('v_Typing_g10_c04', 0),
      ('v_Typing_g20_c07', 0),
      ('v_Punch 1', 1),
  ]
  assert listing.items[2].path == '/media/a/my clips/v_Punch 1'
  assert listing.by_name


@pytest.mark.parametrize('line', ['/a/b 3', '/a/b 0 1', '/a/b x 1'])
def test_a_wrong_line_of_an_ez_list_is_named(tmp_path, line):
  with pytest.raises(UserError, match='line 4: wanted a folder of frames'):
    read(tmp_path, EZ + line + '\n')


def test_whole_seconds_in_the_plain_form_are_no_frame_counts(tmp_path):
  listing = read(tmp_path, 'film.mp4\t0\t2\t7\nfilm.mp4\t1\t7\t9\n')
  assert [(i.label, i.start, i.end) for i in listing.items] == [
      (0, 2, 7), (1, 7, 9),
  ]  # fmt: skip


def test_episode_lists_of_ids_and_of_paths(tmp_path):
  ids, paths = read(tmp_path, EPISODES_A), read(tmp_path, EPISODES_B)
  assert brief(ids) == [('51958', 0), ('103723', 12), ('511', 1)]
  assert (ids.split, paths.split) == ('train', 'test')
  assert [i.class_name for i in ids.items] == ['', '', '']
  assert paths.items[1].path == 'videos/kick ball/(Rad)Schlag_die_Bank!_0.avi'
  assert [(i.label, i.class_name) for i in paths.items] == [
      (0, 'fencing'), (1, 'kick ball'),
  ]  # fmt: skip


@pytest.mark.parametrize('line', ['val0/12', 'train/12', 'clip.avi 3'])
def test_a_wrong_line_of_an_episode_list_is_named(tmp_path, line):
  with pytest.raises(UserError, match='line 4: wanted train<class>/<video id>'):
    read(tmp_path, EPISODES_A + line + '\n')


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('train/123\ntrain0/124\n', 1),
        ('train/123\ntrain0/124\ntrain1/125\n', 1),
        ('test0/1\ntrain0/124\ntrain1/125\n', 1),
    ],
)
def test_the_other_lines_tell_the_grammar(tmp_path, text, line):
  with pytest.raises(UserError, match=f'line {line}: wanted train<class>'):
    read(tmp_path, text)


@pytest.mark.parametrize('protocol', [0, 1])
@pytest.mark.parametrize('name', ['shot_8.pkl', 'shot_8.txt'])
def test_pickles_of_old_protocols_are_refused(tmp_path, name, protocol):
  for value in ({'train': []}, [1, 2], Hostile('false')):
    (tmp_path / name).write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(UserError, match=f'{name} .*old protocol'):
      grammars.read(tmp_path / name, 'key')


def test_names_that_look_a_little_like_a_pickle_are_a_list(tmp_path):
  for text in ('clip.a\nclip_b\nq1\n', '(l) one.avi\n', 'c\nd\n'):
    assert len(read(tmp_path, text).items) == text.count('\n')


def test_a_clip_is_found_whatever_its_suffix_and_folder(tmp_path):
  root = make_files(
      tmp_path / 'data', 'a/51958.webm', 'b/v_Punch 1.mp4', 'b/x.avi', 'a/x.avi'
  )
  store = FileTree(root)
  assert store.find('51958') is None
  assert store.find_by_name('51958') == 'a/51958.webm'
  assert store.find_by_name('/media/z/v_Punch 1') == 'b/v_Punch 1.mp4'
  assert store.find_by_name('/media/b/x.avi') == 'b/x.avi'
  with pytest.raises(UserError, match="could be 'a/x.avi' or 'b/x.avi'"):
    store.find_by_name('/media/x.avi')


def test_a_frame_folder_is_found_by_name(tmp_path):
  make_files(
      tmp_path, 'run/clip_1.avi/img_00001.jpg', 'run/clip_1.avi/img_00002.jpg'
  )
  store = FileTree(tmp_path)
  assert store.find_by_name('/author/clip_1') == 'run/clip_1.avi'


def datum_class():
  """The original's class as its pickles name it, without the original."""
  name = 'dassl.data.datasets.base_dataset'
  module = types.ModuleType(name)

  class Datum_video:
    """Only its name and attributes matter."""

    def __init__(self, path, label, name):
      self._impath, self._label, self._classname = path, label, name
      self._domain, self._clip, self._crop, self._timestamp = 0, -1, -1, None

  Datum_video.__module__, Datum_video.__qualname__ = name, 'Datum_video'
  module.Datum_video = Datum_video
  return module


def pickled(monkeypatch, *clips):
  module = datum_class()
  for end in (1, 2, 3, 4):
    parent = '.'.join(module.__name__.split('.')[:end])
    monkeypatch.setitem(sys.modules, parent, module)
  items = [module.Datum_video(*clip) for clip in clips]
  return pickle.dumps({'train': items}, protocol=5)


def test_a_published_selection_is_read_as_data(tmp_path, monkeypatch):
  path = tmp_path / 'shot_1-seed_1.pkl'
  path.write_bytes(
      pickled(
          monkeypatch,
          ('/data/UCF101/UCF-101-video/YoYo/v_YoYo_g1.avi', 1, 'Yo_Yo'),
          ('/data/EPIC-KITCHENS/P01/rgb_frames/P01_01+17+90', 0, 'turn-on'),
      )
  )
  first, piece = grammars.read(path, 'key').items
  assert (first.label, first.class_name) == (1, 'Yo_Yo')
  assert first.path.endswith('YoYo/v_YoYo_g1.avi')
  assert piece.path.endswith('rgb_frames/P01_01')
  assert (piece.first, piece.stop) == (16, 90)


class Hostile:
  """Would run a command when it is loaded by Python's own unpickler."""

  def __init__(self, command):
    self.command = command

  def __reduce__(self):
    return os.system, (self.command,)


@pytest.mark.parametrize('protocol', [2, 5])
def test_a_hostile_selection_is_refused_and_not_run(tmp_path, protocol):
  marker = tmp_path / 'marker'
  path = tmp_path / 'shot_8-seed_1.pkl'
  value = {'train': [Hostile(f'touch {marker}')]}
  path.write_bytes(pickle.dumps(value, protocol))
  with pytest.raises(UserError, match=r'shot_8.*Nothing of it was run'):
    grammars.read(path, 'key')
  assert not marker.exists()


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (pickle.dumps([1, 2], 5), 'no selection of EV-CLIP'),
        (pickle.dumps({'train': ['a.avi']}, 5), 'clip 1: wanted a path'),
        (pickle.dumps({'train': list(range(99))}, 5)[:40], 'damaged'),
    ],
)
def test_other_pickles_are_refused(tmp_path, data, message):
  (tmp_path / 'x.pkl').write_bytes(data)
  with pytest.raises(UserError, match=message):
    grammars.read(tmp_path / 'x.pkl', 'key')


def test_a_value_that_is_endless_in_print_is_refused(tmp_path, monkeypatch):
  endless = ()
  for _ in range(99):
    endless = (endless, endless)
  (tmp_path / 'x.pkl').write_bytes(pickled(monkeypatch, (endless, 0, 'a')))
  with pytest.raises(UserError, match='clip 1: wanted a path.*found tuple'):
    grammars.read(tmp_path / 'x.pkl', 'key')


def test_every_cut_of_a_selection_is_refused(tmp_path, monkeypatch):
  whole = pickled(monkeypatch, ('/d/a/1.avi', 0, 'a'), ('/d/b/2.avi', 1, 'b'))
  for end in range(1, len(whole)):
    (tmp_path / 'x.pkl').write_bytes(whole[:end])
    with pytest.raises(UserError):
      grammars.read(tmp_path / 'x.pkl', 'key')


def test_published_lists_can_be_given_as_they_are(tmp_path, monkeypatch):
  root = make_files(
      tmp_path / 'data', 'run/1.mp4', 'run/2.mp4', 'walk/3.mp4', 'walk/4.mp4'
  )
  train = tmp_path / 'shot_1-seed_1.pkl'
  train.write_bytes(
      pickled(monkeypatch, ('/x/run/1.avi', 0, 'run'), ('/x/3.avi', 1, 'walk'))
  )
  test = write(tmp_path, '/y/2 31 0\n/y/4 30 1\n')
  data = trees.data_config(
      name='folder', root=str(root), train_list=str(train), test_list=str(test)
  )
  got = folder.read(data, 1)
  assert got.class_names == ['run', 'walk']
  assert [r.path for r in got.train.records] == ['run/1.mp4', 'walk/3.mp4']
  assert [r.path for r in got.tests['test'].records] == [
      'run/2.mp4', 'walk/4.mp4',
  ]  # fmt: skip


def test_overlap_is_named_across_grammars(tmp_path):
  root = make_files(tmp_path / 'data', 'run/1.mp4', 'walk/3.mp4')
  train = write(tmp_path, '/y/1 31 0\n/y/3 30 1\n', 'ez.txt')
  test = write(tmp_path, 'run/1.mp4 0\n', 'test.txt')
  data = trees.data_config(
      name='folder', root=str(root), train_list=str(train), test_list=str(test)
  )
  with pytest.raises(UserError, match=r"test list \(test.txt\).*'run/1.mp4'"):
    folder.read(data, 1)


def test_overlap_of_pieces_is_named(tmp_path):
  root = make_files(tmp_path / 'data', 'run/film.mp4')
  train = write(tmp_path, 'run/film.mp4\t0\t0\t5\n', 'train.txt')
  data = {'name': 'folder', 'root': str(root), 'train_list': str(train)}
  for times, fits in (('5\t9', True), ('4\t9', False)):
    test = write(tmp_path, f'run/film.mp4\t0\t{times}\n', 'test.txt')
    config = trees.data_config(**data, test_list=str(test))
    if fits:
      assert len(folder.read(config, 1).tests['test'].records) == 1
    else:
      with pytest.raises(UserError, match='film.mp4@0-5.*film.mp4@4-9'):
        folder.read(config, 1)


def test_missing_clips_of_a_published_list_are_named(tmp_path):
  root = make_files(tmp_path / 'data', 'run/1.mp4')
  listing = read(tmp_path, '/y/1 31 0\n/y/9 30 1\n')
  with pytest.raises(UserError, match=r'1 of 2 clips.*/y/9 \(line 2\)'):
    locate.locate([listing], FileTree(root))


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
