"""Numbers that the specification's fixtures draw for weights and inputs."""

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

# Names of LayerNorm tensors in the original modules.
_NORM = re.compile(
    r'(.*\.)?(norm\d?|ln_\w+|projection2spatial\.4|feature_adaptation\.2)'
    r'\.(weight|bias)'
)


def series(count: int, j: int) -> np.ndarray:
  """The generator s(count, j): float64 in [-1, 1)."""
  x = np.arange(count, dtype=np.uint64) + np.uint64(1000003 * j)
  x = x.astype(np.uint32)
  x ^= x >> 16
  x *= np.uint32(0x7FEB352D)
  x ^= x >> 15
  x *= np.uint32(0x846CA68B)
  x ^= x >> 16
  return 2 * x.astype(np.float64) / 2**32 - 1


def tensor(shape: Iterable[int], j: int, size: float) -> np.ndarray:
  """An input in(shape, j, size), float32."""
  shape = tuple(shape)
  values = size * series(math.prod(shape), j)
  return values.reshape(shape).astype(np.float32)


def fill(
    shapes: Mapping[str, tuple[int, ...]],
    scalars: Mapping[str, float] | None = None,
) -> dict[str, np.ndarray]:
  """Weights of a module by the fixtures' rule.

  Args:
    shapes: original name relative to the module -> shape in torch layout.
    scalars: values of the 0-D tensors, which the rule leaves alone.
  """
  out = {}
  for j, name in enumerate(sorted(shapes)):
    shape = shapes[name]
    s = series(math.prod(shape), j).reshape(shape)
    if not shape:
      value = np.array((scalars or {})[name])
    elif _NORM.fullmatch(name):
      value = 1 + 0.1 * s if name.endswith('weight') else 0.1 * s
    elif name.endswith('relative_position_bias_table'):
      value = 0.5 * s
    elif len(shape) > 1:
      value = s * math.sqrt(3 / math.prod(shape[1:]))
    else:
      value = 0.1 * s
    out[name] = value.astype(np.float32)
  return out
