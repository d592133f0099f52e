"""Batches of clips and episodes: order, resuming, sharing, views, failures."""

import dataclasses
import itertools
import threading
import time

import numpy as np
import pytest

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip, open_data, pipeline
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
def root(tmp_path_factory):
  return trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')


@pytest.fixture(scope='module')
def sets(root):
  """Three classes of three clips to train on, and one clip each to score."""
  data = trees.data_config(root=str(root))
  return open_data.open_data(data, 1, 1, cache_dir=str(root.parent / 'c'))


def loader(spec=SPEC, **values):
  return Loader(spec, **{'seed': 3, 'workers': 2} | values)


def episodes_of(source, way=2, shot=1, query=1, num=0):
  return EpisodeList(source.clips, source.class_names, way, shot, query, 4, num)


def clip_batches(source, count, size=4, start=0, **values):
  with loader(**values).train(source, size, start) as batches:
    return list(itertools.islice(batches, count))


def episode_batches(source, count, size=4, start=0, **values):
  reader = loader(EPISODIC, **values)
  episodes = episodes_of(source)
  with reader.train_episodes(source, episodes, size, start) as batches:
    return list(itertools.islice(batches, count))


BOTH = pytest.mark.parametrize('batches', [clip_batches, episode_batches])


def same(one, other):
  assert sorted(one) == sorted(other)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def joined(parts):
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def test_a_batch_of_clips_keeps_the_contract(sets):
  (one,) = clip_batches(sets.train, 1)
  assert one['video'].shape == (4, 4, 32, 32, 3)
  contract.check(one, SPEC.num_frames, len(sets.class_names))
  labels = [sets.train.records[i].label for i in one['index']]
  assert one['label'].tolist() == labels
  assert one['mask'].tolist() == [1, 1, 1, 1]


def test_a_batch_of_episodes_keeps_the_contract(sets):
  episodes = episodes_of(sets.train, 3, 1, 2)
  with loader(EPISODIC).train_episodes(sets.train, episodes, 2) as batches:
    one = next(batches)
  assert sorted(one) == sorted(contract.EPISODES)
  assert one['video'].shape == (2, 9, 4, 32, 32, 3)
  contract.check(one, 4, len(sets.class_names))
  assert one['label'].tolist() == [[0, 0, 1, 1, 2, 2]] * 2
  assert one['mask'].tolist() == [1, 1] and one['index'].tolist() == [0, 1]
  np.testing.assert_array_equal(one['way'], episodes.batch(0, 2)['way'])


@BOTH
def test_starting_at_step_n_equals_skipping_n_steps(sets, batches):
  whole = batches(sets.train, 6)
  for start in (1, 2, 5):
    # How many processes there are, and what is read ahead, changes nothing.
    later = batches(
        sets.train, 6 - start, start=start, workers=start, prefetch=start
    )
    for one, other in zip(whole[start:], later, strict=True):
      same(one, other)
  assert batches(sets.train, 1, start=10**7)


@BOTH
@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_each_batch_without_overlap(sets, batches, count):
  whole = batches(sets.train, 3)
  shares = [
      batches(sets.train, 3, process_index=p, process_count=count)
      for p in range(count)
  ]
  for step, one in enumerate(whole):
    same(one, joined([s[step] for s in shares]))


def test_an_epoch_has_every_clip_at_most_once(sets):
  assert len(sets.train) == 9
  stream = clip_batches(sets.train, 4)
  epochs = [
      np.concatenate([b['index'] for b in stream[e : e + 2]]) for e in (0, 2)
  ]
  for epoch in epochs:
    assert len(set(epoch.tolist())) == 8
  assert epochs[0].tolist() != epochs[1].tolist()


def test_fewer_clips_than_rows_give_one_batch_of_all(sets):
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


def test_rows_are_what_the_clip_functions_give(sets):
  (one,) = clip_batches(sets.train, 1, start=5)
  for row, index in enumerate(one['index']):
    generator = randomness.generator(3, 'clip', 2, int(index))
    wanted = one_clip.train_clip(sets.train, int(index), SPEC, generator)
    np.testing.assert_array_equal(one['video'][row], wanted.read())


def test_rows_of_episodes_are_other_views_each_time(sets):
  episodes, seen = episodes_of(sets.train), {}
  for step, one in enumerate(episode_batches(sets.train, 5, 2)):
    for row, episode in enumerate((2 * step, 2 * step + 1)):
      for slot, clip in enumerate(episodes.episode(episode)):
        generator = randomness.generator(3, 'episode clip', episode, clip)
        wanted = one_clip.train_clip(
            sets.train, int(clip), EPISODIC, generator, query=slot >= 2
        ).read()
        np.testing.assert_array_equal(one['video'][row, slot], wanted)
        seen.setdefault(int(clip), []).append(wanted.tobytes())
  views = [v for v in seen.values() if len(v) > 1]
  assert views and all(len(set(v)) == len(v) for v in views)


def test_two_processes_read_halves_that_are_one_epoch(root, tmp_path):
  config = schema.base()
  # 2 clips of each of 3 classes: an epoch of 3 batches has all of them.
  config.data = trees.data_config(root=str(root), shots=2)
  config.batch_size = 2
  config.cache_dir = str(tmp_path)
  trained, scored = [], []
  for process in range(2):
    data = pipeline.Pipeline(config, process_index=process, process_count=2)
    with data.train(0) as stream:
      steps = [next(stream)['index'] for _ in range(data.steps_per_epoch)]
    trained.append(np.concatenate(steps).tolist())
    rows = joined(list(data.evals['test'].batches()))
    scored.append(rows['index'][rows['mask'] > 0].tolist())
  assert [len(t) for t in trained] == [3, 3]
  assert sorted(trained[0] + trained[1]) == list(range(6))
  assert sorted(scored[0] + scored[1]) == list(range(3))
  assert scored[0] and scored[1]


def test_batches_that_do_not_divide_name_one_that_would(sets):
  three, test = loader(process_count=3), sets.tests['test']
  with pytest.raises(UserError, match=r'5 clips .* batch_size=3 or 6 would'):
    three.train(sets.train, 5)
  with pytest.raises(UserError, match=r'eval.batch_size=3 or 6 would'):
    EvalSet(three, test, 4)
  with pytest.raises(UserError, match=r'4 episodes .* episodes.per_step=3 or'):
    three.train_episodes(sets.train, episodes_of(sets.train), 4)
  with pytest.raises(ValueError, match='number of episodes'):
    EvalSet(loader(EPISODIC), sets.train, 4, episodes=episodes_of(sets.train))


def test_frames_are_those_of_the_window(sets):
  """Decoded frames spell their own number."""
  spec = dataclasses.replace(SPEC, crop_pixels=48)
  source = sets.tests['test']
  video = one_clip.eval_clip(source, 1, spec).read()
  start = (source.probe(1).num_frames - 16) // 2
  wanted = read.read_frames(
      source.media(1), start + np.arange(0, 16, 4), source.probe(1)
  )
  assert coded_clips.read_indices(wanted) == [
      start, start + 4, start + 8, start + 12,
  ]  # fmt: skip
  # Frames of 48 x 64 are not resized: the centre crop is a plain cut.
  np.testing.assert_array_equal(video, wanted[:, :, 8:56])


def test_scoring_gives_every_clip_once_per_view(sets):
  source = sets.tests['test']
  listed = EvalSet(loader(), source, 4, 2, 3)
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
      list(
          EvalSet(
              loader(process_index=p, process_count=2), source, 4, 2, 3
          ).batches()
      )
      for p in range(2)
  ]
  for step, one in enumerate(listed.batches()):
    same(rows[step], one)
    same(one, joined([s[step] for s in shares]))


def test_frames_drawn_in_scoring_depend_on_the_seed_and_the_clip(sets):
  one, same_seed, other = (
      next(
          EvalSet(
              loader(EPISODIC, seed=seed), sets.tests['test'], 3
          ).batches()
      )['video']
      for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same_seed)
  assert (one != other).any((1, 2, 3, 4)).all()


def test_scoring_gives_every_episode_once(sets):
  source = sets.train
  episodes = episodes_of(source, num=5)
  listed = EvalSet(loader(EPISODIC), source, 4, 1, 1, episodes, 2)
  rows = list(listed.episode_batches())
  assert [b['mask'].tolist() for b in rows] == [[1, 1], [1, 1], [1, 0]]
  assert [b['index'].tolist() for b in rows] == [[0, 1], [2, 3], [4, 0]]
  assert not rows[2]['video'][1].any()
  contract.check(rows[0], 4, len(source.class_names))
  # A clip looks the same in all episodes, and in the bank.
  bank = joined(list(listed.batches()))
  assert bank['index'][bank['mask'] > 0].tolist() == list(range(9))
  for number in range(5):
    pixels = rows[number // 2]['video'][number % 2]
    np.testing.assert_array_equal(
        pixels, bank['video'][episodes.episode(number)]
    )
  shares = [
      list(
          EvalSet(
              loader(EPISODIC, process_index=p, process_count=2),
              source, 4, 1, 1, episodes, 2,
          ).episode_batches()
      )
      for p in range(2)
  ]  # fmt: skip
  for step, one in enumerate(rows):
    same(one, joined([s[step] for s in shares]))


def folder_of(tmp_path, lines, **lengths):
  for name, length in lengths.items():
    coded_clips.write(tmp_path / f'{name}.mp4', num_frames=length, fps=25)
  text = '\n'.join(['path,label,start,end', *lines])
  (tmp_path / 'train.csv').write_text(text)
  data = trees.data_config(
      name='folder', root=str(tmp_path), train_list='train.csv'
  )
  return open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c')).train


def test_pieces_of_a_film_are_cut_by_time(tmp_path):
  lines = ['film.mp4,a,0,1', 'film.mp4,b,2,3.2']
  source = folder_of(tmp_path, lines, film=100)
  assert [source.span(i) for i in (0, 1)] == [(0, 25), (50, 30)]
  spec = dataclasses.replace(SPEC, window_frames=32, crop_pixels=48)
  rows = next(EvalSet(loader(spec), source, 2).batches())['video']
  wanted = read.read_frames(str(tmp_path / 'film.mp4'), [50, 57, 64, 71])
  np.testing.assert_array_equal(rows[1], wanted[:, :, 8:56])


def test_clips_shorter_than_t_repeat_their_last_frame(tmp_path):
  source = folder_of(tmp_path, ['short.mp4,a,,', 'long.mp4,b,,'],
                     short=3, long=20)  # fmt: skip
  spec = dataclasses.replace(EPISODIC, num_frames=8)
  clip = next(EvalSet(loader(spec), source, 2).batches())['video'][0]
  assert len({f.tobytes() for f in clip}) <= 3
  np.testing.assert_array_equal(clip[2:], np.repeat(clip[2:3], 6, axis=0))


def test_a_clip_that_goes_missing_is_named_in_a_plain_error(tmp_path, capfd):
  root = trees.make_ucf(tmp_path / 'ucf')
  data = trees.data_config(root=str(root))
  sets = open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c'))
  (root / 'UCF-101' / trees.clip_key('YoYo', 3)).unlink()
  with pytest.raises(UserError, match='v_YoYo_g03_c01.avi') as error:
    clip_batches(sets.train, 3, 3)
  assert 'tensorflow' not in str(error.value).lower()
  assert capfd.readouterr().err == ''


def test_a_clip_that_fails_later_is_replaced_by_the_seed(tmp_path, capsys):
  root = trees.make_ucf(tmp_path / 'ucf')
  config = schema.base()
  config.data = trees.data_config(root=str(root), on_broken='skip')
  config.batch_size, config.cache_dir = 3, str(tmp_path / 'c')
  bad = trees.clip_key('YoYo', 3)

  def run():
    data = pipeline.Pipeline(config)
    data.write(tmp_path / 'run')
    (root / 'UCF-101' / bad).rename(tmp_path / 'gone')
    with data.train(0) as batches:
      indices = [next(batches)['index'].tolist() for _ in range(9)]
    (tmp_path / 'gone').rename(root / 'UCF-101' / bad)
    return data, sum(indices, [])

  (data, indices), (_, again) = run(), run()
  assert indices == again
  keys = [r.key for r in open_data.open_data(
      config.data, 1, 1, cache_dir=config.cache_dir).train.records]  # fmt: skip
  ((clip, other),) = data.description['lists']['train']['replaced'].items()
  assert clip == bad and other != bad and 'YoYo' in other
  assert keys.index(bad) not in indices
  # Three epochs: the other one comes twice in each.
  assert indices.count(keys.index(other)) == 6
  listed = (tmp_path / 'run' / 'lists' / 'skipped.txt').read_text()
  assert listed.startswith(f'train\t{bad}\t') and other in listed
  assert capsys.readouterr().err.count(f'{other} takes its place') == 2


def open_skipping(tmp_path, **values):
  """A folder of videos, and a config that leaves out what cannot be read."""
  root = trees.make_ucf(tmp_path / 'ucf')
  lists = {
      f'{role}_list': trees.write_vifi(tmp_path / role, groups)
      for role, groups in (('train', (4,)), ('test', (1, 2, 3)))
  }
  config = schema.base()
  config.data = trees.data_config(root=str(root), on_broken='skip', **lists)
  config.batch_size, config.cache_dir = 4, str(tmp_path / 'c')
  config.eval.crops = 3
  config.episodes.update(values)
  return root / 'UCF-101', config


def test_a_scored_clip_that_fails_later_is_left_out(tmp_path, capsys):
  root, config = open_skipping(tmp_path)
  data = pipeline.Pipeline(config, evaluate_only=True)
  data.write(tmp_path / 'run')
  listed = data.evals['test']
  gone = trees.clip_key('ApplyEyeMakeup', 2)
  (root / gone).unlink()
  whole = joined(list(listed.batches()))
  kept = whole['mask'] > 0
  assert listed.skips and set(whole['index'][kept]) == {0, *range(2, 9)}
  assert not whole['video'][~kept].any()
  assert list(data.description['lists']['test']['unread']) == [gone]
  written = (tmp_path / 'run' / 'lists' / 'skipped.txt').read_text()
  assert written.count('\n') == 1 and written.startswith(f'test\t{gone}\t')
  assert capsys.readouterr().err.count('left out of test') == 1


def test_a_clip_of_episodes_that_fails_later_is_replaced(tmp_path):
  root, config = open_skipping(
      tmp_path, way=2, shot=1, test_query=1, test_episodes=6, per_step=2
  )
  data = pipeline.Pipeline(config, evaluate_only=True, episodic=True)
  listed = data.evals['test']
  records, gone = listed.episodes.clips.records, 1
  (root / records[gone].key).unlink()
  bank = {
      int(i): v
      for b in listed.batches()
      for i, v, m in zip(b['index'], b['video'], b['mask'], strict=True)
      if m
  }
  assert set(bank) == set(range(9)) - {gone}
  drawn = listed.episodes.batch(0, 6)['clips']
  clips = listed.without(drawn, {gone})
  changed = clips != drawn
  assert changed.any() and (drawn[changed] == gone).all()
  assert all(len(set(row)) == len(row) for row in clips.tolist())
  labels = [r.label for r in records]
  assert [labels[k] for k in clips[changed]] == [labels[gone]] * changed.sum()
  # From pixels the same clips take its place.
  videos = joined(list(listed.episode_batches()))['video']
  for row, video in zip(clips, videos, strict=True):
    np.testing.assert_array_equal(video, np.stack([bank[k] for k in row]))
  about = data.description['lists']['test']
  assert list(about['replaced']) == list(about['unread'])
  with pytest.raises(UserError, match='no other clip of its class'):
    listed.without(drawn, set(range(9)))


def test_closing_stops_the_threads_at_once(sets):
  stream = loader(prefetch=8).train(sets.train, 4)
  next(stream)
  started = time.time()
  stream.close()
  assert time.time() - started < 5
  assert list(stream) == []
  before = threading.active_count()
  time.sleep(0.1)
  assert threading.active_count() <= before


def test_stats_count_clips_and_waiting(sets):
  with loader().train(sets.train, 4) as stream:
    assert stream.stats() == {'clips_per_second': 0.0, 'wait_seconds': 0.0}
    started = time.perf_counter()
    next(stream)
    next(stream)
    stats = stream.stats()
    assert 0 < stats['wait_seconds'] < time.perf_counter() - started
    assert stats['clips_per_second'] > 0
    time.sleep(0.2)
    assert stream.stats()['clips_per_second'] < stats['clips_per_second']
