"""Random weights by name: to try things without a download."""

import concurrent.futures
import math
from collections.abc import Mapping

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError

_PREFIX = 'random:'
# Leaves that are the same number everywhere.
_CONSTANT = {
    'scale': 1.0,
    'bias': 0.0,
    'mean': 0.0,
    'var': 1.0,
    'per_dim_scale': 0.0,
    # CLIP's scale of cosines, at which released models have stopped.
    'logit_scale': math.log(100),
}
# Tables that are added to or looked up: their standard deviation.
_TABLE_STD = 0.02


def is_random(weights: str) -> bool:
  """Returns whether `weights` asks for random weights."""
  return weights.startswith(_PREFIX)


def parse_seed(weights: str, key: str) -> int:
  """Returns the seed in 'random:SEED'.

  Args:
    weights: such as 'random:0'.
    key: the config key it came from, for the message.

  Raises:
    UserError: if there is no integer behind the colon.
  """
  try:
    return int(weights.removeprefix(_PREFIX))
  except ValueError:
    raise UserError(
        f'{key}={weights!r}: wanted random:SEED with an integer, such as '
        'random:0.'
    ) from None


def draw(
    shapes: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, np.ndarray]:
  """Draws every leaf of a network.

  Args:
    shapes: path -> shape.
    seed: any integer.

  Returns:
    path -> float32 array, a function of (seed, path, shape) only. By the last
    name of the path: constants for norms and biases; uniform around 0 with a
    variance of 1/fan_in for kernels and projections (input axes first), with a
    standard deviation of 0.02 for embeddings and position tables.
  """
  # numpy fills arrays outside of the interpreter's lock.
  with concurrent.futures.ThreadPoolExecutor() as pool:
    leaves = pool.map(
        lambda item: _leaf(item[0], tuple(item[1]), seed), shapes.items()
    )
    return dict(zip(shapes, leaves, strict=True))


def _leaf(path: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
  name = path.rsplit('/', 1)[-1]
  if name in _CONSTANT:
    return np.full(shape, _CONSTANT[name], np.float32)
  if name.endswith(('embedding', 'relative_position_bias_table')):
    std = _TABLE_STD
  else:
    fan_in = math.prod(shape[:-1])
    std = 1 / math.sqrt(max(fan_in, 1))
  # Uniform, which is several times as fast as normal, with the same spread.
  values = randomness.generator(seed, f'random weights/{path}').random(
      shape, dtype=np.float32
  )
  values -= np.float32(0.5)
  values *= np.float32(std * math.sqrt(12))
  return values
