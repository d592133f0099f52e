"""What reading weights gives: converted trees and loaded networks."""

import dataclasses
from typing import Any

import numpy as np

from evclip_jax.weights.table import Report


@dataclasses.dataclass(frozen=True)
class Converted:
  """A checkpoint of another code base in our naming and layout.

  Every model's table module has `from_source(tensors) -> Converted` and its
  inverse `to_source(flat) -> dict`.

  Attributes:
    sizes: the architecture read from the tensor shapes (a frozen dataclass of
      numbers, strings and tuples), or None where the shapes say it all.
    flat: path such as 'visual/conv1/kernel' -> float32 array.
    report: which source tensor went where.
  """

  sizes: Any
  flat: dict[str, np.ndarray]
  report: Report


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A pretrained network ready for use.

  Attributes:
    sizes: the architecture.
    params: nested dict of float32 arrays, without the leading 'clip/' or
      'encoder/'.
    hash: hex digest of the names, shapes and values of `params`; a run's
      checkpoint records it and refuses other weights.
    source: the file, published name or 'random:SEED' the weights came from.
    description: one line for logs: architecture, sizes, counts.
  """

  sizes: Any
  params: dict[str, Any]
  hash: str
  source: str
  description: str
