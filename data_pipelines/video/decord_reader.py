"""Reads frames with decord (data.decoder='decord') where it is exact.

decord 0.6 assumes that a key frame's position in the file is its position in
display order. That is false for open groups of pictures (HEVC's default) and
for MPEG-4 with B-frames, where it silently returns neighbouring frames.
"""

import importlib.util
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.video import pyav_reader
from data_pipelines.video.container import Media, rgb
from data_pipelines.video.packets import Packets

# decord gets these wrong even where the timestamps look right.
_WRONG = ('mpeg4', 'msmpeg4v1', 'msmpeg4v2', 'msmpeg4v3', 'h263')


def available() -> bool:
  """Tells whether decord is installed (it has no wheels for ARM or Apple)."""
  return importlib.util.find_spec('decord') is not None


def read(source: Media, wanted: Sequence[int]) -> np.ndarray:
  """Reads frames uint8 [T, H, W, 3], RGB, of sorted frame numbers.

  Raises errors of decord's own kind.
  """
  return _open(source).get_batch(list(wanted)).asnumpy()


def is_exact(
    source: Media, packets: Packets, times: np.ndarray | None
) -> bool:
  """Tests whether decord reads a file as PyAV does.

  True if a sample of frames is equal, read in order and out of order, and every
  key frame is stored where it is shown. `times` is the result of `timeline`.
  """
  if packets.codec in _WRONG or packets.streams != 1 or packets.hidden:
    return False
  if times is None or None in packets.times or not available():
    return False
  if sorted(packets.times) != times.tolist():
    return False
  keys = np.flatnonzero(packets.keys)
  if any(packets.times[k] != times[k] for k in keys):
    return False
  rng, n = np.random.default_rng(len(times)), len(times)
  places = [0, n // 2, n - 3, n - 2, n - 1, *rng.integers(n, size=4).tolist()]
  for k in (keys[-1], rng.choice(keys)):
    places += [k - 1, k, k + 1, k + 2]
  wanted = sorted({int(k) for k in places if 0 <= k < n})
  leaps = rng.permutation(wanted)[:3].tolist()
  truth = {k: rgb(f) for k, f in pyav_reader.pick(source, wanted, times)}
  try:
    reader = _open(source)
    seconds = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    if len(reader) != n or seconds[0] < 0 or not np.all(np.diff(seconds) > 0):
      return False
    return all(
        np.array_equal(frame, truth[k])
        for order in (wanted, leaps)
        for k, frame in zip(
            order, reader.get_batch(order).asnumpy(), strict=True
        )
    )
  # decord raises its own exceptions for files that PyAV could read.
  except Exception:
    return False


def _open(source: Media) -> Any:
  """Opens a reader; do not keep it: idle, it decodes ahead without bound."""
  import decord

  decord.logging.set_level(decord.logging.QUIET)
  if isinstance(source, bytes):
    source = io.BytesIO(source)
  return decord.VideoReader(source, num_threads=1)
