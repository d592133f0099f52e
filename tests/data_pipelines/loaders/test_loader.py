"""Batches of clips and episodes: order, resuming, sharing, views."""

import dataclasses
import itertools
import threading
import time

import numpy as np
import pytest

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip, pipeline
from data_pipelines.loaders.batches import Batches
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.eval_set import EvalSet
from data_pipelines.loaders.loader import Loader, steps_per_epoch
from data_pipelines.video import read
from data_pipelines.views import clip_fsar, ev_clip
from evclip_jax.config import schema
from evclip_jax.training import batch as contract
from tests.data_pipelines import coded_clips, trees

SPEC = ev_clip.Spec(4, 16, 'random', 48, 64, 32)
EPISODIC = clip_fsar.Spec(4, 32, query_augment=True)


@pytest.fixture(scope='module')
def sets(root):
  """Three classes of three clips to train on, and one clip each to score."""
  return trees.open_sets(root)


def loader(spec=SPEC, **values):
  return Loader(spec, **{'seed': 3, 'workers': 2} | values)


def episodes_of(source, way=2, shot=1, query=1, num=0):
  return EpisodeList(source.clips, source.class_names, way, shot, query, 4, num)


def taken(rows, count):
  with Batches(rows) as batches:
    return list(itertools.islice(batches, count))


def clip_batches(source, count, size=4, start=0, **values):
  return taken(loader(**values).train(source, size, start), count)


def episode_batches(source, count, size=4, start=0, **values):
  reader, episodes = loader(EPISODIC, **values), episodes_of(source)
  return taken(reader.train_episodes(source, episodes, size, start), count)


def scored(spec, source, *sizes, **values):
  return EvalSet(loader(spec, **values), source, *sizes)


BOTH = pytest.mark.parametrize('batches', [clip_batches, episode_batches])


def same(one, other):
  assert sorted(one) == sorted(other)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def joined(parts):
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def test_rows_of_clips_keep_the_contract_and_are_the_clips(sets):
  (one,) = clip_batches(sets.train, 1, start=5)
  assert one['video'].shape == (4, 4, 32, 32, 3)
  contract.check(one, SPEC.num_frames, len(sets.class_names))
  labels = [sets.train.records[i].label for i in one['index']]
  assert one['label'].tolist() == labels
  assert one['mask'].tolist() == [1, 1, 1, 1]
  for row, index in enumerate(one['index'].tolist()):
    generator = randomness.generator(3, 'clip', 2, index)
    wanted = one_clip.train_clip(sets.train, index, SPEC, generator)
    np.testing.assert_array_equal(one['video'][row], wanted.read())


def test_rows_of_episodes_keep_the_contract_and_are_other_views_each_time(sets):
  episodes, seen = episodes_of(sets.train, 3, 1, 2), {}
  rows = loader(EPISODIC).train_episodes(sets.train, episodes, 2)
  parts = taken(rows, 5)
  assert sorted(parts[0]) == sorted(contract.EPISODES)
  contract.check(parts[0], 4, len(sets.class_names))
  whole, drawn = joined(parts), episodes.batch(0, 10)
  for name in contract.EPISODES.keys() - {'video'}:
    np.testing.assert_array_equal(whole[name], drawn[name])
  for episode, video in enumerate(whole['video']):
    for slot, clip in enumerate(episodes.episode(episode).tolist()):
      generator = randomness.generator(3, 'episode clip', episode, clip)
      wanted = one_clip.train_clip(
          sets.train, clip, EPISODIC, generator, query=slot >= 3
      ).read()
      np.testing.assert_array_equal(video[slot], wanted)
      seen.setdefault(clip, []).append(wanted.tobytes())
  views = [v for v in seen.values() if len(v) > 1]
  assert views and all(len(set(v)) == len(v) for v in views)


@BOTH
def test_starting_at_step_n_equals_skipping_n_steps(sets, batches):
  whole = batches(sets.train, 6)
  for start in (1, 2, 5):
    # How many processes there are, and what is read ahead, changes nothing.
    how = {'start': start, 'workers': start, 'prefetch': start}
    later = batches(sets.train, 6 - start, **how)
    for one, other in zip(whole[start:], later, strict=True):
      same(one, other)
  assert batches(sets.train, 1, start=10**7)


@BOTH
@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_each_batch_without_overlap(sets, batches, count):
  shares = [
      batches(sets.train, 3, process_index=p, process_count=count)
      for p in range(count)
  ]
  for one, *parts in zip(batches(sets.train, 3), *shares, strict=True):
    same(one, joined(parts))


def test_an_epoch_has_every_clip_at_most_once(sets):
  indices = [b['index'].tolist() for b in clip_batches(sets.train, 4)]
  epochs = indices[0] + indices[1], indices[2] + indices[3]
  assert [len(set(epoch)) for epoch in epochs] == [8, 8]
  assert epochs[0] != epochs[1] and len(sets.train) == 9
  # Fewer clips than rows give one batch of all.
  (one,) = clip_batches(sets.train, 1, 64)
  assert sorted(one['index'].tolist()) == list(range(9))
  assert (steps_per_epoch(9, 64), steps_per_epoch(9, 4)) == (1, 2)


def test_seeds_and_epochs_draw_other_crops(sets):
  one, other = (
      {int(i): v for b in clip_batches(sets.train, 3, 3, seed=s)
       for i, v in zip(b['index'], b['video'], strict=True)}
      for s in (1, 2)
  )  # fmt: skip
  assert sorted(one) == sorted(other) == list(range(9))
  assert sum(not np.array_equal(one[i], other[i]) for i in one) >= 7


def test_two_processes_read_halves_that_are_one_epoch(root, tmp_path):
  config = schema.base()
  # 2 clips of each of 3 classes: an epoch of 3 batches has all of them.
  config.data = trees.data_config(root=str(root), shots=2)
  config.batch_size, config.cache_dir = 2, str(tmp_path)
  trained, tested = [], []
  for process in range(2):
    data = pipeline.Pipeline(config, process_index=process, process_count=2)
    with data.train(0) as stream:
      steps = [next(stream)['index'] for _ in range(data.steps_per_epoch)]
    trained.append(np.concatenate(steps).tolist())
    rows = joined(list(data.evals['test'].batches()))
    tested.append(rows['index'][rows['mask'] > 0].tolist())
  assert [len(t) for t in trained] == [3, 3] and all(tested)
  assert sorted(trained[0] + trained[1]) == list(range(6))
  assert sorted(tested[0] + tested[1]) == list(range(3))
  config.batch_size = 3
  with pytest.raises(UserError, match=r'; use batch_size=2 or 4'):
    pipeline.Pipeline(config, process_count=2)


def test_batches_that_do_not_divide_name_one_that_would(sets):
  three, test = loader(process_count=3), sets.tests['test']
  with pytest.raises(UserError, match=r'5 clips .* use batch_size=3 or 6'):
    three.train(sets.train, 5)
  with pytest.raises(UserError, match=r'use eval.batch_size=3 or 6'):
    EvalSet(three, test, 4)
  with pytest.raises(UserError, match=r'4 episodes .* episodes.per_step=3 or'):
    three.train_episodes(sets.train, episodes_of(sets.train), 4)


def test_frames_are_those_of_the_window(sets):
  """Decoded frames spell their own number."""
  spec = dataclasses.replace(SPEC, crop_pixels=48)
  source = sets.tests['test']
  video = one_clip.eval_clip(source, 1, spec).read()
  start = (source.probe(1).num_frames - 16) // 2
  numbers = [start, start + 4, start + 8, start + 12]
  wanted = read.read_frames(source.media(1), numbers, source.probe(1))
  assert coded_clips.read_indices(wanted) == numbers
  # Frames of 48 x 64 are not resized: the centre crop is a plain cut.
  np.testing.assert_array_equal(video, wanted[:, :, 8:56])


def test_scoring_gives_every_clip_once_per_view(sets):
  sizes = sets.tests['test'], 4, 2, 3
  listed = scored(SPEC, *sizes)
  assert (listed.name, listed.num_clips, listed.num_views) == ('test', 3, 6)
  rows = list(listed.batches())
  assert len(rows) == listed.num_batches == 5
  whole = joined(rows)
  assert whole['mask'].tolist() == [1.0] * 18 + [0.0] * 2
  seen = zip(whole['index'][:18], whole['view'][:18], strict=True)
  assert list(seen) == list(itertools.product(range(3), range(6)))
  assert not rows[-1]['video'][-1].any()
  # The views of a clip are different parts of it.
  assert len({v.tobytes() for v in whole['video'][:6]}) == 6
  # A second pass is the same, and processes share it.
  shares = [
      scored(SPEC, *sizes, process_index=p, process_count=2).batches()
      for p in range(2)
  ]
  for one, again, *parts in zip(rows, listed.batches(), *shares, strict=True):
    same(one, again)
    same(one, joined(parts))


def test_frames_drawn_in_scoring_depend_on_the_seed_and_the_clip(sets):
  one, same_seed, other = (
      next(scored(EPISODIC, sets.tests['test'], 3, seed=s).batches())['video']
      for s in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same_seed)
  assert (one != other).any((1, 2, 3, 4)).all()


def test_scoring_gives_every_episode_once(sets):
  source = sets.train
  episodes = episodes_of(source, num=5)
  sizes = source, 4, 1, 1, episodes, 2
  listed = scored(EPISODIC, *sizes)
  rows = list(listed.episode_batches())
  assert [b['mask'].tolist() for b in rows] == [[1, 1], [1, 1], [1, 0]]
  assert [b['index'].tolist() for b in rows] == [[0, 1], [2, 3], [4, 0]]
  assert not rows[2]['video'][1].any()
  contract.check(rows[0], 4, len(source.class_names))
  # A clip looks the same in all episodes, and in the bank.
  bank = joined(list(listed.batches()))
  assert bank['index'][bank['mask'] > 0].tolist() == list(range(9))
  for number, video in enumerate(joined(rows)['video'][:5]):
    np.testing.assert_array_equal(
        video, bank['video'][episodes.episode(number)]
    )
  shares = [
      scored(EPISODIC, *sizes, process_index=p, process_count=2)
      for p in range(2)
  ]
  shares = [list(share.episode_batches()) for share in shares]
  for one, *parts in zip(rows, *shares, strict=True):
    same(one, joined(parts))


def test_pieces_of_a_film_are_cut_by_time(tmp_path):
  coded_clips.write(tmp_path / 'film.mp4', num_frames=100)
  lines = 'path,label,start,end', 'film.mp4,a,0,1', 'film.mp4,b,2,3.2'
  file = trees.write_lines(tmp_path / 'train.csv', *lines)
  source = trees.open_sets(tmp_path, name='folder', train_list=file).train
  assert [source.span(i) for i in (0, 1)] == [(0, 25), (50, 30)]
  spec = dataclasses.replace(SPEC, window_frames=32, crop_pixels=48)
  rows = next(scored(spec, source, 2).batches())['video']
  wanted = read.read_frames(str(tmp_path / 'film.mp4'), [50, 57, 64, 71])
  np.testing.assert_array_equal(rows[1], wanted[:, :, 8:56])


def test_closing_stops_the_threads_at_once(sets):
  stream = Batches(loader(prefetch=8).train(sets.train, 4))
  next(stream)
  started = time.time()
  stream.close()
  assert time.time() - started < 5
  assert list(stream) == []
  before = threading.active_count()
  time.sleep(0.1)
  assert threading.active_count() <= before


def test_stats_count_clips_and_waiting(sets):
  with Batches(loader().train(sets.train, 4)) as stream:
    assert stream.stats() == {'clips_per_second': 0.0, 'wait_seconds': 0.0}
    started = time.perf_counter()
    next(stream)
    next(stream)
    stats = stream.stats()
    assert 0 < stats['wait_seconds'] < time.perf_counter() - started
    assert stats['clips_per_second'] > 0
    time.sleep(0.2)
    assert stream.stats()['clips_per_second'] < stats['clips_per_second']
