"""Clips per second of the data pipeline, beside those of the bare decoder."""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
import numpy as np

from evclip_jax.config import identity, schema

# What is written where there are no clips: the size of UCF-101's.
_WIDTH, _HEIGHT, _FRAMES, _FPS = 320, 240, 128, 25
_CLASSES, _CLIPS = 2, 4
# Small, so that a slow machine fills several in the time there is.
_BATCH = 4
_TURNS = 6
# Batches of the loader before its clock starts.
_WARM_UP = 4


def measure(
    config: ml_collections.ConfigDict, seconds: float
) -> dict[str, Any]:
  """Times decoding alone and the whole training loader on the same clips.

  Args:
    config: `data` says which clips; with data.root (and data.train_list)
      empty, a few H.264 clips are written and removed again.
    seconds: how long each way is timed.

  Returns:
    'clips' (where they come from), 'workers' (processes, always as many), and
    clips per second, by the clock and per core, of 'bare' (the decoder called
    plainly, see `clips.decoding`), 'frames' (the same frames as the
    loader reads them) and 'loader' (which also resizes, crops and batches);
    and the loader's per core as a share of that of 'bare' and of 'frames'.
  """
  with _clips(config) as (data_config, origin):
    return {'clips': origin} | _measure(data_config, seconds)


def _measure(config, seconds: float) -> dict[str, Any]:
  from data_pipelines.loaders import clips, loader, open_data
  from data_pipelines.video import pool as processes

  source = open_data.open_data(
      config.data, config.seed, config.split, cache_dir=config.cache_dir
  ).train
  spec = clips.spec_of(config.data)
  workers = processes.number(config.data.workers)
  order = np.random.default_rng(config.seed).permutation(len(source))
  place = itertools.count()

  # All are measured in the same processes: threads would slow each other down.
  def read(clip):
    return clips.read(clip, workers)

  def decoded(plainly: bool) -> int:
    index = int(order[next(place) % len(order)])
    read(clips.decoding(source, index, spec, plainly))
    return 1

  first = clips.eval_clip(source, 0, spec)

  def used() -> float:
    return time.process_time() + processes.cpu_seconds()

  bare, frames, whole = _Rate(used), _Rate(used), _Rate(used)
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    # The processes start and compile.
    list(pool.map(lambda _: read(first), range(4 * workers)))
  # By turns, so that all meet the same load of the machine.
  for turn in range(_TURNS):
    bare.measure(lambda: decoded(True), seconds / _TURNS, workers)
    frames.measure(lambda: decoded(False), seconds / _TURNS, workers)
    reader = loader.Loader(spec, config.seed, workers=workers)
    batches = reader.train(source, _BATCH, turn)
    with batches:
      # The first batch pays for starting the threads, and what was fetched
      # ahead meanwhile would count as done in no time.
      for _ in range(_WARM_UP):
        next(batches)
      rows = (len(batch['label']) for batch in batches)
      whole.measure(lambda rows=rows: next(rows), seconds / _TURNS)
  rates = {'bare': bare, 'frames': frames, 'loader': whole}
  out: dict[str, Any] = {'workers': workers}
  for name, rate in rates.items():
    out[f'{name}_clips_per_second'] = rate.per_second
    out[f'{name}_clips_per_second_per_core'] = rate.per_core
  for name in ('bare', 'frames'):
    out[f'loader_share_of_{name}'] = whole.per_core / rates[name].per_core
  return out


class _Rate:
  """Clips per second of some work."""

  def __init__(self, used: Callable[[], float]):
    """`used` gives the processor time so far."""
    self._now = used
    self._clips, self._passed, self._used = 0, 0.0, 0.0

  def measure(
      self, work: Callable[[], int], seconds: float, threads: int = 1
  ):
    """Repeats `work`, which does some clips and says how many, in threads."""
    clock, used = time.perf_counter(), self._now()

    def repeat(_) -> int:
      clips = 0
      while time.perf_counter() - clock < seconds:
        clips += work()
      return clips

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
      self._clips += sum(pool.map(repeat, range(threads)))
    self._passed += time.perf_counter() - clock
    self._used += self._now() - used

  @property
  def per_second(self) -> float:
    """By the clock."""
    return self._clips / self._passed

  @property
  def per_core(self) -> float:
    """By the processor's time: clips per second and core.

    Also where libraries use several threads and where other programs take a
    part of the machine.
    """
    # A clock of coarse ticks may stand still for a moment.
    return self._clips / max(self._used, 1e-3)


@contextlib.contextmanager
def _clips(config) -> Iterator[tuple[ml_collections.ConfigDict, str]]:
  """A config whose clips exist, and where they come from."""
  if config.data.root or config.data.train_list or config.data.name == 'demo':
    yield config, config.data.root or config.data.train_list or 'the demo'
    return
  made = identity.from_dict(identity.to_dict(config)).unlock()
  fresh = schema.base().data
  # The user's sizes on our clips: no list, no selection.
  for key in ('preprocess', 'num_frames', 'window_frames', 'train_temporal',
              'frame_rule', 'resize_height', 'resize_width', 'crop_pixels',
              'flip', 'workers'):
    fresh[key] = config.data[key]
  made.data = fresh
  made.data.name = 'folder'
  with tempfile.TemporaryDirectory() as folder:
    made.data.root = os.path.join(folder, 'clips')
    # What is found out about these clips goes with them.
    made.cache_dir = os.path.join(folder, 'cache')
    write_clips(pathlib.Path(made.data.root))
    yield made.lock(), (
        f'{_CLASSES * _CLIPS} clips written for this: H.264, '
        f'{_WIDTH}x{_HEIGHT}, {_FRAMES} frames'
    )


def write_clips(folder: pathlib.Path):
  """Writes folders of moving noise: something to decode."""
  import av

  rng = np.random.default_rng(0)
  for k in range(_CLASSES):
    (folder / f'class_{k}').mkdir(parents=True)
    for n in range(_CLIPS):
      # Large blobs that drift: about the bit rate of real clips.
      small = rng.integers(0, 256, (_HEIGHT // 20, _WIDTH // 20, 3), np.uint8)
      picture = np.kron(small, np.ones((20, 20, 1), np.uint8))
      path = folder / f'class_{k}' / f'{n}.mp4'
      with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=_FPS)
        stream.width, stream.height = _WIDTH, _HEIGHT
        stream.pix_fmt = 'yuv420p'
        for t in range(_FRAMES):
          moved = np.roll(picture, (t, 2 * t), axis=(0, 1))
          frame = av.VideoFrame.from_ndarray(moved, format='rgb24')
          container.mux(stream.encode(frame))
        container.mux(stream.encode())
