"""Makes numpy batches of rows, by way of a `tf.data.Dataset`.

The dataset is range -> batch -> map -> prefetch. Its map function gets the
pixels of a whole batch from the processes of `video.pool`; a call for each row
would cost the trainer half a millisecond more per row. To start at batch N, the
range begins there.
"""

import atexit
import collections
import contextlib
import dataclasses
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import quiet_tensorflow
from data_pipelines.loaders import one_clip
from data_pipelines.video import pool, worker
from data_pipelines.video.read import VideoError
from data_pipelines.views.view import Recipe

Batch = dict[str, np.ndarray]
# Seconds without a call after which TensorFlow is taken to have read ahead all
# that it wants, and how long the program waits for that at exit.
_REST, _LONGEST = 0.2, 20.0
# 'mask' is 1 for clips, 0 for rows that only pad a batch.
_TYPES = {
    'video': np.uint8,
    'label': np.int32,
    'mask': np.float32,
    'index': np.int32,
    'view': np.int32,
}


@dataclasses.dataclass(frozen=True)
class Row:
  """Describes one row of a batch; by default padding (mask 0)."""

  reading: one_clip.Reading | None = None
  label: int = 0
  index: int = 0
  view: int = 0


@dataclasses.dataclass(frozen=True)
class Rows:
  """Describes the rows of a sequence of batches as a function of their number.

  Attributes:
    row: (row number) -> the row, or (row number, clip) -> that row with
      another clip; called by several threads.
    workers: processes that read, see `pool.number`.
    prefetch: batches read ahead.
    start, stop: batches start .. stop - 1 are read.
    fields: of a batch, besides 'video'.
    instead: (row number, clips that cannot be read, error) -> the clip to read
      instead, or None to mask the row. Without it the error is raised.
    finish: (batch number, batch) -> the batch to return.
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

  An element has 'video' uint8 [B, T, P, P, 3] and those of 'label', 'index',
  'view' (int32 [B]) and 'mask' (float32 [B]) that are in `rows.fields`.
  """
  tf = quiet_tensorflow.load()
  worker.keep_memory()
  work = work or Work(rows)
  names, size = ('video', *rows.fields), rows.batch_size

  # AutoGraph would needlessly rewrite the source and store it in a file.
  @tf.autograph.experimental.do_not_convert
  def compute(numbers):
    types = [tf.as_dtype(_TYPES[name]) for name in names]
    values = tf.numpy_function(work, [numbers], types)
    for name, value in zip(names, values, strict=True):
      value.set_shape((size, *(rows.spec.shape if name == 'video' else ())))
    return dict(zip(names, values, strict=True))

  # Enough batches that, while one waits for its last clips, the others keep
  # all processes busy.
  at_once = 1 + -(-2 * pool.number(rows.workers) // size)
  options = tf.data.Options()
  options.deterministic = True
  # `Batches` waits for what it has not asked TensorFlow for.
  options.experimental_warm_start = True
  options.autotune.enabled = False
  options.threading.private_threadpool_size = at_once + 2
  return (
      tf.data.Dataset.range(rows.start * size, rows.stop * size)
      .batch(size, drop_remainder=True)
      .map(compute, num_parallel_calls=at_once, deterministic=True)
      .prefetch(rows.prefetch)
      .with_options(options)
  )


_all: 'weakref.WeakSet[Work]' = weakref.WeakSet()


class Work:
  """Computes batches; holds no reference to its user.

  TensorFlow keeps a mapped function alive as long as the iterator that calls
  it. If the function referred to the iterator's owner (`Batches`), an abandoned
  one would never be collected and would read for ever.
  """

  def __init__(self, rows: Rows, raises: bool = True):
    """Keeps errors for `outcome`; `raises`: TensorFlow gets and logs them."""
    self._rows, self._raises = rows, raises
    self._asking = threading.Lock()
    self._unread: dict[int, VideoError] = {}
    # Errors by batch number: TensorFlow would keep the message only.
    self._outcomes: dict[int, Exception | None] = {}
    self._change = threading.Condition()
    # Set when nobody wants the remaining batches any more.
    self.closed = threading.Event()
    # When the last batch was finished, and the batches in progress.
    self._last, self._begun = 0.0, set()
    _all.add(self)

  @property
  def rests(self) -> bool:
    """Tells whether TensorFlow has stopped asking for batches."""
    return not self._begun and time.monotonic() - self._last > _REST

  def close(self):
    """Ends what is asked for, and the processes that take long for it."""
    self.closed.set()
    with self._change:
      self._change.notify_all()

  def outcome(self, number: int) -> Exception | None:
    """Waits for a batch, or the end, and returns what went wrong.

    Signals, as of Ctrl-C, reach Python here, but not in TensorFlow.
    """
    with self._change:
      while number not in self._outcomes and not self.closed.is_set():
        self._change.wait()
    return self._outcomes.pop(number, None)

  def __call__(self, numbers: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the fields of a batch of row numbers, int64 [B]; video first."""
    number = int(numbers[0]) // len(numbers)
    self._begun.add(number)
    try:
      return self._values(numbers, number)
    finally:
      self._last = time.monotonic()
      self._begun.discard(number)
      if not self._raises:
        with self._change:
          self._outcomes.setdefault(number, None)
          self._change.notify_all()

  def _values(self, numbers: np.ndarray, number: int):
    rows = [Row()] * len(numbers)
    video = _empty((len(numbers), *self._rows.spec.shape))
    try:
      self._read(numbers.tolist(), rows, video)
    except Exception as e:
      if self._raises:
        raise
      self._outcomes[number] = e
    values = [vars(r) | {'mask': r.reading is not None} for r in rows]
    return video, *(
        np.array([v[name] for v in values], _TYPES[name])
        for name in self._rows.fields
    )

  def _read(self, numbers: list[int], rows: list[Row], video: np.ndarray):
    workers, closed = self._rows.workers, self.closed
    limit, shape = one_clip.TIME_LIMIT, self._rows.spec.shape
    tasks = pool.Tasks(workers, limit, shape, closed)
    asked = collections.deque()

    def replace(place: int, e: VideoError):
      found = self._other(numbers[place], rows[place], e)
      rows[place], video[place] = found

    def take():
      place = asked.popleft()
      try:
        one_clip.result(tasks, rows[place].reading, video[place])
      except VideoError as e:
        if not closed.is_set():
          replace(place, e)

    try:
      # One batch at a time, else the first would take as long as all of them.
      with self._asking:
        for place, number in enumerate(numbers):
          if closed.is_set():
            break
          if tasks.full:
            take()
          rows[place] = row = self._rows.row(number)
          if row.reading is None:
            video[place] = 0
          # A clip that failed is not tried again: failing may take minutes.
          elif error := self._unread.get(row.index):
            replace(place, error)
          else:
            asked.append(place)
            tasks.add(one_clip.Reading.read, row.reading)
      while asked:
        take()
    finally:
      # Clips still being read write to shared memory: wait for them.
      for _ in asked:
        with contextlib.suppress(Exception):
          tasks.next()

  def _other(
      self, number: int, row: Row, error: VideoError
  ) -> tuple[Row, np.ndarray | int]:
    """Reads a replacement for a row that cannot be read; padding if none."""
    failed, instead = [], self._rows.instead
    if instead is None:
      raise error
    while True:
      # A copy without traceback, which would keep the whole batch alive.
      self._unread[row.index] = error = VideoError(str(error))
      failed.append(row.index)
      clip = instead(number, failed, error)
      if clip is None:
        return Row(), 0
      row = self._rows.row(number, clip)
      if error := self._unread.get(clip):
        continue
      try:
        return row, one_clip.read(row.reading, self._rows.workers, self.closed)
      except VideoError as e:
        error = e


def _empty(shape: tuple[int, ...]) -> np.ndarray:
  """Makes an array aligned to 64 bytes: TensorFlow and JAX need not copy it."""
  size, step = math.prod(shape), 64
  memory = np.empty(size + step, np.uint8)
  first = -memory.ctypes.data % step
  return memory[first : first + size].reshape(shape)


class Batches:
  """Iterates over numpy batches; also a context manager.

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
    if self._work.closed.is_set() or self._next >= self._rows.stop:
      raise StopIteration
    if not self._held:
      self._held.append(as_dataset(self._rows, self._work).as_numpy_iterator())
      self._started = time.perf_counter()
    now = time.perf_counter()
    error = self._work.outcome(self._next)
    # Another thread may have closed it meanwhile.
    if self._work.closed.is_set():
      raise StopIteration
    batch = next(self._held[0])
    if error:
      self.close()
      raise error
    self._waited += time.perf_counter() - now
    self._given += self._rows.batch_size
    number, self._next = self._next, self._next + 1
    finish = self._rows.finish
    return finish(number, batch) if finish else batch

  def stats(self) -> dict[str, float]:
    """Returns {'clips_per_second', 'wait_seconds'} since the first batch.

    'wait_seconds' is the time that callers waited for a batch.
    """
    passed = time.perf_counter() - self._started if self._given else 0.0
    return {
        'clips_per_second': self._given / passed if passed else 0.0,
        'wait_seconds': self._waited,
    }

  def close(self):
    """Stops reading and waits until it has stopped."""
    self._end()

  def __enter__(self) -> 'Batches':
    return self

  def __exit__(self, *_):
    self.close()


@atexit.register
def _end():
  """Waits until no thread of TensorFlow will call Python any more.

  One that calls it after Python's end blocks for ever, and so does the program.
  """
  works, start = list(_all), time.monotonic()
  for work in works:
    work.close()
  while not all(work.rests for work in works):
    if time.monotonic() - start > _LONGEST:
      return
    time.sleep(_REST / 4)


def _stop(work: Work, held: list[Iterator[Any]]):
  work.close()
  held.clear()
