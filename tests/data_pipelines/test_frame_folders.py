"""Folders of numbered pictures are clips like any other."""

import io
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_pipelines import decode, open_data, scan, source
from data_pipelines.clip_lists.records import ClipRecord
from data_pipelines.stores.file_tree import FileTree
from data_pipelines.video_files import frame_folder, probe
from evclip_jax.errors import UserError
from tests.data_pipelines import coded_clips, pictures, trees


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return pathlib.Path(
      pictures.write(tmp_path_factory.mktemp('pictures') / 'P01_01', 30)
  )


def read_numbers(source, indices, *args):
  return coded_clips.read_indices(
      decode.read_frames(source, indices, *args)
  )


@pytest.mark.parametrize(
    ('pattern', 'first'),
    [
        ('frame_{:010d}.jpg', 1),
        ('frame_{:010d}.jpg', 0),
        ('img_{:05d}.jpg', 1),
        ('{:d}.png', 7),
        ('cam2_{{a}}_{:02d}.jpeg', 95),
        ('Bild{:03d}.JPG', 1),
    ],
)
def test_any_numbering_counts_from_the_first_picture(
    tmp_path, pattern, first
):
  path = pictures.write(tmp_path / 'clip', 12, pattern, first)
  found = probe.probe(path)
  assert (found.num_frames, found.width, found.height) == (12, 64, 48)
  assert (found.fps, found.duration, found.error) == (0, 0, None)
  assert read_numbers(path, [11, 0, 3, 3], found) == [11, 0, 3, 3]
  assert probe.Probe.from_dict(found.to_dict()) == found
  with pytest.raises(decode.VideoError, match='frame 12 .*12 frames'):
    decode.read_frames(path, [12])


def test_pixels_are_those_of_the_pictures(folder):
  frames = decode.read_frames(folder, [4, 2])
  for got, number in zip(frames, (5, 3), strict=True):
    with Image.open(folder / f'frame_{number:010d}.jpg') as image:
      np.testing.assert_array_equal(got, np.asarray(image.convert('RGB')))


def test_only_the_pictures_asked_for_are_opened(folder, monkeypatch):
  probe.probe(folder)
  opened = []
  original = Image.open

  def spy(file, *args, **kwargs):
    opened.append(pathlib.Path(file.name).name)
    return original(file, *args, **kwargs)

  monkeypatch.setattr(Image, 'open', spy)
  decode.read_frames(folder, [20, 3, 20])
  assert opened == ['frame_0000000004.jpg', 'frame_0000000021.jpg']
  opened.clear()
  frame_folder.examine(str(folder))
  assert opened == ['frame_0000000001.jpg']


def test_a_hole_is_named(tmp_path):
  path = pictures.write(tmp_path / 'clip', 12)
  (tmp_path / 'clip' / 'frame_0000000005.jpg').unlink()
  found = probe.probe(path)
  assert (found.num_frames, found.holes) == (12, (4, 5))
  assert probe.Probe.from_dict(found.to_dict()) == found
  for piece in ((None, None), (2, 6), (4, 5)):
    with pytest.raises(
        decode.VideoError, match='frame_0000000005.jpg is miss'
    ):
      source.frames_of(ClipRecord('clip', 0, None, None, *piece), found)
  assert source.frames_of(ClipRecord('clip', 0, first=5), found) == (5, 12)
  assert read_numbers(path, [0, 5, 11], found) == [0, 5, 11]
  with pytest.raises(decode.VideoError, match='005.jpg is gone'):
    decode.read_frames(path, [4], found)


def test_names_that_are_times_are_no_frames(tmp_path):
  (tmp_path / 'clip').mkdir()
  for k in (1_600_000_000_000, 1_600_000_033_000_000):
    pictures.write(tmp_path / 'clip', 1, '{:d}.jpg', k)
  assert '1600000000001.jpg is missing' in probe.probe(tmp_path / 'clip').error


def test_broken_pictures_are_named(tmp_path):
  folder = tmp_path / 'clip'
  path = pictures.write(folder, 6)
  whole = (folder / 'frame_0000000003.jpg').read_bytes()
  (folder / 'frame_0000000003.jpg').write_bytes(whole[: len(whole) // 2])
  Image.new('RGB', (32, 48)).save(folder / 'frame_0000000004.jpg')
  (folder / 'frame_0000000005.jpg').write_text('no picture')
  assert read_numbers(path, [0, 1, 5]) == [0, 1, 5]
  for index, match in ((2, '03.jpg is broken'), (4, '05.jpg is broken')):
    with pytest.raises(decode.VideoError, match=match):
      decode.read_frames(path, [index])
  with pytest.raises(decode.VideoError, match='04.jpg has 32x48 .* 64x48'):
    decode.read_frames(path, [3])
  first = tmp_path / 'first'
  pictures.write(first, 3)
  (first / 'frame_0000000001.jpg').write_bytes(b'')
  with pytest.raises(decode.VideoError, match='01.jpg is broken'):
    decode.read_frames(first, [2])


def test_a_folder_that_changed_is_listed_again(tmp_path):
  path = pictures.write(tmp_path / 'clip', 6)
  old = probe.probe(path)
  pictures.write(tmp_path / 'clip', 9)
  assert read_numbers(path, [8], old) == [8]


def test_flow_beside_the_pictures_is_ignored(tmp_path):
  path = pictures.write(tmp_path / 'clip', 6, 'img_{:05d}.jpg')
  pictures.write(tmp_path / 'clip', 5, 'flow_x_{:05d}.jpg')
  assert probe.probe(path).num_frames == 6
  pictures.write(tmp_path / 'two', 3, 'a{:d}.png')
  pictures.write(tmp_path / 'two', 3, 'b{:d}.png')
  error = probe.probe(tmp_path / 'two').error
  assert 'several series' in error and 'a...' in error


def test_pieces_by_seconds_are_refused(folder):
  found = probe.probe(folder)
  assert decode.range_indices(found) == (0, 30)
  with pytest.raises(
      decode.VideoError, match='frame numbers, not by seconds'
  ):
    decode.range_indices(found, 0.5, 1.0)


def test_zip_files_of_other_people_are_refused():
  bomb = io.BytesIO()
  with zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as packed:
    packed.writestr('img_00001.jpg', b'\0' * 100_000)
  for contents, match in (
      (bomb.getvalue(), 'compressed ZIP'),
      (bomb.getvalue()[:50], 'not a sound ZIP'),
  ):
    with pytest.raises(decode.VideoError, match=match):
      decode.read_frames(contents, [0])


def test_a_tree_of_folders_and_films(tmp_path):
  pictures.write(tmp_path / 'pour' / 'a', 6, 'img_{:05d}.jpg')
  pictures.write(tmp_path / 'pour' / 'a.b.avi', 6)
  coded_clips.write(tmp_path / 'pour' / 'c.mp4', num_frames=12)
  # Previews beside films are no clip, and one picture is none.
  pictures.write(tmp_path / 'wash', 3, 'preview{:d}.jpg')
  coded_clips.write(tmp_path / 'wash' / 'd.mp4', num_frames=12)
  pictures.write(tmp_path / 'wash' / 'cover', 1, 'cover{:d}.jpg')
  store = FileTree(tmp_path, by_name=True)
  assert store.keys == [
      'pour/a',
      'pour/a.b.avi',
      'pour/c.mp4',
      'wash/d.mp4',
  ]
  assert store.find('pour/a') == 'pour/a'
  assert store.find('elsewhere/a.webm') == 'pour/a'
  assert store.find('pour/nothing') is None
  found = scan.probe_files(store, store.keys, str(tmp_path / '.cache'), 2)
  assert [p.num_frames for p in found.values()] == [6, 6, 12, 12]


def test_a_data_set_that_mixes_both(tmp_path):
  for name in ('pour', 'wash'):
    for k in range(5):
      pictures.write(
          tmp_path / 'data' / name / f'p{k}', 8, 'img_{:05d}.jpg'
      )
    coded_clips.write(tmp_path / 'data' / name / 'f.mp4', num_frames=12)
  data = trees.data_config(name='folder', root=str(tmp_path / 'data'))
  sets = open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c'))
  assert sets.class_names == ['pour', 'wash']
  assert len(sets.train) + len(sets.tests['test']) == 12
  for clips in (sets.train, sets.tests['test']):
    for index, record in enumerate(clips.records):
      media, found = clips.read(index)
      first, total = clips.span(index)
      assert (first, total) == (0, 12 if record.path.endswith('mp4') else 8)
      assert read_numbers(media, [total - 1], found) == [total - 1]
  hole = tmp_path / 'data' / 'pour' / 'p0' / 'img_00003.jpg'
  hole.unlink()
  with pytest.raises(UserError, match='img_00003.jpg is missing'):
    open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c'))
