"""Memory that processes write pixels into: only its name goes through pipes.

A clip is a megabyte or more; as an answer through a pipe it would cost the
trainer two milliseconds.
"""

import atexit
import collections
import contextlib
import errno
import os
import weakref
from collections.abc import Callable
from multiprocessing import shared_memory

import numpy as np

from data_pipelines.video import pool

# Blocks at rest by (process, size): a fork of this program makes its own.
_free: dict[tuple[int, int], list['_Block']] = collections.defaultdict(list)
# All that this process has made.
_owner, _made = os.getpid(), []
# In a worker: blocks by name.
_attached: dict[str, '_Block'] = {}


class _Block(shared_memory.SharedMemory):
  """A block that may be dropped while arrays still show it."""

  def __del__(self):
    with contextlib.suppress(BufferError, OSError):
      self.close()


def compute(
    function: Callable[..., np.ndarray],
    *args,
    shape: tuple[int, ...],
    workers: int = 0,
    timeout: float | None = None,
) -> np.ndarray:
  """Lets a process compute an array, as `pool.run` with other means.

  Args:
    function: returns uint8 of this shape.
    *args: what it is called with.
    shape: of the result.
    workers, timeout: as for `pool.run`.

  Returns:
    The array. Its memory is used again when nobody refers to it any more.
  """
  block = _take(int(np.prod(shape)))
  if block is None:
    return pool.run(function, *args, workers=workers, timeout=timeout)
  # After an error the block is dropped: a process that is being ended may
  # still write to it.
  try:
    pool.run(
        _write, block.name, function, *args, workers=workers, timeout=timeout
    )
  except BaseException:
    _made.remove(block)
    block.unlink()
    raise
  array = np.ndarray(shape, np.uint8, block.buf)
  key = os.getpid(), array.size
  weakref.finalize(array, _free[key].append, block).atexit = False
  return array


def _take(size: int) -> _Block | None:
  """Returns a block, or None for no pixels and where there is no room."""
  if not size:
    return None
  with contextlib.suppress(IndexError):
    return _free[os.getpid(), size].pop()
  block = None
  try:
    block = _Block(create=True, size=size)
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
    _attached[name] = _Block(name)
  np.ndarray(pixels.shape, np.uint8, _attached[name].buf)[...] = pixels


@atexit.register
def _unlink():
  for block in _made if os.getpid() == _owner else ():
    block.unlink()
