"""Reads chosen frames exactly, and decodes as little as that needs."""

import bisect
import itertools
from collections.abc import Iterator, Sequence

import av
import numpy as np

from data_pipelines.video import container
from data_pipelines.video.container import Media, Unreadable, decode

# Decoding up to so many frames is cheaper than a jump.
SEEK_GAP = 24


class SeekMissed(Exception):
  """After a jump to a key frame, the wanted frame did not come."""


def read(source: Media, wanted: Sequence[int], probe) -> list[np.ndarray]:
  """Reads frames uint8 [H, W, 3] as they are shown.

  The frame numbers in `wanted` are sorted and distinct.

  Raises:
    Unreadable: the file cannot be decoded that far.
  """
  times = probe.timestamps()

  def found(keyframes, spare):
    chosen = pick(source, wanted, times, keyframes, spare=spare)
    return {n: container.rgb(frame, probe.display) for n, frame in chosen}

  try:
    frames = found(probe.keyframes, probe.spare_frames())
  except (SeekMissed, Unreadable):
    if not probe.keyframes and not probe.spare:
      raise
    # The shortcuts, which were tested on a few frames only, fail here, or the
    # file is broken; then plain decoding says where.
    frames = found((), ())
  return [frames[n] for n in wanted]


def pick(
    source: Media,
    wanted: Sequence[int],
    times: np.ndarray | None,
    keyframes: Sequence[int] = (),
    gap: int = SEEK_GAP,
    spare: Sequence[int] = (),
) -> Iterator[tuple[int, av.VideoFrame]]:
  """Yields (number, frame) of the wanted frames as they are decoded.

  `wanted` numbers are sorted and distinct. `times` is the result of `timeline`
  for the whole file. Decoding may start at `keyframes` (needs `times`; () =
  only at the beginning) if that skips more than `gap` frames. Of `spare`,
  increasing numbers of B-frames, the decoder skips those that are neither
  wanted nor references of others.

  Raises:
    Unreadable: the file cannot be decoded that far.
    SeekMissed: a wanted frame did not come after a jump.
  """
  with container.open_video(source) as (file, stream):
    for start, numbers in _runs(wanted, keyframes, gap):
      if start:
        file.seek(int(times[start]), stream=stream)
      if times is None:
        frames = decode(file, stream)
        yield from _pick_by_count(frames, numbers, stream.codec_context, spare)
      else:
        due = {int(times[n]) for n in numbers} if spare else None
        frames = decode(file, stream, due)
        yield from _pick_by_time(frames, numbers, times, bool(start))


def _runs(wanted, keyframes, gap) -> list[tuple[int, list[int]]]:
  """Splits sorted frame numbers into (frame to start from, numbers)."""
  runs, position = [], 0
  for number in wanted:
    k = bisect.bisect_right(keyframes, number)
    start = keyframes[k - 1] if k else 0
    if start - position > gap or not runs:
      runs.append((start if start - position > gap else 0, []))
    runs[-1][1].append(number)
    position = number
  return runs


def _pick_by_count(frames, numbers, context, spare):
  """Counts frames; drops each run of spare frames that holds no wanted one."""
  wanted, dropped = set(numbers), set()
  for _, run in itertools.groupby(enumerate(spare), lambda x: x[1] - x[0]):
    run = [number for _, number in run]
    if wanted.isdisjoint(run):
      dropped.update(run)
  given = (n for n in range(numbers[-1] + 1) if n not in dropped)
  container.leave_out(context, 0 in dropped)
  for frame, number in zip(frames, given, strict=False):
    container.leave_out(context, number + 1 in dropped)
    if number in wanted:
      yield number, frame
    if number == numbers[-1]:
      return
  raise Unreadable(f'it ended before frame {numbers[-1]}')


def _pick_by_time(frames, numbers, times, after_seek):
  missing = {int(times[n]): n for n in numbers}
  last = int(times[numbers[-1]])
  for frame in frames:
    number = missing.pop(frame.pts, None)
    if number is not None:
      if frame.is_corrupt and after_seek:
        raise SeekMissed
      # Possible in a long film, which was not examined completely.
      if frame.is_corrupt:
        raise Unreadable(f'it is damaged in frame {number}')
      yield number, frame
    if not missing:
      return
    if after_seek and frame.pts is not None and frame.pts > last:
      break
  if after_seek:
    raise SeekMissed
  raise Unreadable(f'it ended before frame {numbers[-1]}')
