"""Draws random weights, to try things without a download."""

import concurrent.futures
import math
from collections.abc import Mapping

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError

_PREFIX = 'random:'
# Constant leaves, by the last name of their path.
_CONSTANT = {
    'scale': 1.0,
    'bias': 0.0,
    'mean': 0.0,
    'var': 1.0,
    'per_dim_scale': 0.0,
    # The value in released models.
    'logit_scale': math.log(100),
}
# Standard deviation of embeddings and position tables.
_TABLE_STD = 0.02


def is_random(weights: str) -> bool:
  """Returns whether `weights` asks for random weights."""
  return weights.startswith(_PREFIX)


def parse_seed(weights: str, key: str) -> int:
  """Returns the seed in 'random:SEED'.

  Args:
    weights: such as 'random:0'.
    key: its config key, for the message.

  Raises:
    UserError: there is no integer after the colon.
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
    path -> float32 array, a function of (seed, path, shape) only. Norms and
    biases are constant. Others are uniform around 0, embeddings and position
    tables with a standard deviation of 0.02, kernels and projections (input
    axes first) with a variance of 1 / fan_in.
  """
  # numpy fills arrays without the interpreter's lock.
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
  # Uniform numbers are several times faster than normal ones.
  values = randomness.generator(seed, f'random weights/{path}').random(
      shape, dtype=np.float32
  )
  values -= np.float32(0.5)
  values *= np.float32(std * math.sqrt(12))
  return values
