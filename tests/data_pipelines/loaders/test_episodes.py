"""Episodes: what is in them, replay, unequal and too small classes."""

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.episodes import EpisodeList

# Clips of each class; the records come in no order of classes.
SIZES = (4, 9, 3, 6)
NAMES = ['walking', 'running', 'sitting', 'waving']


def clip_list(sizes=SIZES, name='test'):
  records = [
      ClipRecord(f'{label}/{k}.mp4', label)
      for label, size in enumerate(sizes)
      for k in range(size)
  ]
  order = np.random.default_rng(0).permutation(len(records))
  return ClipList(name, tuple(records[i] for i in order), 'a.txt')


def make(way=3, shot=1, query=2, seed=5, num=0, clips=None):
  clips = clips or clip_list()
  return EpisodeList(clips, NAMES, way, shot, query, seed, num)


def labels_of(drawn, positions):
  return [drawn.clips.records[i].label for i in positions]


@pytest.mark.parametrize(
    ('way', 'shot', 'query'), [(3, 1, 2), (4, 2, 1), (2, 1, 1), (1, 1, 2)]
)
def test_an_episode_is_class_major_and_holds_no_clip_twice(way, shot, query):
  drawn = make(way, shot, query)
  batch = drawn.batch(10, 20)
  assert drawn.clips_per_episode == way * (shot + query)
  for clips, classes, label in zip(
      batch['clips'], batch['way'], batch['label'], strict=True
  ):
    assert len(set(clips.tolist())) == len(clips) == way * (shot + query)
    assert len(set(classes.tolist())) == way
    support, asked = clips[: way * shot], clips[way * shot :]
    assert labels_of(drawn, support) == np.repeat(classes, shot).tolist()
    assert labels_of(drawn, asked) == classes[label].tolist()
    assert label.tolist() == np.repeat(np.arange(way), query).tolist()
  assert batch['index'].tolist() == list(range(10, 30))
  assert batch['mask'].tolist() == [1.0] * 20


def test_an_episode_depends_on_seed_list_and_number_alone():
  whole = make().batch(0, 40)['clips']
  np.testing.assert_array_equal(make().batch(25, 3)['clips'], whole[25:28])
  np.testing.assert_array_equal(make(num=7).batch(0, 7)['clips'], whole[:7])
  assert len({row.tobytes() for row in whole}) > 35
  for other in (make(seed=6), make(clips=clip_list(name='val'))):
    assert (other.batch(0, 40)['clips'] != whole).any(1).mean() > 0.9


def test_all_classes_and_clips_are_equally_likely():
  drawn = make(2, 1, 1)
  batch = drawn.batch(0, 3000)
  ways = np.bincount(batch['way'].ravel(), minlength=4) / 6000
  np.testing.assert_allclose(ways, 0.25, atol=0.02)
  # The first place and the second are equally likely as well.
  first = np.bincount(batch['way'][:, 0], minlength=4) / 3000
  np.testing.assert_allclose(first, 0.25, atol=0.03)
  counts = np.bincount(batch['clips'].ravel(), minlength=sum(SIZES))
  for position, record in enumerate(drawn.clips.records):
    wanted = 3000 / SIZES[record.label]
    assert abs(counts[position] - wanted) < 0.15 * wanted


def test_rows_behind_the_end_are_masked_out():
  batch = make(num=5).batch(3, 4)
  assert batch['mask'].tolist() == [1, 1, 0, 0]
  assert batch['index'].tolist() == [3, 4, 0, 0]
  assert not batch['clips'][2:].any() and not batch['way'][2:].any()
  assert not batch['label'][2:].any()
  assert make(num=5).batch(9, 2)['mask'].tolist() == [0, 0]


def test_hashes_tell_episodes_apart():
  changes = {}, {'num': 5}, {'seed': 6}, {'query': 1}
  lists = [make(**{'num': 4} | change) for change in changes]
  lists.append(make(num=4, clips=clip_list((4, 9, 3, 7))))
  assert len({x.hash for x in lists}) == len(lists)
  assert make(num=4).hash == lists[0].hash


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        ((2, 2, 2), r"2 \+ 2 clips .*'sitting' with 3"),
        ((5, 1, 2), '5 ways need 5 classes, .* has 4'),
        ((0, 1, 2), 'need way of 1 or more, not 0'),
        ((3, 0, 2), 'need shot of 1 or more, not 0'),
        ((3, 1, 0), 'need query of 1 or more, not 0'),
    ],
)
def test_episodes_that_cannot_be_drawn_say_why(sizes, message):
  with pytest.raises(UserError, match=message):
    make(*sizes)
