"""Reads and writes this project's weight files: float32 in .safetensors.

Tensor names are full paths of the parameter tree, such as
'clip/visual/conv1/kernel'. The metadata holds the architecture and the source.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from data_pipelines import whole_file
from data_pipelines.errors import UserError, WeightsError
from evclip_jax import __version__
from evclip_jax.weights.files import StateFile
from evclip_jax.weights.table import Converted

# Instead of a branch: the paths include theirs.
SEVERAL = 'several'
# The value of 'format' in the metadata of this project's files.
FORMAT = 'evclip_jax'
# What to do if a file of this project cannot be used.
RECONVERT = 'Convert the original again with "python -m evclip_jax.convert".'


def write(
    path: str | Path,
    part: str,
    flat: Mapping[str, np.ndarray],
    sizes: Any,
    metadata: Mapping[str, str],
):
  """Writes a converted tree; the file appears whole or not at all.

  Args:
    path: the file, which is replaced if it exists.
    part: the branch of the parameter tree, or `SEVERAL`.
    flat: path without the branch (with it for `SEVERAL`) -> float32 array.
    sizes: the architecture, a flat dataclass, or None.
    metadata: more text by name, such as 'source'.

  Raises:
    UserError: the file cannot be written; nothing is left there.
  """
  tensors = {_prefix(part) + name: value for name, value in flat.items()}
  own = {
      'format': FORMAT,
      'part': part,
      'package': __version__,
      'tree_hash': tree_hash(flat),
      'sizes': json.dumps(None if sizes is None else dataclasses.asdict(sizes)),
  }
  write_tensors(path, tensors, own | dict(metadata))


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
):
  """Writes any tensors as .safetensors; see `write`."""
  arrays = {n: np.asarray(t, order='C') for n, t in tensors.items()}
  try:
    with whole_file.replacing(path) as temporary:
      temporary.touch()
      # safetensors writes files that only their owner can read.
      mode = temporary.stat().st_mode
      safetensors.numpy.save_file(arrays, temporary, metadata=dict(metadata))
      temporary.chmod(mode)
  # safetensors wraps errors of the system.
  except (OSError, safetensors.SafetensorError) as e:
    reason = getattr(e, 'strerror', None) or str(e).splitlines()[0]
    raise UserError(
        f'could not write {path}: {reason}. Nothing was left there.'
    ) from e


def is_own(file: StateFile) -> bool:
  """Returns whether this project wrote the file."""
  return file.metadata.get('format') == FORMAT


def read(
    file: StateFile, part: str, make_sizes: Callable[..., Any] | None
) -> Converted:
  """Returns the weights in a file of this project, after a check of their hash.

  Args:
    file: the file.
    part: the branch that is wanted.
    make_sizes: makes the sizes from their fields; None = do not read them.

  Raises:
    WeightsError: the file has another branch, or was changed.
  """
  there = file.metadata.get('part')
  if there != part:
    raise WeightsError(
        f'{file.path} holds {there!r} weights; wanted {part!r} weights.'
    )
  prefix = _prefix(part)
  try:
    if not all(name.startswith(prefix) for name in file.tensors):
      raise ValueError(f'not all names begin with {prefix!r}')
    values = json.loads(file.metadata['sizes'])
    sizes = None
    if make_sizes is not None:
      sizes = make_sizes(**{k: _tuples(v) for k, v in values.items()})
    noted = {
        key: tuple(json.loads(file.metadata.get(key, '[]')))
        for key in ('notes', 'assumed')
    }
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise WeightsError(
        f'{file.path} is not as this version writes it ({e}).\n  {RECONVERT}'
    ) from e
  # Packaged networks are stored in half precision.
  flat = {
      n.removeprefix(prefix): np.asarray(t, np.float32)
      for n, t in file.tensors.items()
  }
  if tree_hash(flat) != file.metadata.get('tree_hash'):
    raise WeightsError(
        f'{file.path}: its tensors were changed after it was written.\n  '
        f'{RECONVERT}'
    )
  return Converted(sizes, flat, {n: n for n in file.tensors}, **noted)


def _prefix(part: str) -> str:
  return '' if part == SEVERAL else f'{part}/'


def _tuples(value: Any) -> Any:
  # JSON has no tuples.
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


def tree_hash(flat: Mapping[str, np.ndarray]) -> str:
  """Returns a hex digest of names, dtypes, shapes and bytes, in any order."""
  total = hashlib.sha256()
  for path in sorted(flat):
    array = np.asarray(flat[path])
    total.update(f'{path}\0{array.dtype.str}\0{array.shape}\0'.encode())
    # A view of bytes needs an axis.
    total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
  return total.hexdigest()


def file_sha256(path: str | Path) -> str:
  """Returns the hex digest of a file's bytes."""
  with Path(path).open('rb') as f:
    return hashlib.file_digest(f, 'sha256').hexdigest()
