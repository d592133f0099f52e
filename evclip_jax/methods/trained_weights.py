"""Reads and converts trained weights of this project and of the originals.

A method whose original wrote checkpoints defines `CHECKPOINT` (see
`original_checkpoint`) in `methods/NAME/checkpoint.py`, or in its single file.
"""

import dataclasses
import functools
import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.methods import base
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.weights import (
  clip_names,
  files,
  networks,
  own_file,
  scenic_names,
  trunks,
)
from evclip_jax.weights.table import Converted

_OWN = 'method/'
# Branches of the tree that trained weights may fill.
_BRANCHES = (_OWN, 'clip/')


@functools.cache
def readers() -> dict[str, Checkpoint]:
  """Returns the `CHECKPOINT` of every method that has one, by its name."""
  found = {}
  for name in base.names():
    module = f'evclip_jax.methods.{name}'
    if importlib.util.find_spec(module).submodule_search_locations is None:
      found[name] = importlib.import_module(module)
    elif importlib.util.find_spec(f'{module}.checkpoint') is not None:
      found[name] = importlib.import_module(f'{module}.checkpoint')
  return {n: m.CHECKPOINT for n, m in found.items() if hasattr(m, 'CHECKPOINT')}


def convert(file: files.StateFile) -> Converted:
  """Converts a file of any known kind, from a method or a network.

  Raises:
    WeightsError: an unknown kind, or tensors that do not fit their kind.
  """
  own = own_file.is_own(file) or file.metadata.get('kind') == 'trained'
  if not own and (reader := _reader(lambda r: r.recognise(file.tensors))):
    return reader.from_original(file.tensors)
  try:
    kind = networks.identify(file.tensors, file.metadata)
  except WeightsError as e:
    labels = ', '.join(reader.label for reader in readers().values())
    raise WeightsError(f'{str(e).removesuffix(".")}, {labels}.') from e
  label, part = networks.LABELS[kind], networks.PARTS.get(kind)
  if kind == 'evclip-jax':
    part = file.metadata.get('part', '')
    network = networks.NETWORKS.get(part)
    converted = own_file.read(file, part, network and network.sizes)
  elif kind == 'trained':
    flat = {n: np.asarray(x, np.float32) for n, x in file.tensors.items()}
    part = own_file.SEVERAL
    if all(name.startswith(_OWN) for name in flat):
      part = 'method'
      flat = {name.removeprefix(_OWN): x for name, x in flat.items()}
    converted = Converted(None, flat, {n: n for n in file.tensors})
  else:
    converted = networks.convert(file, kind)
  return dataclasses.replace(converted, kind=kind, label=label, part=part)


def renamed(
    file: files.StateFile, found: Converted, to: str, clip: str = ''
) -> dict[str, np.ndarray]:
  """Renames the tensors of a file as in the original code, or in Scenic.

  Args:
    file: the file.
    found: the result of `convert`.
    to: 'torch-names' or 'scenic'.
    clip: path of a CLIP to merge into a method's weights; '' for none.

  Raises:
    UserError: these weights have no such naming, or the CLIP does not fit them.
  """
  flat = found.flat
  if to == 'scenic' and found.part != 'clip':
    raise UserError(f'--to=scenic is for CLIP; {file.path} is {found.label}.')
  if clip and found.part in ('clip', 'encoder'):
    raise UserError(
        f'--clip={clip} is for weights of a method; {file.path} is '
        f'{found.label}.'
    )
  if to == 'scenic':
    return scenic_names.to_scenic(flat, found.sizes)
  if found.part == 'clip':
    return clip_names.to_original(flat)
  if found.part == 'encoder':
    return trunks.to_original(flat, found.sizes)
  kind = file.metadata.get('source_kind', found.kind)
  name = file.metadata.get('method')
  reader = readers().get(name) or _reader(lambda r: kind == r.kind)
  if reader is None:
    raise UserError(
        f'{file.path}: no original code is known that reads weights of '
        f'{name or kind!r}; wanted those of {", ".join(readers())}.'
    )
  if found.part != own_file.SEVERAL:
    flat = {_OWN + path: value for path, value in flat.items()}
  frozen = _clip(clip, file.metadata.get('weights.clip')) if clip else None
  return reader.to_checkpoint(flat, file.metadata, frozen)


def _reader(wanted: Callable[[Checkpoint], bool]) -> Checkpoint | None:
  return next((r for r in readers().values() if wanted(r)), None)


def _clip(path: str, used: str | None) -> dict[str, np.ndarray]:
  """Reads a CLIP as a flat dict; warns if its hash is not `used`."""
  file = files.read_tensors(path)
  if own_file.is_own(file):
    flat = own_file.read(file, 'clip', None).flat
  else:
    flat = networks.convert_part(file, 'clip').flat
  if used and used != own_file.tree_hash(flat):
    print(
        f'  warning: {path} is not the CLIP that the run was trained with; '
        'their hashes differ'
    )
  return flat


def load_trained(
    path: str,
    method: str,
    like: Mapping[str, Any],
    changed: Iterable[str] = ('method/.*',),
    fit: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    trunk: str | None = None,
) -> dict[str, Any]:
  """Puts the trained weights of a file into a tree.

  Args:
    path: a .safetensors file of this project, or a checkpoint of the original
      code (see `readers`).
    method: the method's name.
    like: the whole tree {'clip', 'method', ...}, for names, shapes and the
      leaves that do not come from the file.
    changed: patterns of the paths that training changes, which the file must
      contain. It may contain more leaves of CLIP and of the method.
    fit: adapts the method's flat weights to the model; see `Method.fit`.
    trunk: hash of the video trunk's weights; None without a trunk.

  Returns:
    A nested dict with the structure of `like`.

  Raises:
    UserError: the file holds something else, or does not fit the settings.
  """
  if os.path.exists(os.path.join(path, 'config.json')):
    raise UserError(
        f'method.weights={path} is a run folder. Write its weights to a file: '
        f'python -m evclip_jax.export --workdir={path} --out=FILE.safetensors'
    )
  try:
    file = files.read_tensors(path)
  except WeightsError as e:
    raise WeightsError(f'method.weights: {e}') from e
  seen = file.metadata.get('weights.encoder')
  if seen and trunk and seen != trunk:
    raise UserError(
        f'{path} was trained on the features of another video trunk (weights '
        f'{seen[:8]}; here {trunk[:8]}). Set encoder.name and encoder.weights '
        'to those of its run, or leave method.weights out.'
    )
  flat = {
      name: np.asarray(value, np.float32)
      for name, value in file.tensors.items()
      if name.startswith(_BRANCHES)
  }
  if not flat:
    reader = readers().get(method)
    if reader is None:
      raise UserError(
          f'{path} has no tensors "method/..." or "clip/...", and there is no '
          f'reader for other checkpoints of {method!r}.'
      )
    try:
      flat = reader.from_original(file.tensors).flat
    except UserError as e:
      # The tables do not know the file.
      raise WeightsError(f'method.weights={path}: {e}') from e
    if reader.part == 'method':
      flat = {_OWN + name: value for name, value in flat.items()}
  own = {
      name.removeprefix(_OWN): value
      for name, value in flat.items()
      if name.startswith(_OWN)
  }
  flat = {n: x for n, x in flat.items() if not n.startswith(_OWN)}
  for name, value in (fit(own) if fit else own).items():
    flat[_OWN + name] = value
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
          '(NaN): the training that wrote it failed (method.weights).'
      )
  return unflatten_dict(leaves | flat, sep='/')
