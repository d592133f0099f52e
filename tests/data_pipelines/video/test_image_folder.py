"""Folders of numbered pictures are clips like any other."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import broken_clips, source
from data_pipelines.stores.files import FileTree
from data_pipelines.video import image_folder, probe, probes, read
from tests.data_pipelines import coded_clips, pictures
from tests.data_pipelines.coded_clips import read_numbers


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return pathlib.Path(
      pictures.write(tmp_path_factory.mktemp('pictures') / 'P01_01', 30)
  )


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
  frame = read.read_frames(folder, [4])[0]
  with Image.open(folder / 'frame_0000000005.jpg') as image:
    np.testing.assert_array_equal(frame, np.asarray(image.convert('RGB')))


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif'])
def test_a_turned_picture_is_shown_as_a_viewer_does(tmp_path, suffix):
  turned = Image.Exif()
  turned[274] = 6
  for k in range(3):
    picture = Image.fromarray(np.rot90(coded_clips.frame(k)))
    picture.save(tmp_path / f'{k}{suffix}', exif=turned)
  assert read_numbers(tmp_path, range(3)) == [0, 1, 2]


def test_only_the_images_asked_for_are_opened(folder, monkeypatch):
  found, opened, original = probe(folder), [], image_folder._bytes

  def noted(place, name):
    opened.append(name)
    return original(place, name)

  monkeypatch.setattr(image_folder, '_bytes', noted)
  read.read_frames(folder, [20, 3, 20], found)
  image_folder.examine(str(folder))
  assert opened == [f'frame_{n:010d}.jpg' for n in (4, 21, 1)]


@pytest.mark.parametrize(
    ('names', 'error'),
    [
        ('f3.jpg f4.jpg f6.jpg', 'f5.jpg is missing'),
        # Names that are times are no frames.
        ('1600000000000.jpg 1600000033000000.jpg', '0000000001.jpg is missing'),
        ('a1.png a2.png b1.png b2.png', r'several series of images \(a...'),
    ],
)
def test_images_that_are_no_one_series_are_named(tmp_path, names, error):
  for name in names.split():
    pictures.write(tmp_path / 'clip', 1, name)
  with pytest.raises(read.VideoError, match=error):
    read.read_frames(tmp_path / 'clip', [0])


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


DAMAGE = {
    'empty': (lambda whole: b'', 'it is empty'),
    'cut': (lambda whole: whole[: len(whole) // 2], 'it is cut off'),
    'text': (lambda whole: b'no picture', 'it is not an image'),
    'zeros': (lambda whole: b'\0' * len(whole), 'it is not an image'),
    'zeros behind': (lambda whole: whole + bytes(5_000), None),
    'line behind': (lambda whole: whole + b'\n', None),
    'note behind': (lambda whole: whole + b'a note' * 100, None),
    # As after a crash: an end that was never written.
    'end zeros': (
        lambda whole: whole[: len(whole) // 2] + bytes(5_000),
        'it is cut off, its end is zeros',
    ),
}


@pytest.mark.parametrize(
    ('suffix', 'kind'),
    [
        (suffix, kind)
        for kind in DAMAGE
        for suffix in ('jpg', 'png', 'webp', 'bmp')
        # The others tell their length, not their end.
        if kind != 'end zeros' or suffix in ('jpg', 'png')
    ],
)
def test_broken_pictures_are_found_at_once(tmp_path, suffix, kind):
  damage, why = DAMAGE[kind]
  pattern = f'img_{{:05d}}.{suffix}'
  for number in (1, 3):
    folder = pathlib.Path(pictures.write(tmp_path / f'{number}', 3, pattern))
    file = folder / pattern.format(number)
    file.write_bytes(damage(file.read_bytes()))
    found = probe(folder)
    if why:
      fault = found.error or found.broken[0][2]
      assert fault == f'its image {file.name} is broken ({why})'
    else:
      assert (found.error, found.broken) == (None, ())
      assert read_numbers(folder, [0, 2]) == [0, 2]


@pytest.mark.parametrize(
    ('suffix', 'pixels', 'why'),
    [
        ('png', np.zeros((48, 64), np.uint16), 'more than 8 bits'),
        ('tif', np.zeros((48, 64), np.uint16), 'more than 8 bits'),
        ('png', np.zeros((14_000, 14_000), bool), 'exceeds limit'),
    ],
)
def test_pictures_that_no_video_has_are_named(tmp_path, suffix, pixels, why):
  folder = pathlib.Path(pictures.write(tmp_path / 'a', 3, f'{{:d}}.{suffix}'))
  found = probe(folder)
  Image.fromarray(pixels).save(folder / f'2.{suffix}')
  with pytest.raises(read.VideoError, match=rf'2.{suffix} is broken .*{why}'):
    read.read_frames(folder, [1], found)


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


def test_pieces_by_seconds_are_refused(folder):
  found = probe(folder)
  assert read.range_indices(found) == (0, 30)
  with pytest.raises(read.VideoError, match='frame numbers, not seconds'):
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


def test_spans_of_pieces_of_folders_and_films(tmp_path):
  pictures.write(tmp_path / 'a', 30)
  coded_clips.write(tmp_path / 'b.mp4', num_frames=30)
  pieces = (
      ClipRecord('a', 0, first=4, stop=9),
      ClipRecord('b.mp4', 0, first=25),
      ClipRecord('b.mp4', 0, 0.4, 0.8),
      ClipRecord('a', 0),
      ClipRecord('a', 0, first=25, stop=32),
      ClipRecord('a', 0, first=25, stop=33),
      ClipRecord('a', 0, first=30, stop=32),
      ClipRecord('b.mp4', 0, first=30),
  )
  store = FileTree(tmp_path)
  probes = {k: probe(store.media(k)) for k in ('a', 'b.mp4')}
  clips = source.Source(ClipList('train', pieces), ['x'], store, probes)
  # Pictures are counted generously.
  wanted = [(4, 5), (25, 5), (10, 10), (0, 30), (25, 5)]
  assert [clips.span(n) for n in range(5)] == wanted
  for n in (5, 6, 7):
    with pytest.raises(read.VideoError, match='it has 30 frames'):
      clips.span(n)
