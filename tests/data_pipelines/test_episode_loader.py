"""Batches of episodes: contract, replay, sharing, padding, short clips."""

import dataclasses

import numpy as np
import pytest

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.lists.episodes import EpisodeList
from data_pipelines.loaders import clip_frames, open_data
from data_pipelines.loaders.episodes import EvalEpisodes, TrainEpisodes
from data_pipelines.views import clip_fsar
from evclip_jax.training import batch as contract
from tests.data_pipelines import coded_clips, trees

SPEC = clip_fsar.Spec(4, 32, query_augment=True)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """Three classes with three clips each."""
  root = trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')
  data = trees.data_config(root=str(root))
  sets = open_data.open_data(data, 1, 1, cache_dir=str(root.parent / 'c'))
  return sets.train


def episodes_of(source, way=2, shot=1, query=1, num=0):
  return EpisodeList(
      source.clips, source.class_names, way, shot, query, 4, num
  )


def batches(source, count, per_step=2, **values):
  options = {'spec': SPEC, 'seed': 3, 'workers': 2} | values
  episodes = options.pop('episodes', None) or episodes_of(source)
  with TrainEpisodes(source, episodes, per_step, **options) as stream:
    return [next(stream) for _ in range(count)]


def same(one, other):
  assert sorted(one) == sorted(other)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def joined(parts):
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def test_a_batch_keeps_the_contract(source):
  episodes = episodes_of(source, 3, 1, 2)
  (one,) = batches(source, 1, episodes=episodes)
  assert sorted(one) == sorted(contract.EPISODES)
  assert one['video'].shape == (2, 9, 4, 32, 32, 3)
  contract.check(one, 4, len(source.class_names))
  assert one['label'].tolist() == [[0, 0, 1, 1, 2, 2]] * 2
  assert one['mask'].tolist() == [1, 1] and one['index'].tolist() == [0, 1]
  same({'way': one['way']}, {'way': episodes.batch(0, 2)['way']})


def test_rows_are_training_views_of_the_episodes_clips(source):
  episodes = episodes_of(source)
  one = batches(source, 3)[2]
  for row, episode in enumerate((4, 5)):
    for slot, clip in enumerate(episodes.episode(episode)):
      generator = randomness.generator(3, 'episode clip', episode, clip)
      wanted = clip_frames.train_clip(
          source, int(clip), SPEC, generator, query=slot >= 2
      )
      np.testing.assert_array_equal(one['video'][row, slot], wanted.read())


def test_starting_at_step_n_equals_skipping_n_steps(source):
  whole = batches(source, 4)
  for start in (1, 3):
    later = batches(source, 4 - start, start_step=start, workers=1)
    for one, other in zip(whole[start:], later, strict=True):
      same(one, other)
  far = batches(source, 1, start_step=10**7)[0]
  assert far['index'].tolist() == [2 * 10**7, 2 * 10**7 + 1]


def test_processes_read_disjoint_halves_of_distinct_episodes(source):
  whole = batches(source, 3, 4)
  shares = [
      batches(source, 3, 4, process_index=p, process_count=2)
      for p in range(2)
  ]
  for step, one in enumerate(whole):
    same(one, joined([s[step] for s in shares]))
  numbers = [n for s in shares for b in s for n in b['index'].tolist()]
  assert sorted(numbers) == list(range(12))
  with pytest.raises(UserError, match='3 episodes does not divide over 2'):
    batches(source, 1, 3, process_count=2)


def test_a_clip_looks_different_in_every_episode(source):
  seen = {}
  episodes = episodes_of(source)
  for step, one in enumerate(batches(source, 5)):
    for row in range(2):
      for slot, clip in enumerate(episodes.episode(2 * step + row)):
        seen.setdefault(int(clip), []).append(one['video'][row, slot].tobytes())
  views = [v for v in seen.values() if len(v) > 1]
  assert views and all(len(set(v)) == len(v) for v in views)


def test_listed_episodes_come_again_with_other_views(source):
  episodes = episodes_of(source, num=3)
  stream = batches(source, 3, episodes=episodes)
  assert [b['index'].tolist() for b in stream] == [[0, 1], [2, 0], [1, 2]]
  np.testing.assert_array_equal(stream[1]['way'][1], stream[0]['way'][0])
  assert (stream[1]['video'][1] != stream[0]['video'][0]).any()


def test_scoring_gives_every_episode_once(source):
  episodes = episodes_of(source, num=5)
  loader = EvalEpisodes(source, episodes, 4, SPEC, seed=9, per_batch=2)
  assert (loader.num_batches, loader.num_views) == (3, 1)
  rows = list(loader.episode_batches())
  assert [b['mask'].tolist() for b in rows] == [[1, 1], [1, 1], [1, 0]]
  assert [b['index'].tolist() for b in rows] == [[0, 1], [2, 3], [4, 0]]
  assert not rows[2]['video'][1].any()
  contract.check(rows[0], 4, len(source.class_names))
  for number in range(5):
    for slot, clip in enumerate(episodes.episode(number)):
      wanted = clip_frames.eval_clip(source, int(clip), SPEC, seed=9)
      pixels = rows[number // 2]['video'][number % 2, slot]
      np.testing.assert_array_equal(pixels, wanted.read())


def test_the_bank_sees_what_the_episodes_see(source):
  episodes = episodes_of(source, num=3)
  loader = EvalEpisodes(source, episodes, 4, SPEC, seed=9)
  bank = joined(list(loader.batches()))
  assert bank['index'][bank['mask'] > 0].tolist() == list(range(9))
  for number, one in enumerate(loader.episode_batches()):
    clips = episodes.batch(number, 1)['clips']
    np.testing.assert_array_equal(one['video'], bank['video'][clips])


def test_scoring_goes_on_from_any_episode(source):
  episodes = episodes_of(source, num=5)
  loader = EvalEpisodes(source, episodes, 4, SPEC, per_batch=2)
  whole = joined(list(loader.episode_batches()))
  later = list(loader.episode_batches(3))
  assert [b['index'].tolist() for b in later] == [[3, 4]]
  np.testing.assert_array_equal(later[0]['video'], whole['video'][3:5])
  assert list(loader.episode_batches(5)) == []


def test_processes_share_the_scoring(source):
  episodes = episodes_of(source, num=3)
  whole = list(EvalEpisodes(source, episodes, 4, SPEC, per_batch=2)
               .episode_batches())  # fmt: skip
  shares = [
      list(
          EvalEpisodes(
              source, episodes, 4, SPEC, process_index=p, process_count=2
          ).episode_batches()
      )
      for p in range(2)
  ]
  for step, one in enumerate(whole):
    same(one, joined([s[step] for s in shares]))


def test_clips_shorter_than_t_repeat_their_last_frame(tmp_path):
  for name, length in (('a', 3), ('b', 20)):
    (tmp_path / name).mkdir()
    for k in range(4):
      coded_clips.write(tmp_path / name / f'{k}.mp4', num_frames=length)
  lines = ['path,label'] + [f'{c}/{k}.mp4,{c}' for c in 'ab' for k in range(4)]
  (tmp_path / 'train.csv').write_text('\n'.join(lines))
  data = trees.data_config(
      name='folder', root=str(tmp_path), train_list='train.csv'
  )
  source = open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c')).train
  spec = dataclasses.replace(SPEC, num_frames=8, query_augment=False)
  (one,) = batches(source, 1, 1, spec=spec)
  short = one['way'][0].tolist().index(source.class_names.index('a'))
  clip = one['video'][0, short]
  assert len({f.tobytes() for f in clip}) <= 3
  np.testing.assert_array_equal(clip[2:], np.repeat(clip[2:3], 6, axis=0))


def test_scoring_without_end_is_refused(source):
  with pytest.raises(ValueError, match='number of episodes'):
    EvalEpisodes(source, episodes_of(source), 4, SPEC)
