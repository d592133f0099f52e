"""Defines the processes of the pool: how they start and what they run."""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.context
import os
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import shared_memory, spawn
from typing import Any

import numpy as np

from data_pipelines.errors import UserError

_MEMORY_BYTES = 8 << 30
# Options of glibc's mallopt (malloc.h) that keep the memory of freed frames.
# Returning it to the system takes a quarter of the time to read a 320x240 clip.
_MALLOC = {-3: 32 << 20, -1: 512 << 20, -2: 16 << 20}

_starting = threading.Lock()
# Blocks of shared memory that this process has opened, by name.
_attached: dict[str, shared_memory.SharedMemory] = {}


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


class Context(multiprocessing.context.SpawnContext):
  """Starts processes that do not import the main module."""

  Process = _Process


def prepare():
  """Makes a new process silent, limits its memory, ends it with its parent."""
  parent = multiprocessing.parent_process()

  def end_with_parent():
    parent.join()
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()
  # Ctrl-C in the terminal must reach the trainer only.
  if hasattr(os, 'setsid'):
    os.setsid()
  # There is a process per core already.
  os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')
  keep_memory()
  # A malformed file may ask for any amount of memory.
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or hard > _MEMORY_BYTES:
      resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, hard))
  # Libraries print warnings about files.
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 1)
  os.dup2(nowhere, 2)


def keep_memory():
  """Tells glibc to keep freed memory; does nothing without glibc."""
  with contextlib.suppress(OSError, AttributeError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    for name, value in _MALLOC.items():
      mallopt(name, value)


def work(
    function: Callable, args: tuple, folder: str
) -> tuple[Any, int, float]:
  """Runs a task: (result, process id, CPU seconds of the process so far)."""
  # Paths may be relative, and a notebook may have changed its folder.
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


def write(
    name: str,
    shape: tuple[int, ...],
    function: Callable[..., np.ndarray],
    *args,
):
  """Runs a task and writes its uint8 pixels into a block of shared memory."""
  pixels = function(*args)
  if name not in _attached:
    _attached[name] = shared_memory.SharedMemory(name)
  np.ndarray(shape, np.uint8, _attached[name].buf)[...] = pixels
