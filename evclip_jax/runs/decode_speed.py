"""Measures the clips per second of the data pipeline and the bare decoder."""

import contextlib
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import ml_collections
import numpy as np

from data_pipelines.demo import videos
from data_pipelines.loaders import batches, loader, one_clip, open_data
from data_pipelines.video import pool
from evclip_jax.config import identity, schema

# Clips to write where there are none; they are as large as UCF-101's.
_WIDTH, _HEIGHT, _FRAMES = 320, 240, 128
_CLASSES, _CLIPS = 2, 8
# Small, so that a slow machine fills several batches in time.
_BATCH = 4
_TURNS = 6
# Batches of the loader before its clock starts, and between turns.
_WARM_UP, _APART = 4, 1_000


def measure(
    config: ml_collections.ConfigDict, seconds: float
) -> dict[str, Any]:
  """Times decoding alone and the whole training loader on the same clips.

  Without data.root and data.train_list, a few H.264 clips are written and
  removed again. Each way is timed for `seconds`.

  Returns:
    'clips' (where they come from), 'workers' (the number of processes), and
    clips per second, by the clock and per core, of 'bare' (the decoder called
    plainly for the frames that training draws), 'frames' (the same frames, read
    as the loader does) and 'loader' (which also resizes, crops and batches);
    and the loader's share, per core, of 'bare' and of 'frames'.
  """
  with _clips(config) as (data_config, origin):
    return {'clips': origin} | _measure(data_config, seconds)


def _measure(config, seconds: float) -> dict[str, Any]:
  source = open_data.open_data(
      config.data, config.seed, config.split, cache_dir=config.cache_dir
  ).train
  workers = pool.number(config.data.workers)
  reader = loader.Loader(
      one_clip.spec_of(config.data), config.seed, workers=workers
  )
  # Totals of clips, seconds by the clock, and seconds of the processors.
  totals = {name: np.zeros(3) for name in ('bare', 'frames', 'loader')}

  def used() -> float:
    return time.process_time() + pool.cpu_seconds()

  def measure(name, work, threads=1):
    clock, processors = time.perf_counter(), used()

    def repeat(_) -> int:
      done = 0
      while time.perf_counter() - clock < seconds / _TURNS:
        done += work()
      return done

    with futures.ThreadPoolExecutor(threads) as at_once:
      done = sum(at_once.map(repeat, range(threads)))
    passed = time.perf_counter() - clock, used() - processors
    totals[name] += done, *passed

  def decoding(rows, plainly: bool):
    place = itertools.count((rows.start + _WARM_UP) * rows.batch_size)

    def decoded() -> int:
      reading = rows.row(next(place)).reading
      one_clip.read(one_clip.decoding(reading, plainly), workers)
      return 1

    return decoded

  # By turns, so that all meet the same load of the machine, and in the same
  # processes, as threads would slow each other down.
  for turn in range(_TURNS):
    rows = reader.train(source, _BATCH, turn * _APART)
    with batches.Batches(rows) as given:
      # The first batches pay for starting processes, and those fetched ahead
      # meanwhile would seem to take no time.
      for _ in range(_WARM_UP):
        next(given)
      measure('loader', lambda b=given: len(next(b)['label']))
    measure('bare', decoding(rows, True), workers)
    measure('frames', decoding(rows, False), workers)
  out: dict[str, Any] = {'workers': workers}
  per_core = {}
  for name, (done, passed, processors) in totals.items():
    # A coarse clock may show no time at all.
    per_core[name] = done / max(processors, 1e-3)
    out[f'{name}_clips_per_second'] = done / passed
    out[f'{name}_clips_per_second_per_core'] = per_core[name]
  for name in ('bare', 'frames'):
    out[f'loader_share_of_{name}'] = per_core['loader'] / per_core[name]
  return out


@contextlib.contextmanager
def _clips(config) -> Iterator[tuple[ml_collections.ConfigDict, str]]:
  """Yields a config whose clips exist, and where they come from."""
  if config.data.root or config.data.train_list or config.data.name == 'demo':
    yield config, config.data.root or config.data.train_list or 'the demo'
    return
  made = identity.from_dict(identity.to_dict(config)).unlock()
  fresh = schema.base().data
  # Keep the user's sizes, but no lists and no selection.
  for key in ('preprocess', 'num_frames', 'window_frames', 'train_temporal',
              'frame_rule', 'resize', 'resize_height', 'resize_width',
              'crop_pixels', 'trunk_pixels', 'flip', 'workers'):
    fresh[key] = config.data[key]
  made.data = fresh
  made.data.name = 'folder'
  rng = np.random.default_rng(0)
  with tempfile.TemporaryDirectory() as folder:
    made.data.root = os.path.join(folder, 'clips')
    # Probes of these clips are removed with them.
    made.cache_dir = os.path.join(folder, 'cache')
    for k in range(_CLIPS):
      # Large blobs that drift have about the bit rate of real clips.
      small = rng.integers(0, 256, (_HEIGHT // 20, _WIDTH // 20, 3), np.uint8)
      image = np.kron(small, np.ones((20, 20, 1), np.uint8))
      moved = [np.roll(image, (t, 2 * t), (0, 1)) for t in range(_FRAMES)]
      path = pathlib.Path(made.data.root, f'class {k % _CLASSES}', f'{k}.mp4')
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(videos.encode(np.stack(moved)))
    yield made.lock(), (
        f'{_CLIPS} clips written for this: H.264, {_WIDTH}x{_HEIGHT}, '
        f'{_FRAMES} frames'
    )
