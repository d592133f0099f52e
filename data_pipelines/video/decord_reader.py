"""Reading frames with decord: fast where its random access is exact.

decord 0.6 assumes that a key frame's place in the file is its place on the
screen. That is false for open groups of pictures (HEVC's default) and for
MPEG-4 with B-frames; there it silently returns neighbouring frames.
`exactness.py` decides per file; only `decode.py` may read with it.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np


def available() -> bool:
  """Whether decord is installed; it has no wheels for ARM and Apple."""
  try:
    import decord  # noqa: F401
  except (ImportError, OSError):
    return False
  return True


def open_reader(source: str | bytes) -> Any:
  """A new decord.VideoReader, one thread.

  Open, read, forget: an idle reader decodes ahead without bound
  (dmlc/decord#208), so readers are never kept.
  """
  import decord

  decord.logging.set_level(decord.logging.QUIET)
  if isinstance(source, bytes):
    source = io.BytesIO(source)
  return decord.VideoReader(source, num_threads=1)


def read(source: str | bytes, wanted: Sequence[int]) -> np.ndarray:
  """Frames uint8 [T, H, W, 3], RGB, for sorted frame numbers.

  Raises:
    RuntimeError: decord failed.
  """
  return open_reader(source).get_batch(list(wanted)).asnumpy()


def keeps_time(reader: Any, num_frames: int) -> bool:
  """Whether decord sees as many frames and each at a later time."""
  if len(reader) != num_frames:
    return False
  times = reader.get_frame_timestamp(range(num_frames))[:, 0]
  return bool(
      np.all(np.isfinite(times))
      and np.all(times >= 0)
      and np.all(np.diff(times) > 0)
  )
