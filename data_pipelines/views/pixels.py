"""Resizes frames as PyTorch does, but with OpenCV."""

import math

import cv2
import numpy as np

_KERNELS = {'bicubic': cv2.INTER_CUBIC, 'bilinear': cv2.INTER_LINEAR}
# The parameter a of the cubic kernel.
_CUBIC = -0.75
# Reach of the kernel to each side in pixels, and one to spare.
_REACH = 3


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    window: tuple[int, int, int, int] | None = None,
    kernel: str = 'bicubic',
) -> np.ndarray:
  """Resizes frames, or cuts a window out of the resized frames.

  [T, H, W, 3], uint8 or float32 -> [T, height, width, 3], or the window (top,
  left, height, width) of it; `kernel` is 'bicubic' or 'bilinear'. uint8 is
  computed in float32, clipped to 0..255 and rounded, halves up; floats are not
  clipped.

  Raises:
    ValueError: frames of another shape, or a window that lies outside.

  Source: EV-CLIP, dassl/data/data_manager.py: F.interpolate, then clamp.
    OpenCV's kernels are PyTorch's: a = -0.75, no antialiasing, replicated
    borders. Only what the window needs is resized.
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
  if frames.shape[1:3] == (height, width):
    return frames[:, top : top + rows, left : left + columns]
  # Clips are read in parallel already.
  cv2.setNumThreads(1)
  down, above = _part(frames.shape[1], height, top, rows)
  right, before = _part(frames.shape[2], width, left, columns)
  out = np.empty((len(frames), rows, columns, 3), frames.dtype)
  for t, frame in enumerate(frames):
    resized = cv2.resize(
        # For uint8 OpenCV would use fixed-point weights of 11 bits.
        np.ascontiguousarray(frame[down, right], np.float32),
        None,
        fx=width / frames.shape[2],
        fy=height / frames.shape[1],
        interpolation=_KERNELS[kernel],
    )
    if frames.dtype == np.uint8:
      # Adding 0.5 makes the cast to uint8 round. On the whole array, which is
      # contiguous, this takes half the time that it would on the window.
      resized += np.float32(0.5)
      if kernel == 'bicubic':
        np.clip(resized, 0, 255.5, out=resized)
    out[t] = resized[above : above + rows, before : before + columns]
  return out


def mirror(frames: np.ndarray) -> np.ndarray:
  """Returns frames [T, H, W, 3] flipped horizontally."""
  return np.stack([cv2.flip(frame, 1) for frame in frames])


def resample(
    frames: np.ndarray,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    side: int,
) -> np.ndarray:
  """Shows a window of the resized frames in side x side pixels.

  It is interpolated from the original frames in one step, bicubically as in
  `resize`: output pixel o is the source position
  (start + (o + 0.5) * length / side) * H / height - 0.5.

  uint8 [T, H, W, 3], (height, width) of the whole resized frame and (top, left,
  height, width) of the window in it -> uint8 [T, side, side, 3].
  """
  high, wide = frames.shape[1:3]
  rows, down = _taps(high, size[0], window[0], window[2], side)
  columns, across = _taps(wide, size[1], window[1], window[3], side)
  first, stop = columns.min(), columns.max() + 1
  columns -= first
  down, across = down[..., None, None], across[..., None]
  out = np.empty((len(frames), side, side, 3), np.uint8)
  for t, frame in enumerate(frames[:, :, first:stop]):
    x = sum(frame[r] * w for r, w in zip(rows, down, strict=True))
    x = sum(x[:, c] * w for c, w in zip(columns, across, strict=True))
    out[t] = np.clip(x + np.float32(0.5), 0, 255.5)
  return out


def _taps(
    size: int, resized: int, start: int, length: int, side: int
) -> tuple[np.ndarray, np.ndarray]:
  """(positions, weights) of the four source pixels of each output pixel."""
  places = (start + (np.arange(side) + 0.5) * length / side) * size / resized
  places -= 0.5
  taps = np.floor(places).astype(int) + np.arange(-1, 3)[:, None]
  x = np.abs(places - taps)
  near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x**2 + 1
  weights = np.where(x < 1, near, _CUBIC * (((x - 5) * x + 8) * x - 4))
  return taps.clip(0, size - 1), weights.astype(np.float32)


def _part(size: int, resized: int, start: int, count: int) -> tuple[slice, int]:
  """(source pixels that a window needs, its start in their resized version).

  They begin where the kernel has the same phase as at pixel 0, so resizing this
  part alone gives exactly the pixels of the whole.
  """
  step = resized // math.gcd(size, resized)
  margin = math.ceil(_REACH * resized / size)
  first = max(start - margin, 0) // step * step
  stop = math.ceil((start + count + margin) * size / resized)
  pixels = range(first * size // resized, min(stop, size))
  # OpenCV copies an axis of unchanged size, even if the scale is not quite 1.
  if round(len(pixels) * resized / size) == len(pixels):
    return slice(0, size), start
  return slice(pixels.start, pixels.stop), start - first
