"""Reads trained weights of a method, ours or the original code's."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from evclip_jax.errors import UserError
from evclip_jax.weights import formats
from evclip_jax.weights.tree import flatten, unflatten


def load(path: str, method: str, like: Mapping[str, Any]) -> dict[str, Any]:
  """The method's own subtree from a file.

  Args:
    path: a .safetensors written by this project, or a checkpoint of the
      original code that `evclip_jax/interop/<method>.py` can read.
    method: the method's name.
    like: the subtree to fill, for its names and shapes.

  Returns:
    A nested dict of float32 arrays shaped as `like`.

  Raises:
    UserError: the file holds something else, or does not fit the settings.
  """
  tensors = formats.read_tensors(path).tensors
  flat = {
      name.removeprefix('method/'): np.asarray(value, np.float32)
      for name, value in tensors.items()
      if name.startswith('method/')
  }
  if not flat:
    flat = _from_original(path, method, tensors)
  wanted = {name: np.shape(value) for name, value in flatten(like).items()}
  for name in sorted({*wanted, *flat}):
    theirs = flat[name].shape if name in flat else 'missing'
    ours = wanted.get(name, 'not part of this model')
    if theirs != ours:
      raise UserError(
          f'{path}: {name} is {theirs} in the file, {ours} here.\n  Check '
          'method.settings, encoder.name, clip.name and data.num_frames.'
      )
  return unflatten(flat)


def _from_original(path: str, method: str, tensors) -> dict[str, np.ndarray]:
  module = f'evclip_jax.interop.{method}'
  if importlib.util.find_spec(module) is None:
    raise UserError(
        f'{path} has no tensors of a method ("method/..."), and there is no '
        f'reader for other checkpoints of {method!r}.'
    )
  return importlib.import_module(module).from_source(tensors).flat
