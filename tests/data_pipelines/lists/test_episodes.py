"""Episodes: what is in them, replay, files, unequal and too small classes."""

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.lists import episodes
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.lists.episodes import EpisodeList

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


def make(way=3, shot=1, query=2, seed=5, num=0, clips=None, **values):
  clips = clips or clip_list()
  return EpisodeList(clips, NAMES, way, shot, query, seed, num, **values)


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


def test_types_are_those_of_the_contract():
  batch = make().batch(0, 2)
  types = {name: value.dtype.name for name, value in batch.items()}
  assert types == {
      'clips': 'int32',
      'label': 'int32',
      'way': 'int32',
      'mask': 'float32',
      'index': 'int32',
  }


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


def test_used_clips_are_listed_once():
  drawn = make(num=3)
  used = drawn.used()
  assert used.tolist() == sorted(set(drawn.batch(0, 3)['clips'].ravel()))
  assert drawn.used(1, 2).tolist() == sorted(drawn.episode(1))
  assert drawn.used(2, 2).size == 0


def test_a_written_listing_gives_the_same_episodes(tmp_path):
  drawn = make(4, 1, 2, num=12)
  drawn.write(tmp_path / 'run' / 'episodes.txt')
  again = episodes.read(tmp_path / 'run' / 'episodes.txt', clip_list(), NAMES)
  assert (again.way, again.shot, again.query, again.num) == (4, 1, 2, 12)
  for start, rows in ((0, 12), (7, 8)):
    one, other = drawn.batch(start, rows), again.batch(start, rows)
    for name in one:
      np.testing.assert_array_equal(one[name], other[name])
  lines = (tmp_path / 'run' / 'episodes.txt').read_text().splitlines()
  assert len([x for x in lines if not x.startswith('#')]) == 12
  with pytest.raises(ValueError, match='without end'):
    make().write(tmp_path / 'endless.txt')


def test_hashes_tell_episodes_apart():
  lists = [
      make(num=4),
      make(num=5),
      make(num=4, seed=6),
      make(num=4, query=1),
      make(num=4, clips=clip_list((4, 9, 3, 7))),
      make(num=4, listing=make().batch(0, 4)['clips']),
  ]
  assert len({x.hash for x in lists}) == len(lists)
  assert make(num=4).hash == lists[0].hash


def test_a_listing_of_another_list_is_refused(tmp_path):
  make(num=2).write(tmp_path / 'e.txt')
  other = clip_list((4, 9, 3, 7))
  with pytest.raises(UserError, match='of another list than test'):
    episodes.read(tmp_path / 'e.txt', other, NAMES)


def edited(tmp_path, change):
  make(num=3).write(tmp_path / 'e.txt')
  lines = (tmp_path / 'e.txt').read_text().splitlines()
  path = tmp_path / 'edited.txt'
  path.write_text('\n'.join(change(lines)) + '\n')
  return path


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x: x[1:], 'is not a file of episodes'),
        (lambda x: [x[0]] + x[5:], 'is not a file of episodes'),
        (lambda x: x[:5], 'holds no episode'),
        (lambda x: x[:-1] + [x[-1] + ' 1'], 'line 8 .* 9 positions from 0'),
        (lambda x: x[:-1] + ['99 ' * 9], 'line 8 .* 0 to 21'),
        (lambda x: x[:-1] + ['a b'], 'line 8'),
        (lambda x: x[:-1] + ['0 ' * 9], '1 clips of each of 3 classes'),
        (
            lambda x: x[:-1] + [' '.join(x[-1].split()[::-1])],
            'then 2 of each in the same order',
        ),
    ],
)
def test_broken_listings_are_named(tmp_path, change, message):
  with pytest.raises(UserError, match=message):
    episodes.read(edited(tmp_path, change), clip_list(), NAMES)


def test_a_clip_named_twice_is_refused(tmp_path):
  def change(lines):
    row = lines[-1].split()
    # Two queries of the first class.
    return lines[:-1] + [' '.join(row[:4] + [row[3]] + row[5:])]

  with pytest.raises(UserError, match='names a clip twice'):
    episodes.read(edited(tmp_path, change), clip_list(), NAMES)


def test_a_missing_listing_is_a_plain_error(tmp_path):
  with pytest.raises(UserError, match='No such file'):
    episodes.read(tmp_path / 'none.txt', clip_list(), NAMES)
  (tmp_path / 'film.mp4').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(UserError, match='it is not text'):
    episodes.read(tmp_path / 'film.mp4', clip_list(), NAMES)


def test_a_class_with_too_few_clips_is_named():
  with pytest.raises(UserError, match=r"2 \+ 2 clips .*'sitting' with 3"):
    make(2, 2, 2)


def test_more_ways_than_classes_are_refused():
  with pytest.raises(UserError, match='5 ways need 5 classes, .* has 4'):
    make(5)


@pytest.mark.parametrize('name', ['way', 'shot', 'query'])
def test_sizes_below_one_are_refused(name):
  with pytest.raises(UserError, match=f'need {name} of 1 or more, not 0'):
    make(**{name: 0})
