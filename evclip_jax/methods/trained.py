"""Reads trained weights of a method, ours or the original code's."""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.weights import files

_OWN = 'method/'
# What trained weights may fill besides the method's own subtree.
_BRANCHES = (_OWN, 'clip/')


def load(
    path: str,
    method: str,
    like: Mapping[str, Any],
    changed: Iterable[str] = ('method/.*',),
    fit: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
  """A tree with the trained weights of a file put in.

  Args:
    path: a .safetensors written by this project, or a checkpoint of the
      original code that `evclip_jax/methods/<method>/checkpoint.py` can read.
    method: the method's name.
    like: the whole tree {'clip', 'method', ...}, for names, shapes and the
      leaves that do not come from the file.
    changed: patterns of the paths that the file must have: what training
      changes. It may have more of CLIP's leaves and of the method's own.
    fit: makes flat weights of the method's own fit the model; `Method.fit`.

  Returns:
    A nested dict shaped as `like`.

  Raises:
    UserError: the file holds something else, or does not fit the settings.
  """
  tensors = files.read_tensors(path).tensors
  flat = {
      name: np.asarray(value, np.float32)
      for name, value in tensors.items()
      if name.startswith(_BRANCHES)
  }
  if not any(name.startswith(_OWN) for name in flat):
    flat = _from_original(path, method, tensors)
  if fit:
    own = {
        name.removeprefix(_OWN): value
        for name, value in flat.items()
        if name.startswith(_OWN)
    }
    flat = {n: x for n, x in flat.items() if not n.startswith(_OWN)}
    flat |= {_OWN + name: value for name, value in fit(own).items()}
  leaves = flatten_dict(like, sep='/')
  needed = {n for n in leaves if any(re.fullmatch(p, n) for p in changed)}
  for name in sorted({*needed, *flat}):
    theirs = flat[name].shape if name in flat else 'missing'
    ours = 'not part of this model'
    if name in leaves:
      ours = np.shape(leaves[name])
    if theirs != ours:
      raise UserError(
          f'{path}: {name.removeprefix(_OWN)} is {theirs} in the file, {ours} '
          'here.\n  Check method.settings, encoder.name, clip.name and '
          'data.num_frames.'
      )
    if name in flat and not np.isfinite(flat[name]).all():
      raise UserError(
          f'{path}: {name.removeprefix(_OWN)} has numbers that are not finite '
          '(NaN). The training that wrote it had failed (method.weights).'
      )
  return unflatten_dict(leaves | flat, sep='/')


def _from_original(path: str, method: str, tensors) -> dict[str, np.ndarray]:
  module = f'evclip_jax.methods.{method}.checkpoint'
  try:
    reader = importlib.import_module(module)
  except ModuleNotFoundError:
    raise UserError(
        f'{path} has no tensors of a method ("method/..."), and there is no '
        f'reader for other checkpoints of {method!r}.'
    ) from None
  flat = reader.from_original(tensors).flat
  if any(name.startswith(_OWN) for name in flat):
    return flat
  return {_OWN + name: value for name, value in flat.items()}
