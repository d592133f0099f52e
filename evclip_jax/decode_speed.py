"""Clips per second of the data pipeline, beside those of the bare decoder."""

import contextlib
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
import numpy as np

from evclip_jax import config as config_lib

# What is written where there are no clips: the size of UCF-101's.
_WIDTH, _HEIGHT, _FRAMES, _FPS = 320, 240, 128, 25
_CLASSES, _CLIPS = 2, 4
# Small, so that a slow machine fills several in the time there is.
_BATCH = 4


def measure(
    config: ml_collections.ConfigDict, seconds: float
) -> dict[str, Any]:
  """Times decoding alone and the whole training loader on the same clips.

  Args:
    config: `data` says which clips; with data.root (and data.train_list)
      empty, a few H.264 clips are written and removed again.
    seconds: how long each of the two is timed.

  Returns:
    'clips' (where they come from), 'workers', and clips per second: of the bare
    decoder per core, of the loader, of the loader per core, and the last as a
    share of the first. The loader also resizes, crops and batches.
  """
  with _clips(config) as (data_config, origin):
    return {'clips': origin} | _measure(data_config, seconds)


def _measure(config, seconds: float) -> dict[str, Any]:
  from data_pipelines import clip_frames, loader, open_data, stream

  source = open_data.open_data(
      config.data, config.seed, config.split, cache_dir=config.cache_dir
  ).train
  spec = clip_frames.FrameSpec.of(config.data)
  workers = config.data.workers or stream.num_cores()

  order = np.random.default_rng(config.seed).permutation(len(source))
  place = iter(range(2**62))

  def one() -> int:
    decode_one(source, int(order[next(place) % len(order)]), spec)
    return 1

  _, bare = _rate(one, seconds)
  batches = loader.TrainLoader(
      source, _BATCH, spec, config.seed, workers=workers
  )
  with batches:
    # The first batch pays for starting the threads.
    next(batches)
    whole, per_core = _rate(lambda: len(next(batches)['label']), seconds)
  return {
      'workers': workers,
      'bare_clips_per_second_per_core': bare,
      'loader_clips_per_second': whole,
      'loader_clips_per_second_per_core': per_core,
      'loader_share_of_bare': per_core / bare,
  }


def decode_one(source, index: int, spec) -> np.ndarray:
  """Only the decoding of a clip's central frames, on this thread."""
  from data_pipelines import decode, sampling

  media, probe = source.read(index)
  first, total = source.span(index)
  frames = sampling.frame_indices(total, spec.num_frames, spec.window_frames)
  return decode.read_frames(media, first + frames, probe)


def _rate(work: Callable[[], int], seconds: float) -> tuple[float, float]:
  """Clips per second of `work`, which does some clips and says how many.

  Returns:
    (per second of the clock, per second of processor time). The second one is
    clips per second and core, also where libraries use several threads and
    where other programs take a part of the machine.
  """
  clips, clock, used = 0, time.perf_counter(), time.process_time()
  while True:
    clips += work()
    passed = time.perf_counter() - clock
    if passed > seconds:
      # A clock of coarse ticks may stand still for a moment.
      return clips / passed, clips / max(time.process_time() - used, 1e-3)


@contextlib.contextmanager
def _clips(config) -> Iterator[tuple[ml_collections.ConfigDict, str]]:
  """A config whose clips exist, and where they come from."""
  if config.data.root or config.data.train_list or config.data.name == 'demo':
    yield config, config.data.root or config.data.train_list or 'the demo'
    return
  made = config_lib.from_dict(config_lib.to_dict(config)).unlock()
  fresh = config_lib.base().data
  # The user's sizes on our clips: no list, no selection.
  for key in ('num_frames', 'window_frames', 'train_temporal', 'workers',
              'resize_height', 'resize_width', 'crop_pixels'):
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
