"""Resizing frames as PyTorch does, to the last digit, and fast.

Both axes are products with a matrix that is zero but for a band (`taps.py`).
The matrices are cut into blocks along the band, so that BLAS does the work and
little of it is multiplying by zero.
"""

import dataclasses
import functools
import threading

import numpy as np

from data_pipelines.transforms import taps

# Output pixels of a block: fewer cost calls, more cost zeros.
_BLOCK = 8
# OpenBLAS shares products of more multiplications between threads of its own,
# which would fight with those of the loader.
_PRODUCT = 2**18
# Numbers of the frames that are resized by the same calls: with more of them,
# threads wait less for each other; with too many, they leave the cache.
_TOGETHER = 2**19

_thread = threading.local()


def resize(
    frames: np.ndarray,
    height: int,
    width: int,
    window: tuple[int, int, int, int] | None = None,
    kernel: str = 'bicubic',
) -> np.ndarray:
  """Resizes frames, or computes only a window of the resized frames.

  Args:
    frames: [T, H, W, C]; uint8, or float in any range.
    height: pixels of the whole resized frame; the aspect ratio may change.
    width: likewise.
    window: (top, left, height, width) of the part wanted; None = all. The
      result is that of cropping afterwards; only values within 1e-4 of the
      middle between two levels may be rounded the other way.
    kernel: 'bicubic' or 'bilinear'.

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
  dtype = np.dtype(np.float32) if is_bytes else frames.dtype
  depth = frames.shape[3]
  down = _band(kernel, frames.shape[1], height, top, rows, 1, dtype)
  right = _band(kernel, frames.shape[2], width, left, columns, depth, dtype)
  out = np.empty((len(frames), rows, columns, depth), frames.dtype)
  size = len(down.inputs) * len(right.inputs)
  together = min(max(round(_TOGETHER / size), 1), max(len(frames), 1))
  work = _Work(down, right, dtype, together)
  for first in range(0, len(frames), together):
    some = frames[first : first + together]
    target = out[first : first + together]
    np.copyto(target, work.resize(some, is_bytes), casting='unsafe')
  return out


@dataclasses.dataclass(frozen=True)
class _Block:
  """_BLOCK neighbouring outputs of an axis; fewer at its end."""

  # Numbers that they are made of, and their own, counted from the beginning
  # of the axis.
  inputs: range
  outputs: range
  # [outputs, inputs].
  weight: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Band:
  """The blocks of an axis that hold some outputs.

  They begin at multiples of _BLOCK whatever is wanted, so that all windows
  share them.
  """

  # How many numbers a pixel has.
  depth: int
  blocks: tuple[_Block, ...]
  # The outputs wanted, in numbers.
  wanted: range

  @functools.cached_property
  def inputs(self) -> range:
    """What the blocks need."""
    return range(
        min(b.inputs.start for b in self.blocks),
        max(b.inputs.stop for b in self.blocks),
    )

  @functools.cached_property
  def outputs(self) -> range:
    """What the blocks give: what is wanted and up to 7 pixels beside it."""
    return range(self.blocks[0].outputs.start, self.blocks[-1].outputs.stop)

  def products(
      self, across: int
  ) -> list[tuple[np.ndarray, slice, slice, slice]]:
    """(weight, inputs, outputs, piece of the other axis) of each product.

    Args:
      across: numbers along the other axis, which is cut into pieces so that
        no product becomes too large.
    """
    first_in, first_out = self.inputs.start, self.outputs.start
    out = []
    for block in self.blocks:
      step = max(_PRODUCT // block.weight.size, 1)
      out += [
          (
              block.weight,
              slice(
                  block.inputs.start - first_in, block.inputs.stop - first_in
              ),
              slice(
                  block.outputs.start - first_out,
                  block.outputs.stop - first_out,
              ),
              slice(start, min(start + step, across)),
          )
          for start in range(0, across, step)
      ]
    return out

  @property
  def pixels(self) -> slice:
    """The pixels that are needed."""
    inputs = self.inputs
    return slice(inputs.start // self.depth, inputs.stop // self.depth)

  @property
  def part(self) -> slice:
    """The pixels wanted among those that the blocks give."""
    first = self.outputs.start
    return slice(
        (self.wanted.start - first) // self.depth,
        (self.wanted.stop - first) // self.depth,
    )


def _band(kernel, size_in, size_out, start, count, depth, dtype) -> _Band:
  """Output pixels start..start + count - 1 of `depth` numbers each."""
  blocks = _blocks(kernel, size_in, size_out, depth, dtype)
  stop = start + count
  return _Band(
      depth,
      blocks[start // _BLOCK : -(-stop // _BLOCK)],
      range(start * depth, stop * depth),
  )


@functools.lru_cache(maxsize=64)
def _blocks(kernel, size_in, size_out, depth, dtype) -> tuple[_Block, ...]:
  """A whole axis."""
  index, weight = taps.TAPS[kernel](size_in, size_out)
  out = []
  for low in range(0, size_out, _BLOCK):
    high = min(low + _BLOCK, size_out)
    inputs = index[:, low:high]
    first, last = int(inputs.min()), int(inputs.max()) + 1
    matrix = np.zeros((high - low, last - first))
    # Adds up where the border is repeated.
    outputs = np.broadcast_to(np.arange(high - low), inputs.shape)
    np.add.at(matrix, (outputs, inputs - first), weight[:, low:high])
    out.append(
        _Block(
            range(first * depth, last * depth),
            range(low * depth, high * depth),
            np.kron(matrix, np.eye(depth)).astype(dtype),
        )
    )
  return tuple(out)


class _Work:
  """Resizes some frames after others; one at a time in a thread."""

  def __init__(self, down: _Band, right: _Band, dtype, frames: int):
    self._down, self._right = down, right
    heights = len(down.inputs), len(down.outputs)
    widths = len(right.inputs), len(right.outputs)
    self._pixels = _room('pixels', (frames, heights[0], widths[0]), dtype)
    self._rows = _room('rows', (frames, heights[1], widths[0]), dtype)
    self._out = _room('out', (frames, heights[1], widths[1]), dtype)
    # Looked up once for all frames.
    self._downwards = down.products(widths[0])
    self._rightwards = [
        (np.ascontiguousarray(weight.T), *slices)
        for weight, *slices in right.products(heights[1])
    ]

  def resize(self, frames: np.ndarray, is_bytes: bool) -> np.ndarray:
    """First downwards, then to the right; a view of the part wanted.

    Bytes come back limited, and half a level too large: cutting off the
    fraction rounds them.
    """
    count = len(frames)
    pixels, rows, out = (
        x[:count] for x in (self._pixels, self._rows, self._out)
    )
    part = frames[:, self._down.pixels, self._right.pixels]
    # The weights of a pixel sum to 1: half a level more now is half a level
    # more afterwards.
    np.add(
        part,
        pixels.dtype.type(0.5 if is_bytes else 0),
        out=pixels.reshape(part.shape),
        dtype=pixels.dtype,
    )
    for weight, inputs, outputs, columns in self._downwards:
      np.matmul(
          weight, pixels[:, inputs, columns], out=rows[:, outputs, columns]
      )
    for weight, inputs, outputs, lines in self._rightwards:
      np.matmul(rows[:, lines, inputs], weight, out=out[:, lines, outputs])
    if is_bytes:
      np.clip(out, 0, 255.5, out=out)
    whole = out.reshape(*out.shape[:2], -1, frames.shape[3])
    return whole[:, self._down.part, self._right.part]


def _room(name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
  """An array of this thread's, which the next call with this name gets too.

  Fresh memory of this size costs as much time as the resizing: the system
  gives it page by page.
  """
  size = int(np.prod(shape))
  key = name, np.dtype(dtype)
  rooms = _thread.__dict__
  if key not in rooms or rooms[key].size < size:
    rooms[key] = np.empty(size, dtype)
  return rooms[key][:size].reshape(shape)
