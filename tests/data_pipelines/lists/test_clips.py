"""Records and lists: hashes, the plain form, repeats, overlaps."""

import dataclasses
import os

import pytest

from data_pipelines.lists import clips as records
from data_pipelines.lists import grammars, labels
from data_pipelines.lists.clips import ClipList, ClipRecord, Item


def test_plain_form_reads_back_the_same(tmp_path):
  clips = ClipList(
      'train',
      (
          ClipRecord('a dir/é clip.mp4', 1),
          ClipRecord('#20 Steps, and [more].avi', 2),
          ClipRecord('video.mp4', 0, 0.1, 2),
          ClipRecord('video.mp4', 0, 12.25, None),
          ClipRecord('P01/rgb_frames/P01_01', 0, first=120, stop=240),
          ClipRecord('P01/rgb_frames/P01_01', 1, first=240),
          ClipRecord('video.mp4', 1, stop=7),
          ClipRecord(os.fsdecode(b'no utf-8 \xff.mp4'), 3),
      ),
      'mine.csv',
  )
  path = tmp_path / 'new' / 'train.txt'
  clips.write(path)
  again = clips.replace(
      labels.record_of(dataclasses.replace(i, clip=i.path), i.label)
      for i in grammars.read(path, 'key').items
  )
  assert again == clips and again.hash == clips.hash
  written = path.read_bytes()
  assert clips.hash.encode() in written
  assert b'P01/rgb_frames/P01_01\t0\tframes 120:240\n' in written
  assert [r.key for r in clips.records[2:5]] == [
      'video.mp4@0.1-2', 'video.mp4@12.25-', 'P01/rgb_frames/P01_01@120:240',
  ]  # fmt: skip


def test_hash_sees_order_label_and_times():
  a, b = ClipRecord('a', 0), ClipRecord('b', 0)
  hashes = {
      ClipList('x', r).hash
      for r in [(a, b), (b, a), (a,), (ClipRecord('a', 1), b),
                (ClipRecord('a', 0, 1, 2), b)]
  }  # fmt: skip
  assert len(hashes) == 5


@pytest.mark.parametrize(
    ('first', 'other', 'meet'),
    [
        ({'start': 0, 'end': 5}, {'start': 5, 'end': 9}, False),
        ({'start': 0, 'end': 5}, {'start': 4.5, 'end': 9}, True),
        ({'start': 0, 'end': 5}, {}, True),
        ({'first': 10, 'stop': 20}, {'first': 20, 'stop': 30}, False),
        ({'first': 10, 'stop': 20}, {'stop': 10}, False),
        ({'first': 10, 'stop': 20}, {'first': 19, 'stop': 30}, True),
        ({'first': 10, 'stop': 20}, {}, True),
        # Two units cannot be compared.
        ({'first': 10, 'stop': 20}, {'start': 100, 'end': 200}, True),
    ],
)
def test_pieces_of_a_video_overlap_only_if_their_spans_do(first, other, meet):
  train = ClipList('train', (ClipRecord('film', 0, **first),))
  for path, wanted in (('film', meet), ('other', False)):
    test = ClipList('test', (ClipRecord(path, 0, **other),))
    assert bool(records.overlaps(train, test)) == wanted


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
