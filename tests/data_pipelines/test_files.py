"""Clips in a folder: found by path, by name, in any Unicode form; copies."""

import os
import unicodedata
from concurrent import futures

import pytest

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.stores.files import FileTree
from tests.data_pipelines.trees import write_clips


def test_a_clip_is_found_whatever_its_suffix_and_folder(tmp_path):
  root = write_clips(
      tmp_path / 'data', 'a/51958.webm', 'b/v_Punch 1.mp4', 'b/x.avi', 'a/x.avi'
  )
  store = FileTree(root)
  assert store.find('51958') is None
  assert store.find('51958', True) == 'a/51958.webm'
  assert store.find('/media/z/v_Punch 1', True) == 'b/v_Punch 1.mp4'
  assert store.find('/media/b/x.avi', True) == 'b/x.avi'
  with pytest.raises(UserError, match="could be 'a/x.avi' or 'b/x.avi'"):
    store.find('/media/x.avi', True)


def test_a_frame_folder_is_found_by_name(tmp_path):
  write_clips(
      tmp_path, 'run/clip_1.avi/img_00001.jpg', 'run/clip_1.avi/img_00002.jpg'
  )
  store = FileTree(tmp_path)
  assert store.find('/author/clip_1', True) == 'run/clip_1.avi'


def test_the_exact_path_wins_and_others_must_be_the_one(tmp_path):
  root = write_clips(tmp_path, 'A/x.mp4', 'a/x.mp4', 'b/Y.mp4')
  store = FileTree(root, by_name=True)
  assert store.find('A/x.mp4') == 'A/x.mp4'
  assert store.find('a/x.mp4') == 'a/x.mp4'
  assert store.find('B/y.mp4') == 'b/Y.mp4'
  with pytest.raises(UserError, match="could be 'A/x.mp4' or 'a/x.mp4'"):
    store.find('A/X.mp4')


@pytest.mark.parametrize('form', ['NFC', 'NFD'])
@pytest.mark.parametrize('by_name', [False, True])
def test_unicode_forms_of_a_name_are_one(tmp_path, form, by_name):
  name = unicodedata.normalize(form, 'Caf\u00e9/\u00c5ngstr\u00f6m.mp4')
  store = FileTree(write_clips(tmp_path, name), by_name)
  for other in ('NFC', 'NFD'):
    assert store.find(unicodedata.normalize(other, name)) == name


def test_a_name_that_is_not_utf_8_is_found_as_its_list_is_read(tmp_path):
  name = os.fsdecode(b'caf\xe9.mp4')
  store = FileTree(write_clips(tmp_path, name))
  assert store.find('caf\u00e9.mp4') == store.find(name) == name


def test_links_to_one_file_are_one_clip(tmp_path):
  root = write_clips(tmp_path, 'videos/run/x.mp4')
  (root / 'frames').symlink_to(root / 'videos')
  store = FileTree(root, by_name=True)
  assert len(store.keys) == 2
  assert store.find('x.mp4') in store.keys


def test_links_back_up_end(tmp_path):
  root = write_clips(tmp_path, 'a/x.mp4', 'b/y.mp4')
  (root / 'a' / 'up').symlink_to(root)
  (root / 'b' / 'other').symlink_to(root / 'a')
  (root / 'a' / 'other').symlink_to(root / 'b')
  assert FileTree(root).keys == [
      'a/other/y.mp4', 'a/x.mp4', 'b/other/x.mp4', 'b/y.mp4',
  ]  # fmt: skip


def test_copies_are_told(tmp_path):
  clip, other = bytes(range(256)) * 600, bytes(range(255, -1, -1)) * 600
  middle = clip[:70_000] + b'!' + clip[70_001:]
  for name, data in (('a', clip), ('b', other), ('c', clip), ('d', middle)):
    (tmp_path / f'{name}.mp4').write_bytes(data)
  os.link(tmp_path / 'b.mp4', tmp_path / 'e.mp4')
  (tmp_path / 'f.mp4').symlink_to('d.mp4')
  write_clips(tmp_path, 'g.mp4', 'h.mp4')
  keys = [f'{name}.mp4' for name in 'abcdefgh'] + ['gone.mp4']
  found = FileTree(tmp_path).originals(keys)
  # Files of 4 bytes are no videos: that they are equal says nothing.
  assert ''.join(found[key][0] for key in keys) == 'abadbdghg'
  assert found['gone.mp4'] == 'gone.mp4'


def test_threads_that_write_one_file_do_not_collide(tmp_path):
  contents = [bytes([65 + k]) * 200_000 for k in range(8)] * 10
  with futures.ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda c: whole_file.write(tmp_path / 'x', c), contents))
  assert (tmp_path / 'x').read_bytes() in contents
  assert [p.name for p in tmp_path.iterdir()] == ['x']
