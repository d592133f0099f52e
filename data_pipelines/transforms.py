"""Resizing and cropping frames as the original does, to the last digit.

PyTorch's bicubic interpolation differs from that of other libraries: its
coefficient is -0.75 (not -0.5), it does not blur before shrinking, and it
repeats the border. Each output pixel is a sum over 4 x 4 input pixels; only
the pixels of the crop are computed.
"""

import dataclasses
import functools

import numpy as np

_A = -0.75


def bicubic_taps(
    size_in: int, size_out: int
) -> tuple[np.ndarray, np.ndarray]:
  """Where the output pixels of one axis come from, and their weights.

  Args:
    size_in: pixels there are.
    size_out: pixels wanted.

  Returns:
    index int64 [4, size_out] in 0..size_in - 1 and weight float64
    [4, size_out]; output o is sum_k weight[k, o] * input[index[k, o]].

  Source: torch.nn.functional.interpolate(mode='bicubic',
    align_corners=False, antialias=False).
  Differs: none.
  """
  place = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
  left = np.floor(place)
  u = place - left
  weight = np.stack([_far(u + 1), _near(u), _near(1 - u), _far(2 - u)])
  index = left.astype(np.int64) + np.arange(-1, 3)[:, None]
  return np.clip(index, 0, size_in - 1), weight


def resize_bicubic(
    frames: np.ndarray,
    height: int,
    width: int,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
  """Resizes frames, or computes only a window of the resized frames.

  Args:
    frames: [T, H, W, C]; uint8, or float in any range.
    height: pixels of the whole resized frame; the aspect ratio may change.
    width: likewise.
    window: (top, left, height, width) of the part wanted; None = all. The
      result is the same as cropping afterwards.

  Returns:
    [T, height, width, C] or the window of it. uint8 frames give uint8,
    computed in float32, limited to 0..255 and rounded. Float frames keep
    their type and are not limited.

  Source: EV-CLIP, dassl/data/data_manager.py: F.interpolate, then clamp.
  Differs: rounds to uint8 (by at most 0.5 of 255 levels); the original keeps
    floats.
  """
  top, left, rows, columns = window or (0, 0, height, width)
  if min(top, left) < 0 or top + rows > height or left + columns > width:
    raise ValueError(
        f'the window {window} is not inside {height}x{width} pixels.'
    )
  if frames.shape[1:3] == (height, width):
    return frames[:, top : top + rows, left : left + columns]
  is_bytes = frames.dtype == np.uint8
  dtype = np.float32 if is_bytes else frames.dtype
  size = len(frames), rows, columns, frames.shape[3]
  out = np.empty(size, frames.dtype)
  down = _window_taps(frames.shape[1], height, top, rows, 1, dtype)
  right = _window_taps(
      frames.shape[2], width, left, columns, frames.shape[3], dtype
  )
  # One frame at a time stays in the processor's cache.
  for frame, target in zip(frames, out, strict=True):
    pixels = _resize_frame(frame, down, right, dtype)
    if is_bytes:
      np.clip(pixels, 0, 255, out=pixels)
      np.rint(pixels, out=pixels)
    target[...] = pixels.reshape(target.shape)
  return out


def ev_clip_clip(
    frames: np.ndarray,
    offsets: tuple[int, int],
    height: int = 256,
    width: int = 340,
    crop: int = 224,
) -> np.ndarray:
  """Frames of a video to EV-CLIP's input pixels.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    offsets: (top, left) of the crop in the resized frame, the same for all
      frames (`sampling.random_offsets`, `sampling.view_offsets`).
    height: pixels of the resized frame.
    width: likewise.
    crop: side of the square cut out, pixels.

  Returns:
    uint8 [T, crop, crop, 3].

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: rounded to uint8, see `resize_bicubic`.
  """
  return np.ascontiguousarray(
      resize_bicubic(frames, height, width, (*offsets, crop, crop))
  )


def _resize_frame(frame, down: '_Taps', right: '_Taps', dtype) -> np.ndarray:
  """[H, W, C] -> [rows, columns * C]: first downwards, then to the right."""
  flat = frame.reshape(len(frame), -1)[down.touched, right.touched]
  rows = 0
  for index, weight in zip(down.index, down.weight, strict=True):
    rows += np.multiply(flat[index], weight[:, None], dtype=dtype)
  total = 0
  for index, weight in zip(right.index, right.weight, strict=True):
    total += np.multiply(rows.take(index, 1), weight, dtype=dtype)
  return total


@dataclasses.dataclass(frozen=True)
class _Taps:
  """`bicubic_taps` for a part of an axis."""

  # What the part needs of the input; `index` counts from its beginning.
  touched: slice
  index: np.ndarray
  weight: np.ndarray


@functools.lru_cache(maxsize=256)
def _window_taps(size_in, size_out, start, count, channels, dtype) -> _Taps:
  """Taps of count outputs, each of `channels` neighbouring numbers."""
  index, weight = bicubic_taps(size_in, size_out)
  index = index[:, start : start + count]
  weight = weight[:, start : start + count].astype(dtype)
  first, last = int(index.min()), int(index.max()) + 1
  index = (index - first)[..., None] * channels + np.arange(channels)
  return _Taps(
      slice(first * channels, last * channels),
      index.reshape(len(weight), -1),
      np.repeat(weight, channels, axis=1),
  )


def _near(x: np.ndarray) -> np.ndarray:
  """The cubic for distances 0..1."""
  return ((_A + 2) * x - (_A + 3)) * x * x + 1


def _far(x: np.ndarray) -> np.ndarray:
  """The cubic for distances 1..2."""
  return ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
