"""Tests whether a file's frames may be reached without decoding all of it.

Three shortcuts are tried against the frames that decoding from the beginning
gave: jumping to key frames with PyAV, leaving out B-frames, and decord.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from av.video.frame import PictureType

from data_pipelines.video import decord_reader, film, picking
from data_pipelines.video.film import Source

# Shorter steps between entry points are not worth storing.
_KEYFRAME_STEP = picking.SEEK_GAP // 2
# decord reads a whole file to open it. In a film PyAV rather jumps.
_FILM_FRAMES = 3_000
# No frame builds on a B-frame in these.
_NO_PYRAMIDS = ('mpeg4', 'mpeg2video', 'mpeg1video')
# No multiple of the usual distances of P-frames.
_TRIED_STEP = 5
# decord is wrong in these even where the timestamps look right.
_NOT_WITH_DECORD = ('mpeg4', 'msmpeg4v1', 'msmpeg4v2', 'msmpeg4v3', 'h263')


def checksum(pixels: np.ndarray) -> int:
  """Of the values of an array of any layout in memory."""
  return zlib.crc32(np.ascontiguousarray(pixels))


def luma(frame) -> int:
  """Checksum of the first plane of an av.VideoFrame: its brightness."""
  plane = frame.planes[0]
  rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
  return checksum(rows[: frame.height, : frame.width])


def is_bidirectional(frame) -> bool:
  """Whether an av.VideoFrame is a B-frame."""
  return frame.pict_type == PictureType.B


def sample(stored: Sequence[int | None], keys: Sequence[bool]) -> set[int]:
  """Timestamps of frames on which decord will be tried.

  Args:
    stored: timestamps in the order in which the file holds its frames.
    keys: which of these are key frames.

  Returns:
    The ends, the middle, the surroundings of two key frames (the last one
    among them) and four more. Empty without decord or without timestamps.
  """
  if not decord_reader.available() or any(t is None for t in stored):
    return set()
  times = sorted(stored)
  n = len(times)
  rng = np.random.default_rng(n)
  entries = [t for t, key in zip(stored, keys, strict=True) if key]
  ranks = {0, n // 2, n - 3, n - 2, n - 1, *rng.integers(n, size=4).tolist()}
  if entries:
    for t in (entries[-1], entries[rng.integers(len(entries))]):
      ranks |= {times.index(t) + d for d in (-1, 0, 1, 2)}
  return {times[r] for r in ranks if 0 <= r < n}


def entry_points(
    source: Source,
    stored: Sequence[int | None],
    keys: Sequence[bool],
    times: np.ndarray,
    brightness: Sequence[int],
) -> tuple[int, ...]:
  """Frame numbers from which decoding may start; jumps are tried on three.

  Args:
    source: path or contents.
    stored: timestamps in the order in which the file holds its frames.
    keys: which of these are key frames.
    times: timestamps in the order of the screen, which the decoder keeps.
    brightness: `luma` of each frame.

  Returns:
    Rising, the first is 0; () if the video is short or a jump went wrong.
  """
  if len(times) <= picking.SEEK_GAP:
    return ()
  chosen = spread(stored, keys, times)
  if len(chosen) == 1:
    return ()
  for start in {chosen[1], chosen[len(chosen) // 2], chosen[-1]}:
    wanted = [n for n in (start, start + 1) if n < len(times)]
    try:
      got = dict(picking.pick(source, wanted, times, (start,), gap=0))
    except (film.Unreadable, picking.SeekMissed, film.av.error.FFmpegError):
      return ()
    if any(luma(got[n]) != brightness[n] for n in wanted):
      return ()
  return tuple(chosen)


def spare_frames(
    source: Source,
    codec: str,
    times: np.ndarray | None,
    bidirectional: Sequence[bool],
    brightness: Sequence[int],
    first: int = 0,
) -> list[int]:
  """Numbers of the B-frames; every fifth frame is read without the others.

  Args:
    source: path or contents.
    codec: FFmpeg's name of the codec.
    times: timestamps in the order of the screen, which the decoder keeps; None
      if frames go by count.
    bidirectional: which frames are B-frames, in the decoder's order.
    brightness: `luma` of each frame.
    first: number of the first of these frames, a key frame.

  Returns:
    Rising; [] if frames read like this differ, or go by count in a codec whose
    frames may build on B-frames.
  """
  spare = (first + np.flatnonzero(bidirectional)).tolist()
  if not spare or (times is None and codec not in _NO_PYRAMIDS):
    return []
  wanted = range(first, first + len(brightness), _TRIED_STEP)
  entries = (first,) if first else ()
  try:
    for n, frame in picking.pick(source, wanted, times, entries, 0, spare):
      if luma(frame) != brightness[n - first]:
        return []
  except (film.Unreadable, picking.SeekMissed, film.av.error.FFmpegError):
    return []
  return spare


def spread(
    stored: Sequence[int | None], keys: Sequence[bool], times: np.ndarray
) -> list[int]:
  """Frame numbers of key frames with some distance; the first is 0."""
  entries = [
      t for t, key in zip(stored, keys, strict=True) if key and t is not None
  ]
  chosen = [0]
  for k in np.flatnonzero(np.isin(times, entries)).tolist():
    if k - chosen[-1] >= _KEYFRAME_STEP:
      chosen.append(k)
  return chosen


def suits_decord(
    codec: str,
    stored: Sequence[int | None],
    keys: Sequence[bool],
    times: np.ndarray,
    keyframes: Sequence[int],
) -> bool:
  """Whether decord's way of counting is right for a file, and worth while.

  decord takes the place of a key frame in the file for its number. So every
  key frame must be stored where it is shown, which open groups of pictures
  break: there, frames stored behind a key frame are shown before it.
  """
  if codec in _NOT_WITH_DECORD or any(t is None for t in stored):
    return False
  if sorted(stored) != times.tolist():
    return False
  if keyframes and len(times) > _FILM_FRAMES:
    return False
  return all(
      time == times[place]
      for place, (time, key) in enumerate(zip(stored, keys, strict=True))
      if key
  )


def decord_is_exact(
    source: Source, times: np.ndarray, colours: dict[int, int]
) -> bool:
  """Compares decord's frames, read forwards and in leaps, with PyAV's.

  Args:
    source: path or contents.
    times: timestamps in the order of the screen.
    colours: {timestamp: checksum of the RGB frame} of a sample.
  """
  if not colours or not decord_reader.available():
    return False
  wanted = np.searchsorted(times, sorted(colours))
  expected = [colours[int(times[n])] for n in wanted]
  leaps = np.random.default_rng(0).permutation(len(wanted))[:3]
  try:
    reader = decord_reader.open_reader(source)
    if not decord_reader.keeps_time(reader, len(times)):
      return False
    for order in (np.arange(len(wanted)), leaps):
      got = reader.get_batch(wanted[order].tolist()).asnumpy()
      if [checksum(f) for f in got] != [expected[k] for k in order]:
        return False
  # decord raises classes of its own for files that PyAV could read.
  except Exception:
    return False
  return True
