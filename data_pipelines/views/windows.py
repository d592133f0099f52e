"""A window of consecutive frames, of which every d-th is taken (EV-CLIP)."""

import numpy as np


def frame_indices(
    total: int,
    num_frames: int,
    window: int,
    mode: str = 'center',
    clip: int = 0,
    num_clips: int = 1,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
  """Frame numbers of one clip: every d-th of a window of frames.

  With w = min(window, total), the window begins at
    (total - w) // 2 in the middle of the video (mode 'center', one clip);
    int(clip * (total - w) / (num_clips - 1)) for one of several clips, the
      first at the beginning and the last at the end (mode 'center');
    a random frame of 0..total - w, both possible (mode 'random').
  The step is d = max(w // num_frames, 1); the frame rate plays no part.

  Args:
    total: frames in the video, or in the time range that is the clip.
    num_frames: T, frames wanted.
    window: frames of the video that the clip spans at most.
    mode: 'center' or 'random'.
    clip: which of the clips, 0..num_clips - 1 (mode 'center').
    num_clips: temporal views per video.
    generator: source of the random start (mode 'random').

  Returns:
    int64 [T], never falling, in 0..total - 1.

  Raises:
    ValueError: sizes below 1, an unknown mode, or no generator.

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: where the window holds fewer than T frames, the last one is
    repeated; the original returns a shorter clip and then fails. Whether
    training draws its window is a setting of its own (the original draws
    only if it tests with several clips).
  """
  if min(total, num_frames, window, num_clips) < 1:
    raise ValueError(
        'total, num_frames, window and num_clips must be at least 1, but are '
        f'{total}, {num_frames}, {window} and {num_clips}.'
    )
  if mode not in ('center', 'random'):
    raise ValueError(f"mode must be 'center' or 'random', not {mode!r}.")
  if not 0 <= clip < num_clips:
    raise ValueError(f'clip must be in 0..{num_clips - 1}, not {clip}.')
  width = min(window, total)
  if width == 1:
    return np.full(num_frames, total // 2, np.int64)
  if mode == 'random':
    if generator is None:
      raise ValueError("mode 'random' needs a generator.")
    start = int(generator.integers(total - width, endpoint=True))
  elif num_clips == 1:
    start = (total - width) // 2
  else:
    start = int(clip * ((total - width) / (num_clips - 1)))
  step = max(width // num_frames, 1)
  inside = np.arange(start, start + width, step, dtype=np.int64)[:num_frames]
  missing = num_frames - len(inside)
  return np.concatenate([inside, np.repeat(inside[-1:], missing)])
