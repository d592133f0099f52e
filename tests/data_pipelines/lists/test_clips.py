"""Records and lists: hashes, the plain form, repeats, overlaps."""

import os

import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import clips as records
from data_pipelines.lists import grammars
from data_pipelines.lists.clips import ClipList, ClipRecord


def test_plain_form_reads_back_the_same(tmp_path):
  clips = ClipList(
      'train',
      (
          ClipRecord('a dir/é clip.mp4', 1),
          ClipRecord('#20 Steps, and [more].avi', 2),
          ClipRecord('video.mp4', 0, 0.1, 2),
          ClipRecord('video.mp4', 0, 12.25, None),
          ClipRecord(os.fsdecode(b'no utf-8 \xff.mp4'), 3),
      ),
      'mine.csv',
  )
  path = tmp_path / 'new' / 'train.txt'
  clips.write(path)
  again = ClipList(
      'other name',
      tuple(
          ClipRecord(i.path, i.label, i.start, i.end)
          for i in grammars.read(path, 'key').items
      ),
  )
  assert again.records == clips.records
  assert again.hash == clips.hash
  assert clips.hash.encode() in path.read_bytes()
  assert [r.key for r in clips.records[2:4]] == [
      'video.mp4@0.1-2', 'video.mp4@12.25-',
  ]  # fmt: skip


def test_hash_sees_order_label_and_times():
  a, b = ClipRecord('a', 0), ClipRecord('b', 0)
  hashes = {
      ClipList('x', r).hash
      for r in [(a, b), (b, a), (a,), (ClipRecord('a', 1), b),
                (ClipRecord('a', 0, 1, 2), b)]
  }  # fmt: skip
  assert len(hashes) == 5


def test_equal_lines_count_once_and_two_classes_are_refused(capsys):
  a, b = ClipRecord('a', 0), ClipRecord('b', 1)
  clips = ClipList('train', (a, b, a, a), 'mine.txt')
  assert records.without_repeats(clips).records == (a, b)
  assert '2 lines of the train list (mine.txt)' in capsys.readouterr().out
  pieces = (ClipRecord('a', 0, 0, 2), ClipRecord('a', 0, 1, 3))
  assert records.without_repeats(ClipList('x', pieces)).records == pieces
  clips = clips.replace((a, ClipRecord('a', 1)))
  with pytest.raises(UserError, match=r"mine.txt.*'a' twice.*labels 0 and 1"):
    records.without_repeats(clips)


def test_overlap_is_refused_and_named():
  train = ClipList('train', (ClipRecord('a', 0), ClipRecord('b', 0)), 't.txt')
  test = ClipList('test', (ClipRecord('c', 0), ClipRecord('b', 0)), 'v.txt')
  with pytest.raises(UserError, match="1 of 2 clips of the test list.*'b'"):
    records.check_disjoint(train, test, 'Cut one.')


def test_pieces_of_a_video_overlap_only_if_their_times_do():
  first = ClipList('train', (ClipRecord('video', 0, 0, 5),))
  apart = ClipList('test', (ClipRecord('video', 0, 5, 9),))
  inside = ClipList('test', (ClipRecord('video', 0, 4.5, 9),))
  whole = ClipList('test', (ClipRecord('video', 0),))
  records.check_disjoint(first, apart, '')
  for other in (inside, whole):
    with pytest.raises(UserError, match='video'):
      records.check_disjoint(first, other, '')
