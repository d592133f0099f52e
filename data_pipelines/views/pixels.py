"""Resizing frames as PyTorch does, with OpenCV."""

import functools

import cv2
import numpy as np

_KERNELS = {'bicubic': cv2.INTER_CUBIC, 'bilinear': cv2.INTER_LINEAR}


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    window: tuple[int, int, int, int] | None = None,
    kernel: str = 'bicubic',
) -> np.ndarray:
  """Resizes frames, or cuts a window out of the resized frames.

  Args:
    frames: [T, H, W, 3]; uint8, or float32 in any range.
    height: pixels of the whole resized frame; the aspect ratio may change.
    width: likewise.
    window: (top, left, height, width) of the part wanted; None = all.
    kernel: 'bicubic' or 'bilinear'.

  Returns:
    [T, height, width, 3] or the window of it. uint8 frames give uint8,
    computed in float32, limited to 0..255 and rounded, halves up. Float
    frames are not limited.

  Raises:
    ValueError: the frames are not [T, H, W, 3], or the window does not lie
      inside.

  Source: EV-CLIP, dassl/data/data_manager.py: F.interpolate, then clamp.
    OpenCV's kernels are PyTorch's: a = -0.75, nothing is blurred before
    shrinking, borders are repeated.
  Differs: rounds to uint8 (by at most 0.5 of 255 levels); the original keeps
    floats.
  """
  if frames.ndim != 4 or frames.shape[3] != 3:
    raise ValueError(f'frames are [T, H, W, 3], not {list(frames.shape)}.')
  top, left, rows, columns = window or (0, 0, height, width)
  if min(top, left) < 0 or top + rows > height or left + columns > width:
    raise ValueError(
        f'the window {window} is not inside {height}x{width} pixels.'
    )
  inside = slice(top, top + rows), slice(left, left + columns)
  if frames.shape[1:3] == (height, width):
    return frames[:, *inside]
  _use_one_thread()
  out = np.empty((len(frames), rows, columns, 3), frames.dtype)
  for t, frame in enumerate(frames):
    # Whole numbers would be mixed with weights of 11 bits.
    floats = np.ascontiguousarray(frame, np.float32)
    resized = cv2.resize(
        floats, (width, height), interpolation=_KERNELS[kernel]
    )[inside]
    if frames.dtype == np.uint8:
      # Half a level more, and cutting off the fraction rounds.
      resized = np.clip(resized + np.float32(0.5), 0, 255.5)
    out[t] = resized
  return out


@functools.cache
def _use_one_thread():
  """Clips are read in parallel already."""
  cv2.setNumThreads(1)
