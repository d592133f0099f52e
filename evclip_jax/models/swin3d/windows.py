"""Cuts maps into shifted windows and joins them again.

A map is [B, D, H, W, C]; images have D = 1.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Extent = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Windows:
  """Describes how to cut a map; all sizes are positions along (D, H, W).

  Attributes:
    size: of the map before padding.
    padded: size after padding at the end of each axis.
    window: the configured window, cut to the map.
    shift: the roll before cutting; 0 along an axis that one window covers.
  """

  size: Extent
  padded: Extent
  window: Extent
  shift: Extent

  @property
  def tokens(self) -> int:
    """Returns the number of positions in a window."""
    return math.prod(self.window)

  @property
  def count(self) -> int:
    """Returns the number of windows in a map."""
    return math.prod(self.padded) // self.tokens


def plan_windows(size: Extent, window: Extent, shifted: bool) -> Windows:
  """Cuts the configured window to a map, and shifts by half of it.

  An axis no longer than the configured window is one window without a shift.
  """
  used = tuple(min(n, w) for n, w in zip(size, window, strict=True))
  shift = tuple(
      w // 2 if shifted and n > w else 0
      for n, w in zip(size, window, strict=True)
  )
  padded = tuple(-(-n // w) * w for n, w in zip(size, used, strict=True))
  return Windows(tuple(size), padded, used, shift)


def region_labels(windows: Windows) -> np.ndarray | None:
  """Labels each position by its part of the map before the roll.

  Returns:
    int32 [windows, tokens]; tokens of a window attend to each other freely if
    their labels are equal. None if there is no shift.
  """
  if not any(windows.shift):
    return None
  label = np.zeros((1, 1, 1), np.int32)
  for axis in range(3):
    n, w, s = windows.padded[axis], windows.window[axis], windows.shift[axis]
    parts = np.zeros(n, np.int32)
    if s:
      parts[n - w : n - s] = 1
      parts[n - s :] = 2
    shape = [1, 1, 1]
    shape[axis] = n
    label = label * 3 + parts.reshape(shape)
  cut = _cut(label[None, ..., None], windows, np.transpose)
  return cut.reshape(windows.count, windows.tokens)


def to_windows(x: jax.Array, windows: Windows) -> jax.Array:
  """Cuts [B, D, H, W, C] into [B, windows, tokens, C]; pads and rolls it."""
  extra = [p - n for p, n in zip(windows.padded, windows.size, strict=True)]
  if any(extra):
    x = jnp.pad(x, ((0, 0), *((0, e) for e in extra), (0, 0)))
  if any(windows.shift):
    x = jnp.roll(x, [-s for s in windows.shift], (1, 2, 3))
  x = _cut(x, windows, jnp.transpose)
  return x.reshape(x.shape[0], windows.count, windows.tokens, x.shape[-1])


def from_windows(x: jax.Array, windows: Windows) -> jax.Array:
  """Undoes `to_windows` and removes the padding."""
  d, h, w = (
      p // n for p, n in zip(windows.padded, windows.window, strict=True)
  )
  x = x.reshape(x.shape[0], d, h, w, *windows.window, x.shape[-1])
  x = x.transpose(0, 1, 4, 2, 5, 3, 6, 7)
  x = x.reshape(x.shape[0], *windows.padded, x.shape[-1])  # [B, D, H, W, C]
  if any(windows.shift):
    x = jnp.roll(x, windows.shift, (1, 2, 3))
  d, h, w = windows.size
  return x[:, :d, :h, :w]


def _cut(x, windows: Windows, transpose: Callable):
  """Cuts [B, D, H, W, C] into [B, d, h, w, wd, wh, ww, C]."""
  shape = [x.shape[0]]
  for n, w in zip(windows.padded, windows.window, strict=True):
    shape += [n // w, w]
  return transpose(x.reshape(*shape, x.shape[-1]), (0, 1, 3, 5, 2, 4, 6, 7))
