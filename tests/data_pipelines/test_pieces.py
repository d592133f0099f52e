"""Pieces of clips by frame numbers."""

import dataclasses

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, labels
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.lists.grammars import Item
from data_pipelines.loaders import source
from data_pipelines.stores.files import FileTree
from data_pipelines.video import probe, read
from tests.data_pipelines import coded_clips, pictures


@pytest.mark.parametrize(
    'piece', ['frames 9:9', 'frames :', 'frames 9:3', 'frames x:3', '9:12']
)
def test_wrong_frame_numbers_name_the_line(tmp_path, piece):
  file = tmp_path / 'list.txt'
  file.write_text(f'a\t0\tframes 1:2\nb\t0\t{piece}\n')
  with pytest.raises(UserError, match=r'line 2.*frames FIRST:STOP'):
    grammars.read(file, 'data.train_list')


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
      {k: probe(store.media(k)) for k in ('a', 'b.mp4')},
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
