"""Which input pixels an output pixel of a resized axis is made of.

PyTorch's interpolation differs from that of other libraries: the bicubic
coefficient is -0.75 (not -0.5), nothing is blurred before shrinking, and the
border is repeated.
"""

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
  left, u = _places(size_in, size_out)
  weight = np.stack([_far(u + 1), _near(u), _near(1 - u), _far(2 - u)])
  index = left + np.arange(-1, 3)[:, None]
  return np.clip(index, 0, size_in - 1), weight


def bilinear_taps(
    size_in: int, size_out: int
) -> tuple[np.ndarray, np.ndarray]:
  """Like `bicubic_taps` with two neighbours, [2, size_out].

  Source: torch.nn.functional.interpolate(mode='bilinear',
    align_corners=False, antialias=False).
  Differs: none.
  """
  left, u = _places(size_in, size_out)
  index = np.stack([left, left + 1])
  return np.clip(index, 0, size_in - 1), np.stack([1 - u, u])


TAPS = {'bicubic': bicubic_taps, 'bilinear': bilinear_taps}


def _places(size_in: int, size_out: int) -> tuple[np.ndarray, np.ndarray]:
  """The input pixel left of each output pixel, and how far behind it is."""
  place = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
  left = np.floor(place)
  return left.astype(np.int64), place - left


def _near(x: np.ndarray) -> np.ndarray:
  """The cubic for distances 0..1."""
  return ((_A + 2) * x - (_A + 3)) * x * x + 1


def _far(x: np.ndarray) -> np.ndarray:
  """The cubic for distances 1..2."""
  return ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
