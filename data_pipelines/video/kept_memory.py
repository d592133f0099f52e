"""Memory of frames is kept by the process instead of given back each time.

A clip passes through several arrays of a megabyte or two. By default glibc
gives such blocks back to the system as soon as they are free and gets the next
ones page by page, each with a fault: a quarter of the loader's time for a
320x240 clip.
"""

import contextlib
import ctypes
import functools

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
# The largest that glibc takes.
_KEPT_BLOCK = 32 << 20
_KEPT_IN_ALL = 512 << 20
_STEP = 16 << 20


@functools.cache
def keep():
  """Tells glibc, once per process; does nothing where there is none."""
  with contextlib.suppress(OSError, AttributeError, TypeError):
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK)
    mallopt(_TRIM_THRESHOLD, _KEPT_IN_ALL)
    mallopt(_TOP_PAD, _STEP)
