"""Pieces of clips by frame numbers, and of long films without all of them."""

import dataclasses
import fractions
import pathlib

import av
import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import clips as records
from data_pipelines.lists import grammars, labels
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.lists.grammars import Item
from data_pipelines.loaders import source
from data_pipelines.stores.files import FileTree
from data_pipelines.video import examine, films, probe, read
from tests.data_pipelines import coded_clips, pictures

_FPS = 10
_MINUTES = 10
_GROUP = 50


@pytest.fixture(scope='module')
def film(tmp_path_factory):
  """Ten minutes; frame k spells k modulo 256."""
  path = tmp_path_factory.mktemp('film') / 'film.mp4'
  drawn = [
      av.VideoFrame.from_ndarray(coded_clips.frame(k), 'rgb24').reformat(
          format='yuv420p'
      )
      for k in range(256)
  ]
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=_FPS)
    stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
    stream.options = dict(coded_clips.X264) | {'g': str(_GROUP)}
    stream.codec_context.thread_count = 1
    for k in range(_MINUTES * 60 * _FPS):
      picture = drawn[k % 256]
      picture.pts, picture.time_base = k, fractions.Fraction(1, _FPS)
      picture.pict_type = av.video.frame.PictureType.NONE
      container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
  return str(path)


def read_numbers(*args):
  return coded_clips.read_indices(read.read_frames(*args))


def test_a_piece_of_a_long_film_decodes_a_few_dozen_frames(film, decoded):
  found = probe.probe(film)
  first, stop = read.range_indices(found, 301.3, 303.3)
  assert (first, stop) == (3013, 3033)
  wanted = np.linspace(first, stop - 1, 8).astype(int)
  frames = read.read_frames(film, wanted, found)
  assert coded_clips.read_indices(frames) == [k % 256 for k in wanted]
  assert len(decoded) <= _GROUP + stop - first


def test_a_long_film_is_probed_in_a_few_places(film, decoded):
  found = examine.examine(film)
  assert found['num_frames'] == _MINUTES * 60 * _FPS
  # Five groups, twice at their edges, and once more without B-frames.
  assert len(decoded) < 10 * _GROUP
  assert (found['width'], found['height']) == (64, 48)
  assert found['duration'] == pytest.approx(600)


def test_a_few_places_tell_the_same_as_all(film, monkeypatch):
  quick = examine.examine(film)
  monkeypatch.setattr(films, 'look', lambda *_: None)
  whole = examine.examine(film)
  assert 0 < len(quick['spare']) < len(whole['spare'])
  assert set(quick.pop('spare')) < set(whole.pop('spare'))
  assert whole == quick


@pytest.mark.parametrize(
    'form',
    [f for f in coded_clips.FORMATS if coded_clips.available(f)],
    ids=lambda f: f.name,
)
def test_no_format_is_told_otherwise(tmp_path, monkeypatch, form):
  path = coded_clips.write(tmp_path / f'clip{form.suffix}', form, 96)
  whole = examine.examine(path)
  monkeypatch.setattr(films, 'FILM_FRAMES', 10)
  found = examine.examine(path)
  for name in ('num_frames', 'times', 'keyframes', 'rotation', 'error'):
    assert found.get(name) == whole.get(name)


def test_damage_that_the_probe_does_not_see_is_named_on_reading(film, tmp_path):
  path = tmp_path / 'damaged.mp4'
  contents = bytearray(pathlib.Path(film).read_bytes())
  with av.open(film) as container:
    packets = [p for p in container.demux(video=0) if p.size]
  broken = next(p for p in packets if p.pts == packets[2000].pts)
  start, size = broken.pos, broken.size
  contents[start + 8 : start + size] = bytes(size - 8)
  path.write_bytes(contents)
  found = probe.probe(path)
  assert found.error is None
  number = np.searchsorted(found.timestamps(), broken.pts)
  with pytest.raises(read.VideoError, match=r'damaged\.mp4: it is damaged'):
    read.read_frames(path, [number], found)
  assert read_numbers(path, [number + 3 * _GROUP], found) == [
      (number + 3 * _GROUP) % 256
  ]


def test_a_film_that_is_cut_off_is_named(film, tmp_path):
  path = tmp_path / 'cut.mp4'
  path.write_bytes(pathlib.Path(film).read_bytes()[:-2000])
  with pytest.raises(read.VideoError, match=r'cut\.mp4'):
    read.read_frames(path, [3000])


def test_frame_numbers_are_written_and_read_back(tmp_path):
  clips = ClipList(
      'train',
      (
          ClipRecord('P01/rgb_frames/P01_01', 0, first=120, stop=240),
          ClipRecord('P01/rgb_frames/P01_01', 1, first=240),
          ClipRecord('film.mp4', 1, stop=7),
          ClipRecord('film.mp4', 1, 7.5, 9),
          ClipRecord('whole', 0),
      ),
  )
  clips.write(tmp_path / 'train.txt')
  assert (
      'P01/rgb_frames/P01_01\t0\tframes 120:240\n'
      in (tmp_path / 'train.txt').read_text()
  )
  listing = grammars.read(tmp_path / 'train.txt', 'data.train_list')
  again = ClipList(
      'train',
      tuple(
          labels.record_of(dataclasses.replace(i, clip=i.path), i.label)
          for i in listing.items
      ),
  )
  assert again.records == clips.records
  assert again.hash == clips.hash
  assert len({r.key for r in clips.records}) == 5
  assert clips.records[0].key == 'P01/rgb_frames/P01_01@120:240'


@pytest.mark.parametrize(
    'piece', ['frames 9:9', 'frames :', 'frames 9:3', 'frames x:3', '9:12']
)
def test_wrong_frame_numbers_name_the_line(tmp_path, piece):
  file = tmp_path / 'list.txt'
  file.write_text(f'a\t0\tframes 1:2\nb\t0\t{piece}\n')
  with pytest.raises(UserError, match=r'line 2.*frames FIRST:STOP'):
    grammars.read(file, 'data.train_list')


def test_pieces_overlap_by_frames():
  train = ClipList('train', (ClipRecord('film', 0, first=10, stop=20),))
  apart = (ClipRecord('film', 0, first=20, stop=30),
           ClipRecord('film', 0, stop=10),
           ClipRecord('other', 0, first=10, stop=20))  # fmt: skip
  records.check_disjoint(train, ClipList('test', apart), '')
  for other in (
      ClipRecord('film', 0, first=19, stop=30),
      ClipRecord('film', 0),
      ClipRecord('film', 0, 100, 200),
  ):
    with pytest.raises(UserError, match="'film@10:20'"):
      records.check_disjoint(train, ClipList('test', (other,)), '')
  with pytest.raises(ValueError, match='not both'):
    ClipRecord('film', 0, 1, 2, 3, 4)


def test_a_list_with_both_units_goes_by_what_the_clip_is():
  item = Item('P01_01', 0, 1.5, 2.5, 1, 14, 25)
  film, folder = (
      labels.record_of(dataclasses.replace(item, clip=clip), 3)
      for clip in ('P01/videos/P01_01.MP4', 'P01/rgb_frames/P01_01')
  )
  assert (film.start, film.end, film.by_frames, film.label) == (
      1.5, 2.5, False, 3,
  )  # fmt: skip
  assert (folder.first, folder.stop, folder.start) == (14, 25, None)


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
  clips = source.Source(
      ClipList('train', pieces),
      ['x'],
      store,
      {k: probe.probe(store.media(k)) for k in ('a', 'b.mp4')},
  )
  assert [clips.span(n) for n in range(5)] == [
      (4, 5),
      (25, 5),
      (10, 10),
      (0, 30),
      # Pictures are counted generously.
      (25, 5),
  ]
  for n in (5, 6, 7):
    with pytest.raises(read.VideoError, match='it has 30 frames'):
      clips.span(n)
