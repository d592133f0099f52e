"""Folders of numbered pictures are clips like any other."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import broken_clips
from data_pipelines.stores.files import FileTree
from data_pipelines.video import image_folder, probe, probes, read
from tests.data_pipelines import coded_clips, pictures


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return pathlib.Path(
      pictures.write(tmp_path_factory.mktemp('pictures') / 'P01_01', 30)
  )


def read_numbers(source, indices, *args):
  return coded_clips.read_indices(read.read_frames(source, indices, *args))


@pytest.mark.parametrize(
    ('pattern', 'first'),
    [
        ('frame_{:010d}.jpg', 1), ('frame_{:010d}.jpg', 0),
        ('img_{:05d}.jpg', 1), ('{:d}.png', 7), ('cam2_{{a}}_{:02d}.jpeg', 95),
        ('Bild{:03d}.JPG', 1), ('f{:03d}.webp', 1), ('f{:03d}.bmp', 3),
    ],
)
def test_any_numbering_counts_from_the_first_image(tmp_path, pattern, first):
  path = pictures.write(tmp_path / 'clip', 12, pattern, first)
  found = probe(path)
  assert (found.num_frames, found.width, found.height) == (12, 64, 48)
  assert (found.fps, found.duration, found.error) == (0, 0, None)
  assert read_numbers(path, [11, 0, 3, 3], found) == [11, 0, 3, 3]
  assert probes.Probe.from_dict(found.to_dict()) == found
  with pytest.raises(read.VideoError, match='frame 12 .*12 frames'):
    read.read_frames(path, [12])


def test_pixels_are_those_of_the_pictures(folder):
  frames = read.read_frames(folder, [4, 2])
  for got, number in zip(frames, (5, 3), strict=True):
    with Image.open(folder / f'frame_{number:010d}.jpg') as image:
      np.testing.assert_array_equal(got, np.asarray(image.convert('RGB')))


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif'])
def test_a_turned_picture_is_shown_as_a_viewer_does(tmp_path, suffix):
  turned = Image.Exif()
  turned[274] = 6
  for k in range(3):
    picture = Image.fromarray(np.rot90(coded_clips.frame(k)))
    picture.save(tmp_path / f'{k}{suffix}', exif=turned)
  assert read_numbers(tmp_path, range(3)) == [0, 1, 2]


def test_only_the_images_asked_for_are_opened(folder, monkeypatch):
  found = probe(folder)
  opened = []
  original = image_folder._bytes
  monkeypatch.setattr(
      image_folder,
      '_bytes',
      lambda place, name: opened.append(name) or original(place, name),
  )
  read.read_frames(folder, [20, 3, 20], found)
  assert opened == ['frame_0000000004.jpg', 'frame_0000000021.jpg']
  opened.clear()
  image_folder.examine(str(folder))
  assert opened == ['frame_0000000001.jpg']


def test_a_missing_image_is_named(tmp_path):
  path = pictures.write(tmp_path / 'clip', 12)
  (tmp_path / 'clip' / 'frame_0000000005.jpg').unlink()
  with pytest.raises(read.VideoError, match='frame_0000000005.jpg is missing'):
    read.read_frames(path, [0])


def test_names_that_are_times_are_no_frames(tmp_path):
  (tmp_path / 'clip').mkdir()
  for k in (1_600_000_000_000, 1_600_000_033_000_000):
    pictures.write(tmp_path / 'clip', 1, '{:d}.jpg', k)
  assert '1600000000001.jpg is missing' in probe(tmp_path / 'clip').error


def test_pictures_that_break_later_are_named(tmp_path):
  folder = tmp_path / 'clip'
  path = pictures.write(folder, 6)
  # Writing over a file does not change its folder.
  assert probe(path).error is None
  whole = (folder / 'frame_0000000003.jpg').read_bytes()
  (folder / 'frame_0000000003.jpg').write_bytes(whole[: len(whole) // 2])
  Image.new('RGB', (32, 48)).save(folder / 'frame_0000000004.jpg')
  (folder / 'frame_0000000005.jpg').write_text('no picture')
  assert read_numbers(path, [0, 1, 5]) == [0, 1, 5]
  for index, match in ((2, '03.jpg is broken'), (4, '05.jpg is broken')):
    with pytest.raises(read.VideoError, match=match):
      read.read_frames(path, [index])
  with pytest.raises(read.VideoError, match='04.jpg has 32x48 .* 64x48'):
    read.read_frames(path, [3])


def fault_of(folder):
  found = probe(folder)
  return found.error or (found.broken[0][2] if found.broken else None)


@pytest.mark.parametrize('number', [1, 3])
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'bmp'])
@pytest.mark.parametrize(
    ('damage', 'why'),
    [
        (lambda whole: b'', 'it is empty'),
        (lambda whole: whole[: len(whole) // 2], 'it is cut off'),
        (lambda whole: b'no picture', 'it is no image'),
        (lambda whole: b'\0' * len(whole), 'it is no image'),
    ],
    ids=['empty', 'cut', 'text', 'zeros'],
)
def test_broken_pictures_are_found_at_once(
    tmp_path, suffix, number, damage, why
):
  pattern = f'img_{{:05d}}.{suffix}'
  folder = pathlib.Path(pictures.write(tmp_path / 'clip', 3, pattern))
  file = folder / pattern.format(number)
  file.write_bytes(damage(file.read_bytes()))
  assert fault_of(folder) == f'its image {file.name} is broken ({why})'


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_an_end_that_was_never_written_is_found(tmp_path, suffix):
  folder = pathlib.Path(
      pictures.write(tmp_path / 'clip', 3, f'{{:d}}.{suffix}')
  )
  whole = (folder / f'2.{suffix}').read_bytes()
  # As after a crash.
  half = whole[: len(whole) // 2] + bytes(5_000)
  (folder / f'2.{suffix}').write_bytes(half)
  assert 'it is cut off, its end is zeros' in fault_of(folder)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'bmp'])
@pytest.mark.parametrize('more', [b'\0' * 5_000, b'\n', b'a note' * 100])
def test_bytes_after_the_end_do_no_harm(tmp_path, suffix, more):
  pattern = f'img_{{:05d}}.{suffix}'
  folder = pathlib.Path(pictures.write(tmp_path / 'clip', 3, pattern))
  with open(folder / pattern.format(2), 'ab') as file:
    file.write(more)
  assert fault_of(folder) is None
  assert read_numbers(folder, [1]) == [1]


def test_of_many_pictures_an_even_choice_is_checked(tmp_path, monkeypatch):
  folder = pathlib.Path(pictures.write(tmp_path / 'clip', 9, '{:d}.jpg'))
  monkeypatch.setattr(image_folder, '_CHECKED', 3)
  for number, found in ((2, False), (5, True), (8, False), (9, True)):
    whole = (folder / f'{number}.jpg').read_bytes()
    (folder / f'{number}.jpg').write_bytes(b'')
    broken = image_folder.examine(str(folder))['broken']
    assert [index + 1 for index, *_ in broken] == [number] * found
    (folder / f'{number}.jpg').write_bytes(whole)
  monkeypatch.undo()
  (folder / '2.jpg').write_bytes(b'')
  ((index, _, fault),) = image_folder.examine(str(folder))['broken']
  assert index == 1 and 'its image 2.jpg is broken' in fault


def test_a_broken_picture_spoils_no_piece_without_it(tmp_path):
  folder = pathlib.Path(pictures.write(tmp_path / 'film', 9, '{:d}.jpg'))
  (folder / '4.jpg').write_bytes(b'')
  found = probe(folder)
  text = json.dumps(found.to_dict())
  assert found == probes.Probe.from_dict(json.loads(text))
  read.check_frames(found, 0, 3)
  read.check_frames(found, 4, 9)
  assert read_numbers(folder, [1, 6], found) == [1, 6]
  for first, stop in ((0, 9), (3, 4), (2, 5)):
    with pytest.raises(read.VideoError, match='4.jpg is broken .it is empty'):
      read.check_frames(found, first, stop)


def test_a_folder_that_changed_is_listed_again(tmp_path):
  path = pictures.write(tmp_path / 'clip', 6)
  old = probe(path)
  pictures.write(tmp_path / 'clip', 9)
  assert read_numbers(path, [8], old) == [8]


def test_flow_beside_the_pictures_is_ignored(tmp_path):
  path = pictures.write(tmp_path / 'clip', 6, 'img_{:05d}.jpg')
  pictures.write(tmp_path / 'clip', 5, 'flow_x_{:05d}.jpg')
  assert probe(path).num_frames == 6
  pictures.write(tmp_path / 'two', 3, 'a{:d}.png')
  pictures.write(tmp_path / 'two', 3, 'b{:d}.png')
  error = probe(tmp_path / 'two').error
  assert 'several series' in error and 'a...' in error


def test_pieces_by_seconds_are_refused(folder):
  found = probe(folder)
  assert read.range_indices(found) == (0, 30)
  with pytest.raises(read.VideoError, match='frame numbers, not by seconds'):
    read.range_indices(found, 0.5, 1.0)


def test_a_tree_of_folders_and_films(tmp_path):
  pictures.write(tmp_path / 'pour' / 'a', 6, 'img_{:05d}.jpg')
  pictures.write(tmp_path / 'pour' / 'a.b.avi', 6)
  coded_clips.write(tmp_path / 'pour' / 'c.mp4', num_frames=12)
  # Previews beside films are no clip, and one picture is none.
  pictures.write(tmp_path / 'wash', 3, 'preview{:d}.jpg')
  coded_clips.write(tmp_path / 'wash' / 'd.mp4', num_frames=12)
  pictures.write(tmp_path / 'wash' / 'cover', 1, 'cover{:d}.jpg')
  store = FileTree(tmp_path, by_name=True)
  assert store.keys == ['pour/a', 'pour/a.b.avi', 'pour/c.mp4', 'wash/d.mp4']
  assert store.find('pour/a') == 'pour/a'
  assert store.find('elsewhere/a.webm') == 'pour/a'
  assert store.find('pour/nothing') is None
  listed = ClipList('train', tuple(ClipRecord(k, 0) for k in store.keys))
  found = broken_clips.probe_clips(store, [listed], str(tmp_path / '.cache'))
  assert [p.num_frames for p in found.values()] == [6, 6, 12, 12]
