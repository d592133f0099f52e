"""Looks through one video file; runs in a process of `pool`.

What a file does to that process (a crash, an endless loop, gigabytes of memory)
cannot reach the trainer.
"""

import contextlib
import dataclasses
from typing import Any

import numpy as np

from data_pipelines.video import exactness, films, pictures
from data_pipelines.video import film as pyav
from data_pipelines.video import packets as packets_lib
from data_pipelines.video.film import Source, Unreadable
from data_pipelines.video.packets import Packets

_MEMORY_BYTES = 8 << 30


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
  if pictures.holds_pictures(source):
    return pictures.examine(source)
  packets = packets_lib.read(source)
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
    packets: Packets,
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


def _decode_all(source, packets: Packets, sample: set[int]) -> _Frames:
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


def answer(source: Source) -> dict[str, Any]:
  """Returns what `examine` returns, or {'error': why}, whatever is in a file.

  For `pool`: changes how much memory the process may have meanwhile.
  """
  try:
    with _limited_memory():
      return examine(source)
  except Unreadable as e:
    error = str(e)
  except MemoryError:
    error = f'it needs more than {_MEMORY_BYTES >> 30} GB of memory'
  # Whatever else a strange file brings about is the file's fault.
  except Exception as e:
    error = f'it cannot be examined ({type(e).__name__}: {e})'
  return {'error': error}


@contextlib.contextmanager
def _limited_memory():
  # Not on Windows; and some systems refuse.
  with contextlib.suppress(ImportError, ValueError, OSError):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft > _MEMORY_BYTES:
      resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, hard))
      try:
        yield
      finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
      return
  yield
