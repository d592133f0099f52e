"""Which frames of a video a clip is made of.

EV-CLIP takes a window of it, EZ-CLIP and CLIP-FSAR spread their frames over all
of it. Of the `total` = N frames of a clip each function chooses `num_frames` =
T and returns them as int64 [T], never falling, in 0..N - 1.
"""

import numpy as np


def window_frames(
    total: int,
    num_frames: int,
    window: int,
    mode: str = 'center',
    clip: int = 0,
    num_clips: int = 1,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
  """Takes every d-th frame of a window of consecutive frames.

  With w = min(window, total), the window begins at
    (total - w) // 2 in the middle of the video (mode 'center', one clip);
    int(clip * (total - w) / (num_clips - 1)) for one of several clips, the
      first at the beginning and the last at the end (mode 'center');
    a random frame of 0..total - w, both possible (mode 'random').
  The step is d = max(w // num_frames, 1); the frame rate plays no part.

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: where the window holds fewer than T frames, the last one is
    repeated; the original returns a shorter clip and then fails. Whether
    training draws its window is a setting of its own (the original draws
    only if it tests with several clips).
  """
  _check(total, num_frames, window, num_clips)
  if not 0 <= clip < num_clips:
    raise ValueError(f'clip must be in 0..{num_clips - 1}, not {clip}.')
  width = min(window, total)
  if width == 1:
    return np.full(num_frames, total // 2, np.int64)
  if mode == 'random':
    start = int(generator.integers(total - width, endpoint=True))
  elif num_clips == 1:
    start = (total - width) // 2
  else:
    start = int(clip * ((total - width) / (num_clips - 1)))
  step = max(width // num_frames, 1)
  inside = np.arange(start, start + width, step, dtype=np.int64)[:num_frames]
  missing = num_frames - len(inside)
  return np.concatenate([inside, np.repeat(inside[-1:], missing)])


def even_frames(total: int, num_frames: int, middle: float = 0.5) -> np.ndarray:
  """Takes a frame from the middle of each of T equal segments.

  `middle` says which part of a segment, 0..1, if there is more than one frame
  in it; several temporal views differ in it. Where N <= T, frames repeat.

  Source: EZ-CLIP, datasets/, evaluation, and training without random_shift.
    Its file numbers begin with 1.
  Differs: `middle` (the original has 0.5).
  """
  _check(total, num_frames)
  if num_frames == 1:
    return np.asarray([min(int(total * middle), total - 1)], np.int64)
  steps = np.arange(num_frames)
  if total <= num_frames:
    return steps * total // num_frames
  length = total / num_frames
  places = steps * total / num_frames + (length - 1) * middle
  return places.astype(np.int64)


def shifted_frames(
    total: int, num_frames: int, generator: np.random.Generator
) -> np.ndarray:
  """Draws a frame of each of T segments; T distinct frames if there are.

  Where N <= T, every frame once and T - N repeats drawn uniformly, sorted.

  Source: EZ-CLIP, datasets/, training with random_shift.
  Differs: none.
  """
  _check(total, num_frames)
  if total <= num_frames:
    repeats = generator.integers(total, size=num_frames - total)
    return np.sort(np.concatenate([np.arange(total), repeats]))
  ticks = np.arange(num_frames + 1) * total // num_frames
  return generator.integers(ticks[:-1], ticks[1:])


def segment_frames(
    total: int, num_frames: int, generator: np.random.Generator | None = None
) -> np.ndarray:
  """Takes a frame of each of T segments of N // T frames; none of the rest.

  The generator draws a frame of each segment; without it, the middle one.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py, the rule for sampling
    rates above 40, which draws in training and in testing.
  Differs: shorter clips repeat their last frame; the original fails.
  """
  _check(total, num_frames)
  length = max(total // num_frames, 1)
  if generator is None:
    inside = (length - 1) // 2
  else:
    inside = generator.integers(length, size=num_frames)
  return np.minimum(np.arange(num_frames) * length + inside, total - 1)


def interval_frames(
    total: int, num_frames: int, fps: float, place: float, rate: int = 35
) -> np.ndarray:
  """Takes T even steps in a stretch of T * rate frames at 12 per second.

  A clip that is shorter, such as every one of Kinetics, is used as a whole, but
  for its last `rate` frames.

  `fps` 0 (images have none) uses all of it. `place` is where the stretch lies
  in the room there is, 0..1; testing uses 0.5. A clip of fewer than `rate`
  frames or so gives mostly frame 0, as in the original.

  Source: CLIP-FSAR, datasets/base/base_dataset.py, interval_based, in float32
    as there.
  Differs: a clip shorter than T repeats its last frame.
  """
  _check(total, num_frames)
  if total < num_frames:
    return np.minimum(np.arange(num_frames), total - 1)
  length = num_frames * rate * fps / 12
  if not fps or length > total:
    length = num_frames * (total // num_frames)
  start = np.float32(max(total - length + 1, 0) * place)
  end = np.float32(start + np.float32(length) - np.float32(rate))
  points = _linspace(start, end, num_frames)
  return np.clip(points, 0, total - 1).astype(np.int64)


def _linspace(start: np.float32, end: np.float32, count: int) -> np.ndarray:
  """Computes as torch.linspace does: from both ends to the middle."""
  step = (end - start) / np.float32(max(count - 1, 1))
  places = np.arange(count, dtype=np.float32)
  return np.where(
      places < count // 2,
      start + step * places,
      end - step * (np.float32(count - 1) - places),
  )


def _check(*counts: int):
  if min(counts) < 1:
    raise ValueError(
        'numbers of frames and clips must be at least 1, but are '
        f'{", ".join(map(str, counts))}.'
    )
