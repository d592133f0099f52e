"""Examines one video: what it is, whether it is sound, how to read it.

Runs in a process of its own (`probes.py`), so that a file that causes a crash,
an endless loop or gigabytes of memory does no harm to the trainer.

A file is decoded completely, once. Of a long film only samples are: the
container tells when each frame is shown, and the pieces that lists name are
examined on request (`look`). Two shortcuts for reading are checked against the
frames decoded in order: jumping to key frames, and skipping B-frames.
"""

import dataclasses
import functools
import os
import zlib
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from data_pipelines.video import container, decord_reader, image_folder, packets
from data_pipelines.video.container import Media, Unreadable, decode
from data_pipelines.video.packets import Packets
from data_pipelines.video.pyav_reader import SEEK_GAP, SeekMissed, pick

# A longer video counts as a film: two minutes at 25 frames per second.
FILM_FRAMES = 3_000
# With more frames between two key frames, a film is decoded completely.
_MOST_FRAMES = 1_000
# Share by which a header's frame rate may differ from the measured average.
_FPS_ERROR = 0.1
# Frames compared after a jump.
_COMPARED = 2
# Least distance of the entry points that are stored.
_KEYFRAME_STEP = SEEK_GAP // 2
# In these codecs B-frames are never references.
_NO_PYRAMIDS = ('mpeg4', 'mpeg2video', 'mpeg1video')
# Every fifth frame: no multiple of the usual distances of P-frames.
_TRIED_STEP = 5
_FAILURES = (Unreadable, SeekMissed, av.error.FFmpegError)
_list = functools.partial(dataclasses.field, default_factory=list)


@dataclasses.dataclass
class _Frames:
  """Collects facts about decoded frames, in the decoder's order.

  `luma` are checksums of the luma planes; `bidirectional` marks B-frames;
  `corrupt` holds positions of corrupt frames.
  """

  width: int = 0
  height: int = 0
  display: tuple[int, int, int, int] = container.AS_STORED
  interlaced: bool = False
  times: list[int | None] = _list()
  luma: list[int] = _list()
  bidirectional: list[bool] = _list()
  corrupt: list[int] = _list()

  def add(self, frame: av.VideoFrame):
    if frame.is_corrupt:
      self.corrupt.append(len(self.times))
    if not self.times:
      self.width, self.height = frame.width, frame.height
      self.display = container.display(frame)
      # Raises an error for colours that cannot be converted.
      container.rgb(frame)
    self.interlaced |= frame.interlaced_frame
    self.times.append(frame.pts)
    self.luma.append(_luma(frame))
    self.bidirectional.append(frame.pict_type == PictureType.B)


def examine(source: Media, decoder: str = 'pyav') -> dict[str, Any]:
  """Returns the fields of a `Probe` that depend on contents, or its `error`.

  `source` is an absolute path or a file's contents. With decoder='decord',
  tests whether decord reads the file exactly.
  """
  try:
    if isinstance(source, str) and os.path.isdir(source):
      return image_folder.examine(source)
    return _examine(source, decoder)
  except Unreadable as e:
    return {'error': str(e)}
  except MemoryError:
    return {'error': 'it needs too much memory'}
  # Any other failure is blamed on the file.
  except Exception as e:
    return {'error': f'it cannot be examined ({type(e).__name__}: {e})'}


def look(
    source: Media, times: np.ndarray, keyframes: Sequence[int], wanted: range
) -> tuple[int, str] | None:
  """Decodes some frames of a film, given its `times` and `keyframes`.

  Returns:
    (the first frame of `wanted` that cannot be read, why), or None.
  """
  # As the reader does: after a jump; if that fails, from the beginning.
  for entries in (keyframes, ()):
    number = wanted.start
    try:
      for _ in pick(source, wanted, times, entries):
        number += 1
      return None
    except Exception as e:
      fault = number, str(e) or _damaged(number)
  return fault


def _examine(source: Media, decoder: str) -> dict[str, Any]:
  found = packets.read(source)
  if len(found.times) > FILM_FRAMES and not found.hidden:
    film = _look_at_places(source, found)
    if film:
      return film
  frames = _decode_all(source, found)
  times = container.timeline(frames.times, found.container, found.codec)
  answer = _answer(found, frames, times)
  in_order = times is not None and frames.times == times.tolist()
  if in_order:
    answer['keyframes'] = _entry_points(source, found, times, frames.luma)
  if times is None or in_order:
    answer['spare'] = _spare_frames(source, found, times, frames)
  if (
      decoder == 'decord'
      and frames.display == container.AS_STORED
      and decord_reader.is_exact(source, found, times)
  ):
    answer['decoder'] = 'decord'
  return answer


def _answer(
    found: Packets, frames: _Frames, times: np.ndarray | None
) -> dict[str, Any]:
  count = len(frames.times) if times is None else len(times)
  turned = -1 if frames.display[1] else 1
  width, height = (frames.width, frames.height)[::turned]
  fps = found.fps if np.isfinite(found.fps) else 0.0
  if times is not None and count > 1:
    tick = found.time_base[0] / found.time_base[1]
    span = float(times[-1] - times[0]) * tick
    average = (count - 1) / span
    # Some headers tell the highest rate, or the clock's.
    if abs(fps / average - 1) > _FPS_ERROR:
      fps = average
    duration = span + 1 / fps
  else:
    fps = fps or 25.0
    duration = count / fps
  broken = [(k, k + 1, _damaged(k)) for k in frames.corrupt]
  if times is None and broken and count < len(found.times):
    # Frames are lost, so later frames no longer have the numbers of the lists.
    broken = [(broken[0][0], count, broken[0][2])]
  return {
      'num_frames': count,
      'width': width,
      'height': height,
      'fps': fps,
      'duration': duration,
      'codec': found.codec,
      'container': found.container,
      'display': frames.display,
      'times': [] if times is None else times.tolist(),
      'time_base': found.time_base,
      'broken': tuple(broken),
  }


def _decode_all(source, found: Packets) -> _Frames:
  out = _Frames()
  with container.open_video(source) as (file, stream):
    for frame in decode(file, stream):
      out.add(frame)
  count = len(out.times)
  if not count:
    raise Unreadable('it holds 0 frames that can be decoded')
  if out.corrupt and count <= FILM_FRAMES:
    raise Unreadable(_damaged(out.corrupt[0]))
  # Hidden reference frames (VP8) and fields are packets without a frame.
  expected = len(found.times) - found.hidden
  splits = out.interlaced or found.codec == 'vp8'
  if not splits and expected - count > max(3, expected // 10):
    raise Unreadable(
        f'it is damaged: {expected} frames stored, only {count} can be decoded'
    )
  return out


def _look_at_places(source, found: Packets) -> dict[str, Any] | None:
  """Decodes the beginning, the end and three places between them.

  Returns None if the film must be decoded completely (no timestamps, too few
  key frames, or the decoder disagrees with the container). Damage anywhere but
  at the beginning affects only the pieces there.
  """
  if None in found.times:
    return None
  # In display order; whether the decoder agrees is checked below.
  in_order = sorted(found.times)
  times = container.timeline(in_order, found.container, found.codec)
  entries = [] if times is None else _spread(found, times)
  if len(entries) < 2:
    return None
  last = len(entries) - 1
  ends = [*entries[1:], len(times)]
  beginning, spare, looked, broken, exact = None, set(), [], [], True
  for k in sorted({0, last // 4, last // 2, 3 * last // 4, last}):
    start, stop = entries[k], min(ends[k] + _COMPARED, len(times))
    if stop - start > _MOST_FRAMES:
      return None
    looked.append((start, stop))
    frames = _Frames()
    try:
      for _, frame in pick(source, range(start, stop), times, (start,), 0):
        frames.add(frame)
    except SeekMissed:
      return None
    except Unreadable as e:
      if not k:
        raise
      broken.append((start, stop, str(e)))
      continue
    if frames.times != times[start:stop].tolist():
      return None
    after, luma = range(ends[k], stop), frames.luma[ends[k] - start :]
    if not _same(source, after, times, luma, (ends[k],)):
      return None
    beginning = beginning or frames
    dropped = _spare_frames(source, found, times, frames, start)
    spare |= set(dropped)
    exact &= bool(dropped) or not any(frames.bidirectional)
  return _answer(found, beginning, times) | {
      'num_frames': len(times),
      'keyframes': tuple(entries),
      'spare': sorted(spare) if exact else [],
      'looked': tuple(looked),
      'broken': tuple(broken),
  }


def _damaged(number: int) -> str:
  return f'it is damaged in frame {number}'


def _entry_points(source, found: Packets, times, luma) -> tuple[int, ...]:
  """Frame numbers where decoding may start; () if one of three jumps fails."""
  chosen = _spread(found, times) if len(times) > SEEK_GAP else [0]
  if len(chosen) == 1:
    return ()
  for start in {chosen[1], chosen[len(chosen) // 2], chosen[-1]}:
    tried = range(start, min(start + _COMPARED, len(times)))
    if not _same(source, tried, times, luma[start:], (start,)):
      return ()
  return tuple(chosen)


def _spread(found: Packets, times: np.ndarray) -> list[int]:
  """Frame numbers of key frames, thinned out; the first is 0."""
  pairs = zip(found.times, found.keys, strict=True)
  entries = [t for t, key in pairs if key and t is not None]
  chosen = [0]
  for k in np.flatnonzero(np.isin(times, entries)).tolist():
    if k - chosen[-1] >= _KEYFRAME_STEP:
      chosen.append(k)
  return chosen


def _spare_frames(
    source, found: Packets, times, frames: _Frames, first: int = 0
) -> list[int]:
  """Numbers of the B-frames in `frames`, which begin at key frame `first`.

  [] if skipping them changes other frames (every fifth is tested), or frames
  are counted and the codec may use B-frames as references.
  """
  spare = (first + np.flatnonzero(frames.bidirectional)).tolist()
  if not spare or (times is None and found.codec not in _NO_PYRAMIDS):
    return []
  tried = range(first, first + len(frames.luma), _TRIED_STEP)
  entries, luma = (first,) if first else (), frames.luma[::_TRIED_STEP]
  return spare if _same(source, tried, times, luma, entries, spare) else []


def _same(source, wanted, times, luma, keyframes, spare=()) -> bool:
  """Tells whether frames read by a shortcut have the luma checksums wanted."""
  known = dict(zip(wanted, luma, strict=False))
  try:
    chosen = pick(source, wanted, times, keyframes, 0, spare)
    return all(_luma(frame) == known[n] for n, frame in chosen)
  except _FAILURES:
    return False


def _luma(frame: av.VideoFrame) -> int:
  """Checksum of the first plane, the luma."""
  plane = frame.planes[0]
  # Rows are stored bottom up.
  if plane.line_size < 0:
    return zlib.crc32(np.ascontiguousarray(container.rgb(frame)))
  rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
  return zlib.crc32(np.ascontiguousarray(rows[: frame.height, : frame.width]))
