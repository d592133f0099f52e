"""Processes in which a decoder may crash or hang without harm.

In threads, decoders would wait for each other and for the trainer at Python's
lock, and what a file does to a decoder would happen to the trainer. The
processes import neither JAX nor TensorFlow nor the program's main module, and
end with the program. Pixels come back in shared memory: through a pipe a clip
of a megabyte would cost the trainer two milliseconds.
"""

import atexit
import collections
import contextlib
import ctypes
import errno
import multiprocessing
import multiprocessing.context
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import shared_memory, spawn
from typing import Any

import numpy as np
import pebble

from data_pipelines.errors import UserError

# Beyond these, disks and the trainer are what limits; each takes memory.
_MOST = 16
_TICK = 0.1
_MEMORY_BYTES = 8 << 30
# Names and values of glibc's malloc.h: free memory of frames is kept. Giving
# it back costs a quarter of the time of reading a 320x240 clip.
_MALLOC = {-3: 32 << 20, -1: 512 << 20, -2: 16 << 20}

_lock, _starting = threading.Lock(), threading.Lock()
_pools: dict[tuple[int, int], pebble.ProcessPool] = {}
# Seconds of processor time by process.
_used: dict[int, float] = {}
_ended = threading.Event()
# Blocks of memory at rest by (process, size): a fork of this program makes its
# own. All that this process has made; in a worker, those it knows, by name.
_free = collections.defaultdict(list)
_owner, _made, _attached = os.getpid(), [], {}


class WorkerDied(UserError):
  """The process that worked on a task crashed, or its time was over."""


def number(workers: int) -> int:
  """Returns how many processes there are: 0 = one per core, up to 16."""
  if workers:
    return workers
  # The cores that this process may use, where the system tells.
  if hasattr(os, 'sched_getaffinity'):
    return min(len(os.sched_getaffinity(0)), _MOST)
  return min(os.cpu_count() or 1, _MOST)


def run(
    function: Callable, *args, workers: int = 0, timeout: float | None = None
) -> Any:
  """Does a task in one of the processes, which are started when needed.

  Args:
    function: of a module, so that the processes can import it.
    *args: what it is called with; they and the result are pickled.
    workers: how many processes share the tasks, see `number`.
    timeout: seconds from the start of the work. Time in which the program
      stands still does not count.

  Raises:
    WorkerDied: the process crashed twice, or its time was over.
    UserError: what the function raises.
    RuntimeError: any other error, with its traceback.
  """
  for attempt in (1, 2):
    task = function, args, _folder()
    pool = _pool(number(workers))
    future = pool.schedule(_work, args=task)
    try:
      result, process, used = _wait(pool, future, timeout)
    except pebble.ProcessExpired as e:
      # Perhaps what an earlier file did to the process showed only now.
      if attempt == 2:
        raise WorkerDied(_describe(e.exitcode)) from None
    except BrokenProcessPool as e:
      if attempt == 2:
        raise RuntimeError(f'processes that decode do not start: {e}') from e
    else:
      _used[process] = used
      return result


def compute(
    function: Callable[..., np.ndarray],
    *args,
    shape: tuple[int, ...],
    workers: int = 0,
    timeout: float | None = None,
) -> np.ndarray:
  """Does what `run` does for a function that returns uint8 of this shape."""
  block = _block(int(np.prod(shape)))
  if block is None:
    return run(function, *args, workers=workers, timeout=timeout)
  # After an error the block is dropped: a process that is being ended may
  # still write to it.
  try:
    run(_write, block.name, function, *args, workers=workers, timeout=timeout)
  except BaseException:
    _made.remove(block)
    block.unlink()
    raise
  array = np.ndarray(shape, np.uint8, block.buf).copy()
  _free[os.getpid(), array.size].append(block)
  return array


def run_all(
    function: Callable, tasks: Iterable[tuple], workers: int = 0
) -> Iterator[Any]:
  """Yields what `run` returns for each task's arguments, in order."""

  def one(task):
    return run(function, *task, workers=workers)

  with ThreadPoolExecutor(number(workers)) as threads:
    yield from threads.map(one, tasks)


def cpu_seconds() -> float:
  """Returns the processor time that the processes have used for answers."""
  return sum(_used.values())


def keep_memory():
  """Tells glibc to keep freed memory; does nothing where there is none."""
  with contextlib.suppress(OSError, AttributeError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    for name, value in _MALLOC.items():
      mallopt(name, value)


def _block(size: int) -> shared_memory.SharedMemory | None:
  """Returns a block, or None for no pixels and where there is no room."""
  if not size:
    return None
  with contextlib.suppress(IndexError):
    return _free[os.getpid(), size].pop()
  block = None
  try:
    block = shared_memory.SharedMemory(create=True, size=size)
    # Else writing beyond the size of /dev/shm would end the process.
    os.posix_fallocate(block._fd, 0, size)
  except (OSError, AttributeError) as e:
    if block and getattr(e, 'errno', None) == errno.ENOSPC:
      block.unlink()
    return None
  _made.append(block)
  return block


def _write(name: str, function: Callable[..., np.ndarray], *args):
  pixels = function(*args)
  if name not in _attached:
    _attached[name] = shared_memory.SharedMemory(name)
  np.ndarray(pixels.shape, np.uint8, _attached[name].buf)[...] = pixels


class _Process(multiprocessing.context.SpawnProcess):
  """A process that does not run the main module of its parent again."""

  @staticmethod
  def _Popen(process):
    ours, original = threading.get_ident(), spawn.get_preparation_data

    def without_main(name):
      data = original(name)
      if threading.get_ident() == ours:
        data.pop('init_main_from_name', None)
        data.pop('init_main_from_path', None)
      return data

    with _starting:
      spawn.get_preparation_data = without_main
      try:
        return multiprocessing.context.SpawnProcess._Popen(process)
      finally:
        spawn.get_preparation_data = original


class _Context(multiprocessing.context.SpawnContext):
  Process = _Process


def _pool(workers: int) -> pebble.ProcessPool:
  # A fork of this program has to start processes of its own.
  key = os.getpid(), workers
  with _lock:
    pool = _pools.get(key)
    if pool and pool.active:
      return pool
    if pool:
      pool.stop()
      pool.join()
    pool = _pools[key] = pebble.ProcessPool(
        workers, initializer=_prepare, context=_Context()
    )
    # Starts it here: two threads that did so at once would wait for ever.
    pool.schedule(os.getpid)
    return pool


def _wait(
    pool: pebble.ProcessPool,
    future: pebble.ProcessFuture,
    timeout: float | None,
) -> Any:
  ticks = 0
  while True:
    try:
      return future.result(_TICK)
    except TimeoutError:
      if _ended.is_set():
        raise WorkerDied('the program is ending') from None
      if _is_lost(pool, future):
        raise pebble.ProcessExpired('its end was missed') from None
    ticks += future.running()
    if timeout and ticks * _TICK >= timeout:
      # Ends the process as well.
      future.cancel()
      raise WorkerDied(f'it took longer than {timeout:.0f} s')


def _is_lost(pool: pebble.ProcessPool, future: pebble.ProcessFuture) -> bool:
  """Whether a task's process ended before pebble knew that it had the task.

  Pebble (5.2.3) looks for dead processes and reads their messages in threads of
  their own, and waits for ever for what it was told of too late.
  """
  manager = pool._pool_manager
  alive = manager.worker_manager.workers
  return any(
      task.future is future and task.worker_id and task.worker_id not in alive
      for task in list(manager.task_manager.tasks.values())
  )


def _prepare():
  """Makes a new process quiet, sparing, and mortal."""
  parent = multiprocessing.parent_process()

  def end_with_parent():
    parent.join()
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()
  # Ctrl-C in the terminal is for the trainer.
  if hasattr(os, 'setsid'):
    os.setsid()
  # They are as many as there are cores.
  os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')
  keep_memory()
  # A strange file may ask for any amount.
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or hard > _MEMORY_BYTES:
      resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, hard))
  # Libraries print what they think of files.
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 1)
  os.dup2(nowhere, 2)


def _folder() -> str:
  try:
    return os.getcwd()
  except OSError:
    return ''  # It was deleted.


def _work(
    function: Callable, args: tuple, folder: str
) -> tuple[Any, int, float]:
  # Paths may be relative, and a notebook may have moved since the start.
  with contextlib.suppress(OSError):
    os.chdir(folder)
  try:
    result = function(*args)
  except UserError:
    raise
  except Exception:
    # Not every exception can be pickled.
    raise RuntimeError(traceback.format_exc()) from None
  return result, os.getpid(), time.process_time()


def _describe(status: int) -> str:
  if status == -getattr(signal, 'SIGKILL', 9):
    return 'the decoder was killed (signal 9), perhaps for lack of memory'
  if status < 0:
    return f'the decoder crashed (signal {-status})'
  return f'the decoder ended (status {status})'


@atexit.register
def _end():
  _ended.set()
  for (owner, _), pool in _pools.items():
    if owner == os.getpid():
      pool.stop()
      pool.join()
  for block in _made if os.getpid() == _owner else ():
    block.unlink()
