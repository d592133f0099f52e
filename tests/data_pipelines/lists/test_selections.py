"""EV-CLIP's selections: pickles that are read as data."""

import os
import pickle
import sys
import types

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import grammars


class Datum_video:
  """The original's class as its pickles name it, without the original."""

  __module__ = 'dassl.data.datasets.base_dataset'

  def __init__(self, path, label, name):
    self._impath, self._label, self._classname = path, label, name
    self._domain, self._clip, self._crop, self._timestamp = 0, -1, -1, None


def pickled(monkeypatch, *clips):
  module = types.ModuleType(Datum_video.__module__)
  module.Datum_video = Datum_video
  for end in (1, 2, 3, 4):
    parent = '.'.join(module.__name__.split('.')[:end])
    monkeypatch.setitem(sys.modules, parent, module)
  return pickle.dumps({'train': [Datum_video(*clip) for clip in clips]}, 5)


class Hostile:
  """Would run a command when it is loaded by Python's own unpickler."""

  def __init__(self, command):
    self.command = command

  def __reduce__(self):
    return os.system, (self.command,)


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


@pytest.mark.parametrize('protocol', [2, 5])
def test_a_hostile_selection_is_refused_and_not_run(tmp_path, protocol):
  marker = tmp_path / 'marker'
  path = tmp_path / 'shot_8-seed_1.pkl'
  value = {'train': [Hostile(f'touch {marker}')]}
  path.write_bytes(pickle.dumps(value, protocol))
  with pytest.raises(UserError, match=r'shot_8.*Nothing in it was run'):
    grammars.read(path, 'key')
  assert not marker.exists()


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (pickle.dumps([1, 2], 5), 'not a selection of EV-CLIP'),
        (pickle.dumps({'train': ['a.avi']}, 5), 'clip 1: wanted a path'),
        (pickle.dumps({'train': list(range(99))}, 5)[:40], 'damaged'),
    ],
)
def test_other_pickles_are_refused(tmp_path, data, message):
  (tmp_path / 'x.pkl').write_bytes(data)
  with pytest.raises(UserError, match=message):
    grammars.read(tmp_path / 'x.pkl', 'key')


@pytest.mark.parametrize('protocol', [0, 1])
@pytest.mark.parametrize('name', ['shot_8.pkl', 'shot_8.txt'])
def test_pickles_of_old_protocols_are_refused(tmp_path, name, protocol):
  for value in ({'train': []}, [1, 2], Hostile('false')):
    (tmp_path / name).write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(UserError, match=f'{name} .*old protocol'):
      grammars.read(tmp_path / name, 'key')


def test_names_that_look_a_little_like_a_pickle_are_a_list(tmp_path):
  for text in ('clip.a\nclip_b\nq1\n', '(l) one.avi\n', 'c\nd\n'):
    (tmp_path / 'list.txt').write_text(text)
    items = grammars.read(tmp_path / 'list.txt', 'key').items
    assert len(items) == text.count('\n')


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
