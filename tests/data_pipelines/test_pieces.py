"""Pieces of clips by frame numbers."""

import pytest

from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import source
from data_pipelines.stores.files import FileTree
from data_pipelines.video import probe, read
from tests.data_pipelines import coded_clips, pictures


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
