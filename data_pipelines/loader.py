"""Batches for training and scoring: decoding in parallel, in a fixed order.

Which clip stands in which row, and what is drawn for it, is a function of
(seed, epoch, clip). So a loader that starts at step N gives exactly the batches
that one started at step 0 gives from there on, at no cost, and `process_count`
loaders share every batch without talking to each other.
"""

import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import clip_frames, quiet_tensorflow
from data_pipelines.clip_frames import FrameSpec
from data_pipelines.source import Source
from evclip_jax import randomness
from evclip_jax.errors import UserError

Batch = dict[str, np.ndarray]
# One row: video, label, mask, index, view.
_Row = tuple[np.ndarray, int, float, int, int]
_FIELDS = ('video', 'label', 'mask', 'index', 'view')


class TrainLoader:
  """Endless shuffled batches; a context manager and an iterator.

  A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b],
  'mask': float32 [b], 'index': int32 [b]}, with b the share of this process.

  Attributes:
    batch_size: rows over all processes: at most the clips there are.
    steps_per_epoch: whole batches in one pass; the rest of the clips is left
      out, other ones in each epoch.

  Source: EV-CLIP, dassl/data/data_manager.py (RandomSampler, drop_last).
  """

  def __init__(
      self,
      source: Source,
      batch_size: int,
      spec: FrameSpec,
      seed: int,
      start_step: int = 0,
      process_index: int = 0,
      process_count: int = 1,
      workers: int = 0,
      prefetch: int = 2,
  ):
    """Decodes nothing before the first batch is asked for.

    Args:
      source: the training clips.
      batch_size: rows over all processes (config.batch_size).
      spec: how a clip becomes frames.
      seed: of the order and of the crops.
      start_step: batches that were already consumed.
      process_index, process_count: which share of each batch to give.
      workers: decoding threads; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: the batch does not divide over the processes.
    """
    self.batch_size = min(batch_size, len(source))
    self.steps_per_epoch = steps_per_epoch(len(source), batch_size)
    share = _share(self.batch_size, process_count)
    batch_rows, steps = self.batch_size, self.steps_per_epoch
    orders = _Orders(len(source), seed)

    def row(number: int) -> _Row:
      step, place = divmod(number, share)
      epoch, in_epoch = divmod(step, steps)
      position = in_epoch * batch_rows + process_index * share + place
      index = int(orders.of(epoch)[position])
      generator = randomness.generator(seed, 'clip', epoch, index)
      video = clip_frames.train_clip(source, index, spec, generator)
      return video, source.records[index].label, 1.0, index, 0

    self._stream = _Stream(
        row, start_step * share, 2**62, share, spec, workers, prefetch
    )

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    batch = next(self._stream)
    del batch['view']
    return batch

  def stats(self) -> dict[str, float]:
    """{'clips_per_second', 'wait_seconds'} since the first batch.

    The wait is the time in which the caller stood still for data.
    """
    return self._stream.stats()

  def close(self):
    """Stops decoding."""
    self._stream.close()

  def __enter__(self) -> 'TrainLoader':
    return self

  def __exit__(self, *_):
    self.close()


class EvalLoader:
  """Every clip of a list once per view, in order.

  A batch has the fields of `TrainLoader` and 'view': int32 [b]. The last one
  is filled up with rows of mask 0.

  Attributes:
    name: of the list.
    num_clips: clips in the list.
    num_views: temporal windows x crops per clip.
    num_batches: batches of one pass.
  """

  def __init__(
      self,
      source: Source,
      batch_size: int,
      spec: FrameSpec,
      clips: int = 1,
      crops: int = 1,
      process_index: int = 0,
      process_count: int = 1,
      workers: int = 0,
      prefetch: int = 2,
  ):
    """Decodes nothing yet.

    Args:
      source: the clips to score.
      batch_size: rows over all processes.
      spec: how a clip becomes frames.
      clips: temporal windows per clip (eval.clips).
      crops: 1 = centre, 3 = left, centre and right (eval.crops).
      process_index, process_count: which share of each batch to give.
      workers: decoding threads; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: the batch does not divide over the processes.
    """
    self.name = source.name
    self.num_clips = len(source)
    self.num_views = clips * crops
    total = self.num_clips * self.num_views
    self.num_batches = -(-total // batch_size)
    share = _share(batch_size, process_count)
    side = spec.crop_pixels
    padding = np.zeros((spec.num_frames, side, side, 3), np.uint8)

    def row(number: int) -> _Row:
      batch, place = divmod(number, share)
      position = batch * batch_size + process_index * share + place
      if position >= total:
        return padding, 0, 0.0, 0, 0
      index, view = divmod(position, self.num_views)
      video = clip_frames.eval_clip(source, index, spec, view, clips, crops)
      return video, source.records[index].label, 1.0, index, view

    self._make = lambda: _Stream(
        row, 0, self.num_batches * share, share, spec, workers, prefetch
    )

  def __iter__(self) -> Iterator[Batch]:
    stream = self._make()
    try:
      yield from stream
    finally:
      stream.close()

  def batches(self) -> Iterator[Batch]:
    """One pass over the list."""
    return iter(self)


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Whole batches in one pass; 1 if there are fewer clips than rows."""
  return max(num_clips // batch_size, 1)


class _Orders:
  """The order of the clips in each epoch."""

  def __init__(self, num_clips: int, seed: int):
    self._num_clips, self._seed = num_clips, seed
    self._kept = {}

  def of(self, epoch: int) -> np.ndarray:
    """A permutation of all clips, int64 [num_clips]."""
    order = self._kept.get(epoch)
    if order is None:
      generator = randomness.generator(self._seed, 'order', epoch)
      order = generator.permutation(self._num_clips)
      # Threads that decode ahead are in two epochs at most, unless an epoch
      # is shorter than what is fetched ahead; then it costs little.
      self._kept = {
          e: o for e, o in self._kept.items() if e == epoch - 1
      } | {epoch: order}
    return order


class _Stream:
  """Rows computed by threads of tf.data, batched and fetched ahead."""

  def __init__(
      self,
      row: Callable[[int], _Row],
      start: int,
      stop: int,
      share: int,
      spec: FrameSpec,
      workers: int,
      prefetch: int,
  ):
    self._work = _Work(row, spec)
    self._range, self._share, self._prefetch = (start, stop), share, prefetch
    self._workers = workers or num_cores()
    # The iterator of tf.data, in a list so that the finalizer can drop it.
    self._held: list[Any] = []
    self._rows, self._waited, self._started = 0, 0.0, 0.0
    # Also at exit: threads that call Python must stop before Python does.
    self._finish = weakref.finalize(self, _stop, self._work, self._held)

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    if self._work.closed:
      raise StopIteration
    if not self._held:
      self._held.append(self._open())
      self._started = time.perf_counter()
    now = time.perf_counter()
    *fields, failed = next(self._held[0])
    if failed.any():
      error = self._work.errors[int(failed[failed > 0][0]) - 1]
      self.close()
      raise error
    self._waited += time.perf_counter() - now
    self._rows += len(failed)
    return dict(zip(_FIELDS, fields, strict=True))

  def stats(self) -> dict[str, float]:
    """See `TrainLoader.stats`."""
    seconds = time.perf_counter() - self._started if self._rows else 0.0
    return {
        'clips_per_second': self._rows / seconds if seconds else 0.0,
        'wait_seconds': self._waited,
    }

  def close(self):
    """Stops the threads and waits for them."""
    self._finish()

  def _open(self) -> Iterator:
    tf = quiet_tensorflow.load()
    work = self._work
    shapes = (work.shape,) + ((),) * 5
    types = (tf.uint8, tf.int32, tf.float32, tf.int32, tf.int32, tf.int64)

    def compute(number):
      values = tf.numpy_function(work.compute, [number], types)
      for value, shape in zip(values, shapes, strict=True):
        value.set_shape(shape)
      return tuple(values)

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = self._workers + 2
    data = (
        tf.data.Dataset.range(*self._range)
        .map(compute, num_parallel_calls=self._workers, deterministic=True)
        .batch(self._share, drop_remainder=True)
        .prefetch(self._prefetch)
        .with_options(options)
    )
    return data.as_numpy_iterator()


class _Work:
  """What the threads do; holds no reference to a loader.

  TensorFlow keeps a function as long as the iterator that calls it. If that
  kept the loader as well, a forgotten loader would decode for ever.
  """

  def __init__(self, row: Callable[[int], _Row], spec: FrameSpec):
    self._row = row
    side = spec.crop_pixels
    self.shape = (spec.num_frames, side, side, 3)
    self.errors: dict[int, Exception] = {}
    self.closed = False

  def compute(self, number: np.int64):
    """One row and 0; or an empty row and its number + 1 if it failed.

    An exception would reach the caller as TensorFlow's and without its class.
    """
    row, failed = None, 0
    try:
      if not self.closed:
        row = self._row(int(number))
    except Exception as e:
      self.errors[int(number)] = e
      failed = int(number) + 1
    if row is None:
      row = np.zeros(self.shape, np.uint8), 0, 0.0, 0, 0
    video, label, mask, index, view = row
    return (
        video,
        np.int32(label),
        np.float32(mask),
        np.int32(index),
        np.int32(view),
        np.int64(failed),
    )


def _stop(work: _Work, held: list[Any]):
  work.closed = True
  held.clear()


def num_cores() -> int:
  """Cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _share(batch_size: int, process_count: int) -> int:
  if batch_size % process_count:
    low = batch_size - batch_size % process_count
    fits = [str(n) for n in (low, low + process_count) if n]
    raise UserError(
        f'a batch of {batch_size} clips does not divide over {process_count} '
        f'processes; batch_size={" or ".join(fits)} would.'
    )
  return batch_size // process_count
