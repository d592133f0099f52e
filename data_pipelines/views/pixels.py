"""Resizing frames as PyTorch does, to the last digit, and fast.

One line after the other, so that what is worked on stays in the core's own
cache.
"""

import functools

import numpy as np

from data_pipelines.views import taps
from data_pipelines.views.compiled import compiled

# Unsigned indices: negative ones, which count from the end, would be a case to
# look for at every number.
_ONE, _DEPTH = np.uint64(1), np.uint64(3)


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    window: tuple[int, int, int, int] | None = None,
    kernel: str = 'bicubic',
) -> np.ndarray:
  """Resizes frames, or computes only a window of the resized frames.

  Args:
    frames: [T, H, W, 3]; uint8, or float32 or float64 in any range.
    height: pixels of the whole resized frame; the aspect ratio may change.
    width: likewise.
    window: (top, left, height, width) of the part wanted; None = all. The
      result is that of cropping afterwards.
    kernel: 'bicubic' or 'bilinear'.

  Returns:
    [T, height, width, 3] or the window of it. uint8 frames give uint8,
    computed in float32, limited to 0..255 and rounded. Float frames keep
    their type and are not limited.

  Raises:
    ValueError: the frames are not [T, H, W, 3], or the window does not lie
      inside.

  Source: EV-CLIP, dassl/data/data_manager.py: F.interpolate, then clamp.
  Differs: rounds to uint8 (by at most 0.5 of 255 levels); the original keeps
    floats.
  """
  if frames.ndim != 4 or frames.shape[3] != _DEPTH:
    raise ValueError(f'frames are [T, H, W, 3], not {list(frames.shape)}.')
  top, left, rows, columns = window or (0, 0, height, width)
  if min(top, left) < 0 or top + rows > height or left + columns > width:
    raise ValueError(
        f'the window {window} is not inside {height}x{width} pixels.'
    )
  if frames.shape[1:3] == (height, width):
    return frames[:, top : top + rows, left : left + columns]
  is_bytes = frames.dtype == np.uint8
  dtype = np.dtype(np.float32) if is_bytes else frames.dtype
  down = _axis(kernel, frames.shape[1], height, 1, dtype)
  right = _axis(kernel, frames.shape[2], width, 3, dtype)
  # Half a level more, and cutting off the fraction rounds.
  limits = (0.5, 0, 255.5) if is_bytes else (0, -np.inf, np.inf)
  out = np.empty((len(frames), rows, columns, 3), frames.dtype)
  if not out.size:
    return out
  _interpolate(
      np.ascontiguousarray(frames).reshape(*frames.shape[:2], -1),
      *(x[top : top + rows] for x in down),
      *(x[left : left + columns] for x in right),
      *(dtype.type(x) for x in limits),
      out.reshape(*out.shape[:2], -1),
  )
  return out


@functools.lru_cache(maxsize=64)
def _axis(
    kernel: str, size_in: int, size_out: int, step: int, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
  """Taps of a whole axis.

  Args:
    kernel: 'bicubic' or 'bilinear'.
    size_in: pixels there are.
    size_out: pixels wanted.
    step: numbers from one pixel to the next.
    dtype: of the weights.

  Returns:
    index uint64 [size_out, 4], ascending along both axes, and weight
    [size_out, 4]; with fewer taps, the last ones weigh nothing.
  """
  index, weight = taps.TAPS[kernel](size_in, size_out)
  more = ((0, 4 - len(index)), (0, 0))
  index = np.pad(index * step, more, mode='edge')
  weight = np.pad(weight, more)
  return (
      np.ascontiguousarray(index.T, np.uint64),
      np.ascontiguousarray(weight.T, dtype),
  )


@compiled
def _interpolate(
    frames, rows, row_weights, columns, column_weights, add, low, high, out
):
  """frames [T, H, W * 3] -> out [T, h, w * 3], one line of it at a time."""
  squeezed = np.empty(frames.shape[2], column_weights.dtype)
  line = np.empty(out.shape[2], column_weights.dtype)
  # Numbers to the left and right of these are not part of the window.
  first, stop = columns[0, 0], columns[-1, 3] + _DEPTH
  for t in range(frames.shape[0]):
    for y in range(out.shape[1]):
      _mix_lines(
          frames[t, rows[y, 0], first:stop],
          frames[t, rows[y, 1], first:stop],
          frames[t, rows[y, 2], first:stop],
          frames[t, rows[y, 3], first:stop],
          row_weights[y],
          squeezed[first:stop],
      )
      _mix_pixels(squeezed, columns, column_weights, line)
      _store(line, add, low, high, out[t, y])


# Written into the loops above, these would not be compiled to instructions that
# work on several numbers at once.


@compiled
def _mix_lines(a, b, c, d, weight, out):
  """The weighted sum of four lines."""
  p, q, r, s = weight[0], weight[1], weight[2], weight[3]
  for i in range(out.size):
    out[i] = p * a[i] + q * b[i] + r * c[i] + s * d[i]


@compiled
def _mix_pixels(line, index, weights, out):
  """Weighted sums of four pixels of a line, whose first numbers `index` has."""
  place = np.uint64(0)
  for x in range(index.shape[0]):
    p, q, r, s = weights[x, 0], weights[x, 1], weights[x, 2], weights[x, 3]
    a, b, c, d = index[x, 0], index[x, 1], index[x, 2], index[x, 3]
    for k in range(_DEPTH):
      out[place] = (
          p * line[a + k] + q * line[b + k] + r * line[c + k] + s * line[d + k]
      )
      place += _ONE


@compiled
def _store(line, add, low, high, out):
  for i in range(out.size):
    out[i] = min(max(line[i] + add, low), high)
