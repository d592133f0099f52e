"""Runs tasks in processes, where a decoder may crash or hang without harm.

Threads would compete with each other and with the trainer for Python's lock,
and a file that crashes a decoder would crash the trainer. The processes import
neither JAX nor TensorFlow nor the program's main module, and end with the
program. Pixels come back in shared memory: through a pipe, a clip of a megabyte
would cost the trainer two milliseconds.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import shared_memory, util
from typing import Any

import numpy as np
import pebble

from data_pipelines.errors import UserError
from data_pipelines.video import worker

# Each process takes memory, and with more of them disks or the trainer are the
# bottleneck.
_MOST = 16
_TICK = 0.1
# Seconds that are left to what nobody waits for any more.
_GRACE = 1.0
# How often all processes may end before a task fails.
_STARTS = 5
_lock = threading.Lock()
_pools: dict[tuple[int, int], pebble.ProcessPool] = {}
# Process id -> CPU seconds.
_used: dict[int, float] = {}
_ended = threading.Event()
# Free blocks of shared memory by (process id, size), so that a fork makes its
# own; and all blocks by process id.
_free = collections.defaultdict(list)
_made = collections.defaultdict(list)


class WorkerDied(UserError):
  """The process that worked on a task crashed or took too long."""


def number(workers: int) -> int:
  """Returns the number of processes; 0 stands for one per core, at most 16."""
  return workers or min(cores(), _MOST)


def cores() -> int:
  """Returns how many cores this process may use, or how many there are."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def run(
    function: Callable, *args, workers: int = 0, timeout: float | None = None
) -> Any:
  """Calls a function in one of the processes, which are started when needed.

  Args:
    function: defined at the top level of a module, so that it can be imported.
    *args: its arguments; they and the result are pickled.
    workers: how many processes share the tasks, see `number`.
    timeout: seconds of work. Time while the program is suspended does not
      count.

  Raises:
    WorkerDied: the process crashed twice or took too long.
    UserError: raised by the function.
    RuntimeError: any other error of the function, with its traceback.
  """
  tasks = Tasks(workers, timeout)
  tasks.add(function, *args)
  return tasks.next()


class Tasks:
  """Runs tasks in parallel, and returns their results in order."""

  def __init__(
      self,
      workers: int = 0,
      timeout: float | None = None,
      shape: tuple[int, ...] = (),
      closed: threading.Event | None = None,
  ):
    """Adds no task yet.

    Args:
      workers, timeout: as for `run`.
      shape: of results that are uint8 pixels.
      closed: set when nobody wants the results any more. What is not done a
        second later is ended with its process; `next` raises CancelledError.
    """
    self._workers, self._timeout = number(workers), timeout
    self._closed, self._late = closed or threading.Event(), 0
    self._shape, self._size = shape, int(np.prod(shape)) if shape else 0
    self._added: collections.deque[_Task] = collections.deque()

  def __len__(self) -> int:
    return len(self._added)

  @property
  def full(self) -> bool:
    """Tells whether enough tasks are queued to keep all processes busy."""
    return len(self._added) > 2 * self._workers

  def add(self, function: Callable, *args):
    """Starts one more task; arguments as for `run`."""
    block = _block(self._size)
    if block:
      args = block.name, self._shape, function, *args
      function = worker.write
    task = _Task((function, args, _folder()), block)
    self._start(task)
    self._added.append(task)

  def next(self, out: np.ndarray | None = None) -> Any:
    """Returns the result of the oldest added task; raises as `run` does.

    Must be called for every added task. Pixels are written to `out` if given.
    """
    task = self._added[0]
    try:
      result = self._result(task)
    except BaseException as e:
      answered = isinstance(e, UserError) and not isinstance(e, WorkerDied)
      if task.block and answered:
        _free[os.getpid(), self._size].append(task.block)
      elif task.block:
        # A process that is being killed may still write to the block.
        _made[os.getpid()].remove(task.block)
        task.block.unlink()
      raise
    finally:
      self._added.popleft()
    if task.block:
      result = np.ndarray(self._shape, np.uint8, task.block.buf)
    if self._size:
      out = np.empty(self._shape, np.uint8) if out is None else out
      out[...] = result
    if task.block:
      _free[os.getpid(), self._size].append(task.block)
    return out if self._size else result

  def _start(self, task: '_Task'):
    task.pool = _pool(self._workers)
    task.future, task.ticks = task.pool.schedule(worker.work, args=task.call), 0

  def _result(self, task: '_Task') -> Any:
    for attempt in itertools.count(1):
      try:
        result, process, used = self._wait(task)
      except pebble.ProcessExpired as e:
        # Try once more: an earlier file may have damaged the process.
        if attempt >= 2:
          raise WorkerDied(_describe(e.exitcode)) from None
      except BrokenProcessPool as e:
        if attempt >= _STARTS:
          raise RuntimeError(f'decoding processes do not start: {e}') from e
      else:
        _used[process] = used
        return result
      self._start(task)

  def _wait(self, task: '_Task') -> Any:
    while True:
      try:
        return task.future.result(_TICK)
      except TimeoutError:
        if _ended.is_set():
          raise WorkerDied('the program is exiting') from None
        # Pebble loses tasks that are added after all processes have ended.
        if not task.pool.active and not task.future.done():
          raise BrokenProcessPool('all of them ended') from None
        if _is_lost(task):
          raise pebble.ProcessExpired('its end was missed') from None
      self._late += self._closed.is_set()
      if self._late * _TICK >= _GRACE:
        for each in self._added:
          each.future.cancel()
      # Count for all tasks: those behind this one may hang as well.
      for each in self._added:
        each.ticks += each.future.running()
      if self._timeout and task.ticks * _TICK >= self._timeout:
        # Also kills the process.
        task.future.cancel()
        raise WorkerDied(f'it took longer than {self._timeout:.0f} s')


@dataclasses.dataclass(eq=False)
class _Task:
  call: tuple[Callable, tuple, str]
  block: shared_memory.SharedMemory | None
  pool: pebble.ProcessPool | None = None
  future: pebble.ProcessFuture | None = None
  # Multiples of `_TICK` seconds that it was seen running.
  ticks: int = 0


def run_all(
    function: Callable, tasks: Iterable[tuple], workers: int = 0
) -> Iterator[Any]:
  """Yields the result of `run` for each task's arguments, in order."""
  added = Tasks(workers)
  for args in tasks:
    if added.full:
      yield added.next()
    added.add(function, *args)
  while added:
    yield added.next()


def cpu_seconds() -> float:
  """Returns the CPU time of the processes up to their latest results."""
  return sum(_used.values())


def _block(size: int) -> shared_memory.SharedMemory | None:
  """Returns a block of shared memory; None for size 0 or for lack of room."""
  if not size:
    return None
  with contextlib.suppress(IndexError):
    return _free[os.getpid(), size].pop()
  try:
    block = shared_memory.SharedMemory(create=True, size=size)
  except OSError:
    return None
  try:
    # Reserve it: writing to a block that /dev/shm cannot hold kills a process.
    os.posix_fallocate(block._fd, 0, size)
  except AttributeError:
    pass  # macOS has neither.
  except OSError:
    block.unlink()
    return None
  _made[os.getpid()].append(block)
  return block


def _pool(workers: int) -> pebble.ProcessPool:
  # By process id: a fork of this program has to start its own processes.
  key = os.getpid(), workers
  with _lock:
    if _ended.is_set():
      raise WorkerDied('the program is exiting')
    pool = _pools.get(key)
    if pool and pool.active:
      return pool
    if pool:
      pool.stop()
      pool.join()
    pool = _pools[key] = pebble.ProcessPool(
        workers, initializer=worker.prepare, context=worker.Context()
    )
    # Not atexit, which children of multiprocessing ignore: they would wait for
    # the pool's processes for ever.
    util.Finalize(None, _end, exitpriority=1)
    # Start it under the lock: two threads starting it at once would deadlock.
    pool.schedule(os.getpid)
    return pool


def _is_lost(task: _Task) -> bool:
  """Tells whether a task's process died before pebble knew of the task.

  Pebble (5.2.3) looks for dead processes in one thread and reads their messages
  in another; if the message comes too late, it waits for the task for ever.
  """
  manager = task.pool._pool_manager
  alive = manager.worker_manager.workers
  return any(
      known.future is task.future
      and known.worker_id
      and known.worker_id not in alive
      for known in list(manager.task_manager.tasks.values())
  )


def _folder() -> str:
  try:
    return os.getcwd()
  except OSError:
    return ''  # It was deleted.


def _describe(status: int) -> str:
  if status == -getattr(signal, 'SIGKILL', 9):
    return 'the decoder was killed (signal 9), perhaps for lack of memory'
  if status < 0:
    return f'the decoder crashed (signal {-status})'
  return f'the decoder exited (status {status})'


def _end():
  with _lock:
    _ended.set()
  for (owner, _), pool in _pools.items():
    if owner == os.getpid():
      # The pool may be broken.
      with contextlib.suppress(KeyError, OSError):
        pool.stop()
        pool.join()
  for block in _made.pop(os.getpid(), ()):
    block.unlink()
