"""Rows of batches -> `tf.data.Dataset` -> numpy batches.

The dataset is range -> map -> batch -> prefetch of real tensors. Its map asks
the processes of `video.pool` for the pixels of a row, in any order; batches
come out in theirs. To start at batch N is to begin the range there.
"""

import dataclasses
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import quiet_tensorflow
from data_pipelines.loaders import one_clip
from data_pipelines.video import pool
from data_pipelines.video.read import VideoError
from data_pipelines.views.view import Recipe

Batch = dict[str, np.ndarray]
# 'mask' tells clips, 1, from rows that only fill up a batch, 0.
_TYPES = {
    'video': np.uint8,
    'label': np.int32,
    'mask': np.float32,
    'index': np.int32,
    'view': np.int32,
}


@dataclasses.dataclass(frozen=True)
class Row:
  """One row of a batch; by default one that only fills it up (mask 0)."""

  reading: one_clip.Reading | None = None
  label: int = 0
  index: int = 0
  view: int = 0


@dataclasses.dataclass(frozen=True)
class Rows:
  """All rows of some batches: each is a function of its number.

  Attributes:
    row: (row number) -> the row, or (row number, clip) -> that row with
      another clip; called by several threads.
    workers: processes that read, see `pool.number`.
    prefetch: batches read ahead.
    start, stop: the first batch and the one behind the last.
    fields: of a batch, beside 'video'.
    instead: (row number, clips that cannot be read, why) -> the clip that takes
      their place, or None: the row is left out. Without it they are errors.
    finish: (number of a batch, the batch) -> what is made of it.
  """

  row: Callable[..., Row]
  batch_size: int
  spec: Recipe
  workers: int = 0
  prefetch: int = 2
  start: int = 0
  stop: int = 1 << 40
  fields: tuple[str, ...] = ('label', 'mask', 'index')
  instead: Callable[[int, list[int], VideoError], int | None] | None = None
  finish: Callable[[int, Batch], Batch] | None = None


def as_dataset(rows: Rows, work: 'Work | None' = None):
  """Returns the `tf.data.Dataset` of the batches; reads nothing yet.

  An element has 'video' uint8 [B, T, P, P, 3] and of 'label', 'index' and
  'view' int32 [B] and 'mask' float32 [B] those in `rows.fields`.
  """
  tf = quiet_tensorflow.load()
  pool.keep_memory()
  work = work or Work(rows)
  names = 'video', *rows.fields
  shapes = {'video': rows.spec.shape}

  # Else its source would be rewritten and stored in a file for nothing.
  @tf.autograph.experimental.do_not_convert
  def compute(number):
    types = [tf.as_dtype(_TYPES[name]) for name in names]
    values = tf.numpy_function(work, [number], types)
    for name, value in zip(names, values, strict=True):
      value.set_shape(shapes.get(name, ()))
    return dict(zip(names, values, strict=True))

  # More than there are processes: none waits for its next clip.
  ahead = pool.number(rows.workers) + 2
  options = tf.data.Options()
  options.deterministic = True
  options.autotune.enabled = False
  options.threading.private_threadpool_size = ahead + 2
  size = rows.batch_size
  return (
      tf.data.Dataset.range(rows.start * size, rows.stop * size)
      .map(compute, num_parallel_calls=ahead, deterministic=True)
      .batch(size, drop_remainder=True)
      .prefetch(rows.prefetch)
      .with_options(options)
  )


class Work:
  """Computes rows; holds no reference to who asks for them.

  TensorFlow keeps a function as long as the iterator that calls it. If that
  kept the iterator's owner as well, a forgotten one would read for ever.
  """

  def __init__(self, rows: Rows, raises: bool = True):
    """`raises`: TensorFlow is told of errors, and writes them to its log."""
    self._rows, self._raises = rows, raises
    self._nothing = np.zeros(rows.spec.shape, np.uint8)
    self._unread: dict[int, VideoError] = {}
    # By row number. TensorFlow keeps the text only.
    self.errors: dict[int, Exception] = {}
    # Whether what is still asked for is of no interest.
    self.closed = False

  def __call__(self, number: np.int64) -> tuple[np.ndarray, ...]:
    """Returns the values of a row, the video first."""
    row, video = Row(), self._nothing
    try:
      if not self.closed:
        row, video = self._read(int(number))
    except Exception as e:
      self.errors[int(number)] = e
      if self._raises:
        raise
    values = vars(row) | {'mask': row.reading is not None}
    return video, *(_TYPES[name](values[name]) for name in self._rows.fields)

  def _read(self, number: int) -> tuple[Row, np.ndarray]:
    row, failed = self._rows.row(number), []
    while row.reading is not None:
      try:
        # What failed once is not tried again: it may take its time.
        if row.index in self._unread:
          raise self._unread[row.index]
        return row, one_clip.read(row.reading, self._rows.workers)
      except VideoError as e:
        if self._rows.instead is None:
          raise
        self._unread[row.index] = e
        failed.append(row.index)
        clip = self._rows.instead(number, failed, e)
        row = Row() if clip is None else self._rows.row(number, clip)
    return row, self._nothing


class Batches:
  """An iterator of numpy batches and a context manager.

  The batches do not depend on the number of processes and threads.
  """

  def __init__(self, rows: Rows):
    """Starts nothing yet."""
    self._rows, self._next = rows, rows.start
    self._work = Work(rows, raises=False)
    # The iterator of tf.data, in a list so that the finalizer can drop it.
    self._held: list[Iterator[Any]] = []
    self._given, self._waited, self._started = 0, 0.0, 0.0
    # Also at exit: threads that call Python must stop before Python does.
    self._end = weakref.finalize(self, _stop, self._work, self._held)

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    """Returns the next batch, or raises what went wrong in one of its rows."""
    if self._work.closed:
      raise StopIteration
    if not self._held:
      self._held.append(as_dataset(self._rows, self._work).as_numpy_iterator())
      self._started = time.perf_counter()
    now = time.perf_counter()
    batch = next(self._held[0])
    failed = min(list(self._work.errors), default=None)
    if failed is not None and failed // self._rows.batch_size == self._next:
      self.close()
      raise self._work.errors[failed]
    self._waited += time.perf_counter() - now
    self._given += self._rows.batch_size
    number, self._next = self._next, self._next + 1
    finish = self._rows.finish
    return finish(number, batch) if finish else batch

  def stats(self) -> dict[str, float]:
    """Returns {'clips_per_second', 'wait_seconds'} since the first batch.

    The wait is the time in which the caller stood still for a batch.
    """
    passed = time.perf_counter() - self._started if self._given else 0.0
    return {
        'clips_per_second': self._given / passed if passed else 0.0,
        'wait_seconds': self._waited,
    }

  def close(self):
    """Stops the reading and waits until it has stopped."""
    self._end()

  def __enter__(self) -> 'Batches':
    return self

  def __exit__(self, *_):
    self.close()


def _stop(work: Work, held: list[Iterator[Any]]):
  work.closed = True
  held.clear()
