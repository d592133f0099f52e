"""Batches: order, resuming, sharing, views, padding, failures, closing."""

import dataclasses
import itertools
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import clip_frames, open_data, pipeline
from data_pipelines.loaders.clips import EvalLoader, TrainLoader
from data_pipelines.video import read
from data_pipelines.views import clip_fsar, ev_clip
from evclip_jax.config import schema
from tests.data_pipelines import coded_clips, trees

SPEC = ev_clip.Spec(
    num_frames=4,
    window_frames=16,
    train_temporal='random',
    resize_height=48,
    resize_width=64,
    crop_pixels=32,
)


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
  root = trees.make_ucf(tmp_path_factory.mktemp('data') / 'ucf')
  data = trees.data_config(root=str(root))
  return open_data.open_data(data, 1, 1, cache_dir=str(root.parent / 'c'))


def batches(source, count, batch_size=4, **values):
  options = {'spec': SPEC, 'seed': 3, 'workers': 2} | values
  with TrainLoader(source, batch_size, **options) as stream:
    return [next(stream) for _ in range(count)]


def same(one, other):
  assert sorted(one) == sorted(other)
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def test_batch_contract(sets):
  from evclip_jax.training import batch as contract

  (one,) = batches(sets.train, 1)
  assert one['video'].shape == (4, 4, 32, 32, 3)
  contract.check(one, SPEC.num_frames, len(sets.class_names))
  labels = [sets.train.records[i].label for i in one['index']]
  assert one['label'].tolist() == labels
  assert one['mask'].tolist() == [1, 1, 1, 1]


def test_starting_at_step_n_equals_skipping_n_steps(sets):
  whole = batches(sets.train, 7)
  for start in (1, 2, 5):
    later = batches(sets.train, 7 - start, start_step=start)
    for one, other in zip(whole[start:], later, strict=True):
      same(one, other)


def test_workers_and_prefetch_change_nothing(sets):
  one = batches(sets.train, 4, workers=1, prefetch=1)
  other = batches(sets.train, 4, workers=3, prefetch=4)
  for a, b in zip(one, other, strict=True):
    same(a, b)


def test_an_epoch_has_every_clip_at_most_once(sets):
  assert len(sets.train) == 9
  stream = batches(sets.train, 4)
  epochs = [
      np.concatenate([b['index'] for b in stream[e : e + 2]]) for e in (0, 2)
  ]
  for epoch in epochs:
    assert len(set(epoch.tolist())) == 8
  assert epochs[0].tolist() != epochs[1].tolist()


def test_seeds_and_epochs_draw_other_crops(sets):
  one, other = (
      {int(i): v for b in batches(sets.train, 3, 3, seed=s)
       for i, v in zip(b['index'], b['video'], strict=True)}
      for s in (1, 2)
  )  # fmt: skip
  assert sorted(one) == sorted(other) == list(range(9))
  assert sum(not np.array_equal(one[i], other[i]) for i in one) >= 7


def test_fewer_clips_than_rows_give_one_batch_of_all(sets):
  stream = TrainLoader(sets.train, 64, SPEC, seed=1)
  assert (stream.batch_size, stream.steps_per_epoch) == (9, 1)
  assert sorted(next(stream)['index'].tolist()) == list(range(9))
  stream.close()


@pytest.mark.parametrize('count', [2, 4])
def test_processes_share_each_batch_without_overlap(sets, count):
  whole = batches(sets.train, 5)
  shares = [
      batches(sets.train, 5, process_index=p, process_count=count)
      for p in range(count)
  ]
  for step, one in enumerate(whole):
    joined = {
        name: np.concatenate([s[step][name] for s in shares]) for name in one
    }
    same(one, joined)


def test_two_processes_read_halves_that_are_one_epoch(sets, tmp_path):
  config = schema.base()
  # 2 clips of each of 3 classes: an epoch of 3 batches has all of them.
  root = str(pathlib.Path(sets.train.store.root).parent)
  config.data = trees.data_config(root=root, shots=2)
  config.batch_size = 2
  config.cache_dir = str(tmp_path)
  trained, scored = [], []
  for process in range(2):
    data = pipeline.open_pipeline(
        config, process_index=process, process_count=2
    )
    with data.train(0) as stream:
      steps = [next(stream)['index'] for _ in range(data.steps_per_epoch)]
    trained.append(np.concatenate(steps).tolist())
    scored.append(
        [
            int(index)
            for batch in data.evals['test']
            for index, real in zip(batch['index'], batch['mask'], strict=True)
            if real
        ]
    )
  assert [len(t) for t in trained] == [3, 3]
  assert sorted(trained[0] + trained[1]) == list(range(6))
  assert sorted(scored[0] + scored[1]) == list(range(3))
  assert scored[0] and scored[1]


def test_a_batch_that_does_not_divide_names_one_that_would(sets):
  with pytest.raises(UserError, match='batch_size=3 or 6 would'):
    TrainLoader(sets.train, 5, SPEC, seed=1, process_count=3)


def test_rows_are_what_the_clip_functions_give(sets):
  (one,) = batches(sets.train, 1, start_step=5)
  for row, index in enumerate(one['index']):
    generator = randomness.generator(3, 'clip', 2, int(index))
    wanted = clip_frames.train_clip(sets.train, int(index), SPEC, generator)
    np.testing.assert_array_equal(one['video'][row], wanted.read())


def test_frames_are_those_of_the_window(sets):
  """Decoded frames spell their own number."""
  spec = dataclasses.replace(SPEC, crop_pixels=48)
  video = clip_frames.eval_clip(sets.tests['test'], 1, spec).read()
  source, probe = sets.tests['test'].read(1)
  start = (probe.num_frames - 16) // 2
  wanted = read.read_frames(source, start + np.arange(0, 16, 4), probe)
  assert coded_clips.read_indices(wanted) == [
      start, start + 4, start + 8, start + 12,
  ]  # fmt: skip
  # Frames of 48 x 64 are not resized: the centre crop is a plain cut.
  np.testing.assert_array_equal(video, wanted[:, :, 8:56])


def test_scoring_gives_every_clip_once_per_view(sets):
  source = sets.tests['test']
  stream = EvalLoader(source, 4, SPEC, clips=2, crops=3, workers=2)
  assert (stream.name, stream.num_clips, stream.num_views) == ('test', 3, 6)
  rows = list(stream.batches())
  assert len(rows) == stream.num_batches == 5
  mask = np.concatenate([b['mask'] for b in rows])
  assert mask.tolist() == [1.0] * 18 + [0.0] * 2
  seen = [
      (int(i), int(v))
      for b in rows
      for i, v, m in zip(b['index'], b['view'], b['mask'], strict=True)
      if m
  ]
  assert seen == list(itertools.product(range(3), range(6)))
  assert not rows[-1]['video'][-1].any()
  # A second pass is the same.
  for one, other in zip(rows, stream, strict=True):
    same(one, other)


def test_chosen_clips_keep_their_numbers(sets):
  source = sets.tests['test']
  whole = next(iter(EvalLoader(source, 3, SPEC)))
  part = EvalLoader(source, 2, SPEC, positions=[2, 0])
  assert (part.num_clips, part.num_batches) == (2, 1)
  (batch,) = part.batches()
  assert batch['index'].tolist() == [2, 0]
  np.testing.assert_array_equal(batch['video'], whole['video'][[2, 0]])
  np.testing.assert_array_equal(batch['label'], whole['label'][[2, 0]])


def test_frames_drawn_in_scoring_depend_on_the_seed_and_the_clip(sets):
  spec = clip_fsar.Spec(4, 32)
  source = sets.tests['test']
  one, same_seed, other = (
      next(iter(EvalLoader(source, 3, spec, seed=seed)))['video']
      for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same_seed)
  assert (one != other).any((1, 2, 3, 4)).all()
  alone = EvalLoader(source, 1, spec, seed=1, positions=[2])
  np.testing.assert_array_equal(next(iter(alone))['video'][0], one[2])


def test_views_are_different_parts(sets):
  stream = EvalLoader(sets.tests['test'], 6, SPEC, clips=2, crops=3)
  first = next(stream.batches())['video']
  assert len({v.tobytes() for v in first}) == 6
  spec = dataclasses.replace(SPEC, crop_pixels=48)
  left, middle, right = (
      clip_frames.eval_clip(sets.tests['test'], 0, spec, v, 1, 3).read()
      for v in range(3)
  )
  np.testing.assert_array_equal(left[..., 8:, :], middle[..., :-8, :])
  np.testing.assert_array_equal(middle[..., 8:, :], right[..., :-8, :])


def test_processes_share_the_scoring(sets):
  source = sets.tests['test']
  whole = list(EvalLoader(source, 4, SPEC, crops=3))
  shares = [
      list(EvalLoader(source, 4, SPEC, crops=3, process_index=p,
                      process_count=2))
      for p in range(2)
  ]  # fmt: skip
  for step, one in enumerate(whole):
    same(
        one,
        {n: np.concatenate([s[step][n] for s in shares]) for n in one},
    )


def test_pieces_of_a_film_are_cut_by_time(tmp_path):
  (tmp_path / 'd').mkdir()
  coded_clips.write(tmp_path / 'd' / 'film.mp4', num_frames=100, fps=25)
  lines = ['path,label,start,end', 'd/film.mp4,a,0,1', 'd/film.mp4,b,2,3.2']
  (tmp_path / 'train.csv').write_text('\n'.join(lines))
  data = trees.data_config(
      name='folder', root=str(tmp_path), train_list='train.csv'
  )
  sets = open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c'))
  assert [sets.train.span(i) for i in (0, 1)] == [(0, 25), (50, 30)]
  spec = dataclasses.replace(SPEC, window_frames=32, crop_pixels=48)
  rows = next(iter(EvalLoader(sets.train, 2, spec)))['video']
  wanted = read.read_frames(
      str(tmp_path / 'd' / 'film.mp4'), [50, 57, 64, 71]
  )
  np.testing.assert_array_equal(rows[1], wanted[:, :, 8:56])


def test_a_clip_that_goes_missing_is_named_in_a_plain_error(tmp_path):
  root = trees.make_ucf(tmp_path / 'ucf')
  data = trees.data_config(root=str(root))
  sets = open_data.open_data(data, 1, 1, cache_dir=str(tmp_path / 'c'))
  (root / 'UCF-101' / trees.clip_key('YoYo', 3)).unlink()
  with pytest.raises(UserError, match='v_YoYo_g03_c01.avi') as error:
    batches(sets.train, 3, 3)
  assert 'tensorflow' not in str(error.value).lower()


def test_closing_stops_the_threads_at_once(sets):
  stream = TrainLoader(sets.train, 4, SPEC, seed=1, prefetch=8)
  next(stream)
  started = time.time()
  stream.close()
  assert time.time() - started < 5
  assert list(stream) == []
  before = threading.active_count()
  time.sleep(0.1)
  assert threading.active_count() <= before


def test_stats_count_clips_and_waiting(sets):
  with TrainLoader(sets.train, 4, SPEC, seed=1) as stream:
    assert stream.stats() == {'clips_per_second': 0.0, 'wait_seconds': 0.0}
    started = time.perf_counter()
    next(stream)
    next(stream)
    stats = stream.stats()
    assert 0 < stats['wait_seconds'] < time.perf_counter() - started
    assert stats['clips_per_second'] > 0
    time.sleep(0.2)
    assert stream.stats()['clips_per_second'] < stats['clips_per_second']


def test_a_program_that_forgets_to_close_ends(sets, tmp_path):
  code = (
      'from data_pipelines.loaders.dataset import Stream\n'
      'import numpy as np\n'
      'def row(n):\n'
      '  sum(range(20_000))\n'
      '  return np.zeros((1, 8, 8, 3), np.uint8), 0, 1.0, n, 0\n'
      'stream = Stream(row, 0, 2**40, 4, (1, 8, 8, 3), 2, 2)\n'
      'print(next(stream)["index"])\n'
  )
  done = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, timeout=60
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == '[0 1 2 3]'
  assert done.stderr == ''
