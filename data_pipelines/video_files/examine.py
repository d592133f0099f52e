"""Looks through one video file; runs in a process of its own.

`python -m data_pipelines.video_files.examine` answers questions on its
standard input until that is closed. What a file does to this process (a crash,
an endless loop, gigabytes of memory) cannot reach the trainer: see `child.py`.
"""

import contextlib
import dataclasses
import os
import sys
from typing import Any

import numpy as np

from data_pipelines.video_files import (
    child,
    containers,
    exactness,
    films,
    frame_folder,
    pyav,
)
from data_pipelines.video_files.pyav import Source, Unreadable

# A header may promise a few frames more than there are (many real AVI files
# do); from here on the file counts as cut off.
_TOLERATED_FRAMES = 2
_TOLERATED_PART = 50
_MEMORY_BYTES = 8 << 30


@dataclasses.dataclass
class _Packets:
  """What the container says, without decoding."""

  container: str
  codec: str
  streams: int
  fps: float
  time_base: tuple[int, int]
  promised: int
  duration: float
  times: list[int | None] = dataclasses.field(default_factory=list)
  keys: list[bool] = dataclasses.field(default_factory=list)
  hidden: int = 0
  incomplete: int = 0
  reached: float = 0.0


@dataclasses.dataclass
class _Frames:
  """What came out of the decoder, in its order."""

  width: int = 0
  height: int = 0
  rotation: int = 0
  interlaced: bool = False
  times: list[int | None] = dataclasses.field(default_factory=list)
  # Checksum of each frame's brightness plane.
  luma: list[int] = dataclasses.field(default_factory=list)
  # Whether each is a B-frame.
  bidirectional: list[bool] = dataclasses.field(default_factory=list)
  # Checksum of the colours of some frames, by timestamp.
  colours: dict[int, int] = dataclasses.field(default_factory=dict)


def examine(source: Source) -> dict[str, Any]:
  """Decodes a whole file once and says how to read it.

  Of a long film only some places are decoded (`films.py`).

  Args:
    source: absolute path of a file or a folder of pictures, or the file's
      contents.

  Returns:
    The fields of `probe.Probe` that depend on the contents.

  Raises:
    Unreadable: the file is not a sound video; the message says why.
  """
  if frame_folder.holds_pictures(source):
    return frame_folder.examine(source)
  packets = _read_packets(source)
  _check_complete(packets, containers.missing_bytes(source))
  if len(packets.times) > films.FILM_FRAMES and not packets.hidden:
    film = films.look(
        source,
        packets.container,
        packets.codec,
        packets.times,
        packets.keys,
    )
    if film is not None:
      answer = _answer_of(packets, film, film.times, film.keyframes)
      return answer | {'spare': list(film.spare)}
  # AVI has no presentation times, without which decord is not asked.
  sample = set()
  if packets.container != 'avi':
    sample = exactness.sample(packets.times, packets.keys)
  frames = _decode_all(source, packets, sample)
  times = pyav.timeline(frames.times, packets.container, packets.codec)
  keyframes, with_decord = (), False
  if times is not None and frames.times == times.tolist():
    keyframes = exactness.entry_points(
        source, packets.times, packets.keys, times, frames.luma
    )
    with_decord = (
        packets.streams == 1
        and not packets.hidden
        and not frames.rotation
        and exactness.suits_decord(
            packets.codec, packets.times, packets.keys, times, keyframes
        )
        and exactness.decord_is_exact(source, times, frames.colours)
    )
  answer = _answer_of(packets, frames, times, keyframes, with_decord)
  if times is None or frames.times == times.tolist():
    answer['spare'] = exactness.spare_frames(
        source, packets.codec, times, frames.bidirectional, frames.luma
    )
  return answer


def _answer_of(
    packets: _Packets,
    picture: '_Frames | films.Film',
    times: np.ndarray | None,
    keyframes: tuple[int, ...],
    with_decord: bool = False,
) -> dict[str, Any]:
  count = len(picture.times) if times is None else len(times)
  width, height = picture.width, picture.height
  if picture.rotation in (90, 270):
    width, height = height, width
  fps, duration = _clock(packets, times, count)
  return {
      'num_frames': count,
      'width': width,
      'height': height,
      'fps': fps,
      'duration': duration,
      'codec': packets.codec,
      'container': packets.container,
      'rotation': picture.rotation,
      'decoder': 'decord' if with_decord else 'pyav',
      'times': [] if times is None else times.tolist(),
      'time_base': packets.time_base,
      'keyframes': keyframes,
  }


def _read_packets(source) -> _Packets:
  try:
    return _demux(source)
  except Unreadable as e:
    missing_bytes = containers.missing_bytes(source)
    if not missing_bytes:
      raise
    raise Unreadable(
        f'it is cut off: {missing_bytes} bytes are missing'
    ) from e


def _demux(source) -> _Packets:
  with pyav.open_video(source) as (container, stream):
    base = stream.time_base
    name = container.format.name
    # FFmpeg builds MP4's index when it opens the file, edit lists included.
    indexed = len(stream.index_entries) if name.startswith('mov') else 0
    out = _Packets(
        container=name,
        codec=stream.codec_context.codec.canonical_name,
        streams=len(container.streams.video),
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        time_base=(base.numerator, base.denominator) if base else (0, 1),
        promised=indexed or stream.frames,
        duration=(container.duration or 0) / 1e6,
    )
    try:
      for packet in container.demux():
        if packet.dts is None and packet.pts is None and not packet.size:
          continue
        _note_packet(out, packet, packet.stream.index == stream.index)
    except pyav.av.error.FFmpegError as e:
      raise Unreadable(
          f'it is damaged: the container ends after {len(out.times)} frames '
          f'({pyav.reason(e)})'
      ) from e
  if not out.times:
    raise Unreadable('it holds 0 frames')
  return out


def _note_packet(out: _Packets, packet, is_video: bool):
  time = packet.dts if packet.pts is None else packet.pts
  if time is not None and packet.time_base:
    end = float((time + (packet.duration or 0)) * packet.time_base)
    out.reached = max(out.reached, end)
  if not is_video:
    return
  out.times.append(packet.pts)
  out.keys.append(packet.is_keyframe)
  out.hidden += packet.is_discard
  out.incomplete += packet.is_corrupt
  if len(out.times) > pyav.MAX_FRAMES:
    raise Unreadable(f'it has more than {pyav.MAX_FRAMES} frames')


def _check_complete(packets: _Packets, missing_bytes: int):
  count = len(packets.times)
  missing = packets.promised - count
  is_matroska = packets.container.startswith('matroska')
  # A file cut behind its last frame (an AVI without its index) is sound.
  if missing_bytes > 8 and (missing > 0 or is_matroska):
    raise Unreadable(
        f'it is cut off after {count} frames: {missing_bytes} bytes are missing'
    )
  if missing > max(_TOLERATED_FRAMES, packets.promised // _TOLERATED_PART):
    raise Unreadable(
        f'it is cut off: {packets.promised} frames promised, {count} there'
    )
  if packets.incomplete:
    raise Unreadable(f'it is damaged: {packets.incomplete} incomplete frames')
  # These containers state the duration first; others are measured by it.
  if is_matroska or packets.container.startswith('mov'):
    short = packets.duration - packets.reached
    if short > max(0.25, packets.duration / _TOLERATED_PART):
      raise Unreadable(
          f'it is cut off: {packets.duration:.1f} s promised, '
          f'{packets.reached:.1f} s there'
      )


def _decode_all(source, packets: _Packets, sample: set[int]) -> _Frames:
  out = _Frames()
  with pyav.open_video(source) as (container, stream):
    for frame in pyav.decode(container, stream):
      if frame.is_corrupt:
        raise Unreadable(f'it is damaged in frame {len(out.times)}')
      if not out.times:
        out.width, out.height = frame.width, frame.height
        out.rotation = pyav.rotation(frame)
      out.interlaced |= frame.interlaced_frame
      out.times.append(frame.pts)
      out.luma.append(exactness.luma(frame))
      out.bidirectional.append(exactness.is_bidirectional(frame))
      if frame.pts in sample:
        out.colours[frame.pts] = exactness.checksum(pyav.rgb(frame))
  count = len(out.times)
  if not count:
    raise Unreadable('it holds 0 frames that can be decoded')
  # Hidden reference frames (VP8) and fields count as packets of their own.
  expected = len(packets.times) - packets.hidden
  splits = out.interlaced or packets.codec == 'vp8'
  if not splits and expected - count > max(3, expected // 10):
    raise Unreadable(
        f'it is damaged: {expected} frames stored, only {count} can be decoded'
    )
  return out


def _clock(packets, times, count) -> tuple[float, float]:
  """Frames per second and seconds."""
  fps = packets.fps if np.isfinite(packets.fps) else 0.0
  if times is not None and count > 1:
    tick = packets.time_base[0] / packets.time_base[1]
    span = float(times[-1] - times[0]) * tick
    fps = fps or (count - 1) / span
    return fps, span + 1 / fps
  fps = fps or 25.0
  return fps, count / fps


def _limit_memory():
  # Not on Windows; and some systems refuse.
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard == resource.RLIM_INFINITY or hard > _MEMORY_BYTES:
      resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, hard))


def _answer(question: dict[str, Any], contents: bytes) -> dict[str, Any]:
  try:
    return examine(contents or question['path'])
  except Unreadable as e:
    return {'error': str(e)}
  except MemoryError:
    return {'error': f'it needs more than {_MEMORY_BYTES >> 30} GB of memory'}
  # Whatever else a strange file brings about is the file's fault.
  except Exception as e:
    return {'error': f'it cannot be examined ({type(e).__name__}: {e})'}


def main():
  """Answers questions until standard input ends."""
  answers = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
  # Libraries may print; only answers may go out.
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  _limit_memory()
  child.serve(sys.stdin.buffer, answers, _answer)


if __name__ == '__main__':
  main()
