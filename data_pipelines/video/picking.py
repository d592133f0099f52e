"""Some frames of a video, by number, with as little decoding as is exact."""

import bisect
from collections.abc import Iterator, Sequence

import av
import numpy as np

from data_pipelines.video import film

# Frames that are rather decoded than jumped over.
SEEK_GAP = 48


class SeekMissed(Exception):
  """Jumping to a key frame did not lead to the frame wanted."""


def pick(
    source: film.Source,
    wanted: Sequence[int],
    times: np.ndarray | None,
    keyframes: Sequence[int] = (),
    gap: int = SEEK_GAP,
    spare: Sequence[int] = (),
) -> Iterator[tuple[int, av.VideoFrame]]:
  """The frames with the given numbers, in the order they are decoded.

  Args:
    source: path or contents.
    wanted: frame numbers, sorted, each once.
    times: what `timeline` gave for the whole file.
    keyframes: frame numbers where decoding may start; () = only at the
      beginning. Needs `times`.
    gap: distance in frames from which a jump is worth while.
    spare: numbers of B-frames, rising: those not wanted are left out, unless
      other frames build on them; () = nothing is left out.

  Raises:
    Unreadable: the file cannot be decoded that far.
    SeekMissed: a jump did not lead to the frame.
  """
  with film.open_video(source) as (container, stream):
    for start, numbers in _runs(wanted, keyframes, gap):
      if start:
        container.seek(int(times[start]), stream=stream)
      if times is None:
        frames, context = film.decode(container, stream), stream.codec_context
        yield from _pick_by_count(frames, numbers, context, spare)
      else:
        due = {int(times[n]) for n in numbers} if spare else None
        frames = film.decode(container, stream, due)
        yield from _pick_by_time(frames, numbers, times, bool(start))


def read(
    source: film.Source,
    wanted: Sequence[int],
    times: np.ndarray | None,
    keyframes: Sequence[int],
    rotation: int,
    spare: Sequence[int] = (),
) -> list[np.ndarray]:
  """Frames uint8 [H, W, 3], RGB and upright, for `wanted` as in `pick`."""

  def found(keyframes, spare):
    chosen = pick(source, wanted, times, keyframes, spare=spare)
    return {n: film.rgb(frame, rotation) for n, frame in chosen}

  try:
    frames = found(keyframes, spare)
  except (SeekMissed, film.Unreadable):
    if not keyframes and not spare:
      raise
    # What was tried on a few frames does not hold for these, or the file is
    # broken; then this says where.
    frames = found((), ())
  return [frames[n] for n in wanted]


def _runs(wanted, keyframes, gap) -> list[tuple[int, list[int]]]:
  """Splits sorted frame numbers into (frame to start from, numbers)."""
  runs = []
  position = 0
  for number in wanted:
    k = bisect.bisect_right(keyframes, number)
    start = keyframes[k - 1] if k else 0
    if start - position > gap:
      runs.append((start, [number]))
    elif runs:
      runs[-1][1].append(number)
    else:
      runs.append((0, [number]))
    position = number
  return runs


def _pick_by_count(frames, numbers, context, spare):
  """The decoder is told before each run of spare frames whether to bother."""
  wanted = set(numbers)
  plan = _plan(numbers, spare)
  film.leave_out(context, next(plan)[1])
  for frame, (number, leave_out) in zip(frames, plan, strict=False):
    film.leave_out(context, leave_out)
    if number in wanted:
      yield number, frame
    if number == numbers[-1]:
      return
  raise film.Unreadable(f'it ended before frame {numbers[-1]}')


def _plan(numbers, spare) -> Iterator[tuple[int, bool]]:
  """(frame number, whether the spare frames right behind it are left out).

  For the frames that the decoder gives up to the last of `numbers`, in their
  order; at first for the beginning, which is number -1.
  """
  spare, number = set(spare), -1
  while number <= numbers[-1]:
    stop = number + 1
    while stop in spare:
      stop += 1
    is_run = stop > number + 1
    k = bisect.bisect_right(numbers, number)
    leave_out = is_run and (k == len(numbers) or numbers[k] >= stop)
    yield number, leave_out
    if not leave_out:
      yield from ((n, False) for n in range(number + 1, stop))
    number = stop


def _pick_by_time(frames, numbers, times, after_seek):
  missing = {int(times[n]): n for n in numbers}
  last = int(times[numbers[-1]])
  for frame in frames:
    number = missing.pop(frame.pts, None)
    if number is not None:
      if frame.is_corrupt and after_seek:
        raise SeekMissed
      # Of a long film `films` has not seen this place.
      if frame.is_corrupt:
        raise film.Unreadable(f'it is damaged in frame {number}')
      yield number, frame
    if not missing:
      return
    if after_seek and frame.pts is not None and frame.pts > last:
      raise SeekMissed
  if after_seek:
    raise SeekMissed
  raise film.Unreadable(f'it ended before frame {numbers[-1]}')
