"""Rows computed by threads of tf.data, batched and fetched ahead.

The only use of TensorFlow in reading: a function from row numbers to rows is
called by its threads in any order, and the batches come out in theirs. Pixels
are written where they belong in a batch; only numbers pass through tensors,
which would copy them twice.
"""

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines.loaders import quiet_tensorflow
from data_pipelines.video import pool

Batch = dict[str, np.ndarray]
# video, label, mask, index, view.
Row = tuple[np.ndarray, int, float, int, int]
_NUMBERS = {
    'label': np.int32,
    'mask': np.float32,
    'index': np.int32,
    'view': np.int32,
}


class Stream:
  """An iterator of batches, equal however many threads there are."""

  def __init__(
      self,
      row: Callable[[int], Row],
      start: int,
      stop: int,
      batch_size: int,
      video_shape: tuple[int, int, int, int],
      workers: int,
      prefetch: int,
  ):
    """Starts nothing before the first batch is asked for.

    Args:
      row: computes row number n; called by several threads.
      start, stop: row numbers, multiples of batch_size.
      batch_size: rows of a batch.
      video_shape: [T, P, P, 3] of the uint8 video in a row.
      workers: threads.
      prefetch: batches computed ahead.
    """
    self._work = _Work(row, (batch_size, *video_shape))
    self._range, self._batch_size = (start, stop), batch_size
    self._next = start // batch_size
    self._prefetch = prefetch
    self._workers = workers
    # The iterator of tf.data, in a list so that the finalizer can drop it.
    self._held: list[Any] = []
    self._rows, self._waited, self._started = 0, 0.0, 0.0
    # Also at exit: threads that call Python must stop before Python does.
    self._finish = weakref.finalize(self, _stop, self._work, self._held)

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    """The next batch; raises what `row` raised, at the batch it belongs to."""
    if self._work.closed:
      raise StopIteration
    if not self._held:
      self._held.append(self._open())
      self._started = time.perf_counter()
    now = time.perf_counter()
    failed = next(self._held[0])
    if failed.any():
      error = self._work.errors[int(failed[failed > 0][0]) - 1]
      self.close()
      raise error
    self._waited += time.perf_counter() - now
    self._rows += len(failed)
    self._next += 1
    batch = self._work.batches.pop(self._next - 1, None)
    if batch is None:  # Closed by another thread meanwhile.
      raise StopIteration
    return batch

  def stats(self) -> dict[str, float]:
    """{'clips_per_second', 'wait_seconds'} since the first batch.

    The wait is the time in which the caller stood still for a batch.
    """
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
    pool.keep_memory()
    work = self._work

    # Else its source would be rewritten and stored in a file for nothing.
    @tf.autograph.experimental.do_not_convert
    def compute(number):
      failed = tf.numpy_function(work.compute, [number], tf.int64)
      failed.set_shape(())
      return failed

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = self._workers + 2
    data = (
        tf.data.Dataset.range(*self._range)
        .map(compute, num_parallel_calls=self._workers, deterministic=True)
        .batch(self._batch_size, drop_remainder=True)
        .prefetch(self._prefetch)
        .with_options(options)
    )
    return data.as_numpy_iterator()


class _Work:
  """What the threads do; holds no reference to a loader.

  TensorFlow keeps a function as long as the iterator that calls it. If that
  kept the loader as well, a forgotten loader would decode for ever.
  """

  def __init__(self, row: Callable[[int], Row], shape: tuple[int, ...]):
    self._row, self._shape = row, shape
    self._lock = threading.Lock()
    # Begun and not yet taken, by their number.
    self.batches: dict[int, Batch] = {}
    self.errors: dict[int, Exception] = {}
    self.closed = False

  def compute(self, number: np.int64) -> np.int64:
    """Puts a row into its batch; gives 0, or its number + 1 if it failed.

    An exception would reach the caller as TensorFlow's and without its class.
    """
    try:
      if not self.closed:
        batch, place = divmod(int(number), self._shape[0])
        video, *numbers = self._row(int(number))
        target = self._batch(batch)
        target['video'][place] = video
        for name, value in zip(_NUMBERS, numbers, strict=True):
          target[name][place] = value
    except Exception as e:
      self.errors[int(number)] = e
      return np.int64(number + 1)
    return np.int64(0)

  def _batch(self, number: int) -> Batch:
    with self._lock:
      if number not in self.batches:
        self.batches[number] = {'video': np.empty(self._shape, np.uint8)} | {
            name: np.empty(self._shape[0], dtype)
            for name, dtype in _NUMBERS.items()
        }
      return self.batches[number]


def _stop(work: _Work, held: list[Any]):
  work.closed = True
  held.clear()
  work.batches.clear()
