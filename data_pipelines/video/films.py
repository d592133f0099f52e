"""Long films are looked at in a few places instead of being decoded whole.

The container tells when each frame is shown; a few stretches around key frames
are decoded to see that the decoder agrees and that jumps lead to the right
frame. Damage elsewhere shows when that place is read.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from data_pipelines.video import exactness, film
from data_pipelines.video.film import Source

# More frames than this make a film: two minutes at 25 per second.
FILM_FRAMES = 3_000
# A longer way between two key frames is no bound worth having.
_MOST_FRAMES = 1_000
# Frames compared behind a jump.
_COMPARED = 2


@dataclasses.dataclass(frozen=True)
class Film:
  """What a few places of a film tell.

  Attributes:
    times: timestamps of all frames, int64, rising.
    keyframes: frame numbers from which decoding may start.
    width, height: stored pixels.
    rotation: as `pyav.rotation`.
    spare: as `exactness.spare_frames`, of the places looked at.
  """

  times: np.ndarray
  keyframes: tuple[int, ...]
  width: int
  height: int
  rotation: int
  spare: tuple[int, ...]


def look(
    source: Source,
    container: str,
    codec: str,
    stored: Sequence[int | None],
    keys: Sequence[bool],
) -> Film | None:
  """Decodes the beginning, the end and three places between them.

  Args:
    source: path or contents.
    container: FFmpeg's name of the container.
    codec: FFmpeg's name of the codec.
    stored: timestamps in the order in which the file holds its frames.
    keys: which of these are key frames.

  Returns:
    None if the film must be decoded whole: no timestamps, no or few key
    frames, or a decoder that does not agree with the container.

  Raises:
    Unreadable: it is damaged in one of these places.
  """
  if any(t is None for t in stored):
    return None
  # In the order of the screen, which is what is asked of the decoder below.
  times = film.timeline(sorted(stored), container, codec)
  if times is None:
    return None
  entries = exactness.spread(stored, keys, times)
  if len(entries) < 2:
    return None
  last = len(entries) - 1
  ends = [*entries[1:], len(times)]
  first, spare, exact = None, set(), True
  for k in sorted({0, last // 4, last // 2, 3 * last // 4, last}):
    start = entries[k]
    stop = min(ends[k] + _COMPARED, len(times))
    if stop - start > _MOST_FRAMES:
      return None
    frames = _stretch(source, times, start, stop)
    if frames is None:
      return None
    first = first or frames[0]
    brightness = [exactness.luma(f) for f in frames]
    bidirectional = [exactness.is_bidirectional(f) for f in frames]
    found = exactness.spare_frames(
        source, codec, times, bidirectional, brightness, start
    )
    spare |= set(found)
    exact &= bool(found) or not any(bidirectional)
    if k < last:
      jumped = _stretch(source, times, ends[k], stop)
      if jumped is None or [exactness.luma(f) for f in jumped] != brightness[
          ends[k] - start :
      ]:
        return None
  return Film(
      times,
      tuple(entries),
      first.width,
      first.height,
      film.rotation(first),
      tuple(sorted(spare)) if exact else (),
  )


def _stretch(source, times, start: int, stop: int):
  """Frames start..stop - 1 after a jump, or None if others come."""
  wanted = times[start:stop].tolist()
  with film.open_video(source) as (container, stream):
    if start:
      container.seek(wanted[0], stream=stream)
    frames = film.decode(container, stream)
    # Hidden frames, and those of an open group that lead up to a key frame.
    ours = (f for f in frames if f.pts is None or f.pts >= wanted[0])
    found = list(itertools.islice(ours, len(wanted)))
    # What is left of the film behind its last packet: nothing, or no match.
    more = next(ours, None) if stop == len(times) else None
  if more is not None or [f.pts for f in found] != wanted:
    return None
  if any(f.is_corrupt for f in found):
    return None
  return found
