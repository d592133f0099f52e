"""This project's own weight file: a float32 tree in .safetensors.

Tensor names are full paths of the parameter tree, such as
'clip/visual/conv1/kernel'. The metadata holds the architecture and where the
weights came from.
"""

import dataclasses
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from data_pipelines.errors import UserError, WeightsError
from evclip_jax import __version__
from evclip_jax.weights.formats import StateFile
from evclip_jax.weights.hashes import tree_hash
from evclip_jax.weights.identify import OWN_FORMAT
from evclip_jax.weights.loaded import Converted
from evclip_jax.weights.table import Report

# In place of a branch: paths in the file begin with it already.
SEVERAL = 'several'
# What writing can raise: safetensors wraps the system's errors.
WRITE_ERRORS = (OSError, safetensors.SafetensorError)


def write(
    path: str | Path,
    part: str,
    flat: Mapping[str, np.ndarray],
    sizes: Any,
    metadata: Mapping[str, str],
):
  """Writes a converted tree; the file appears whole or not at all.

  Args:
    path: the file; replaced if there.
    part: 'clip', 'encoder' or 'method': the branch of the parameter tree; or
      'several' of them.
    flat: path without the part -> float32 array; with it if there are several.
    sizes: the architecture, a flat dataclass, or None.
    metadata: more text by name, such as 'source'.

  Raises:
    UserError: the file cannot be written. Nothing is left of it.
  """
  tensors = {_prefix(part) + name: value for name, value in flat.items()}
  own = {
      'format': OWN_FORMAT,
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
  """Writes any tensors as .safetensors, as `write` does."""
  path = Path(path)
  # In the same folder, so that the last step is a rename; a name of its own,
  # so that several processes can write at once.
  temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp')
  arrays = {n: np.asarray(t, order='C') for n, t in tensors.items()}
  try:
    temporary.touch()
    # safetensors makes files that only their owner can read.
    mode = temporary.stat().st_mode
    safetensors.numpy.save_file(arrays, temporary, metadata=dict(metadata))
    temporary.chmod(mode)
    with temporary.open('rb') as f:
      os.fsync(f.fileno())
    os.replace(temporary, path)
  except WRITE_ERRORS as e:
    raise UserError(
        f'could not write {path}: {_reason(e)}. Nothing was left there.'
    ) from e
  finally:
    temporary.unlink(missing_ok=True)


def is_own(file: StateFile) -> bool:
  """Whether this project wrote the file."""
  return file.metadata.get('format') == OWN_FORMAT


def read(file: StateFile, part: str, sizes_type: type | None) -> Converted:
  """The tree in a file this project wrote.

  Args:
    file: an own file.
    part: the branch wanted.
    sizes_type: the dataclass of its sizes; None to leave them unread.

  Raises:
    WeightsError: the file holds another branch, or was changed since.
  """
  there = file.metadata.get('part')
  if there != part:
    raise WeightsError(
        f'{file.path} holds {there!r} weights, wanted {part!r} weights.'
    )
  prefix = _prefix(part)
  try:
    if not all(name.startswith(prefix) for name in file.tensors):
      raise ValueError(f'not all names begin with {prefix!r}')
    values = json.loads(file.metadata['sizes'])
    sizes = None
    if sizes_type is not None:
      sizes = sizes_type(**{k: _frozen(v) for k, v in values.items()})
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise WeightsError(
        f'{file.path} is not as this version writes it ({e}).\n  Convert the '
        'original again with "python -m evclip_jax.convert".'
    ) from e
  # The packaged networks are stored in half precision.
  flat = {
      n.removeprefix(prefix): np.asarray(t, np.float32)
      for n, t in file.tensors.items()
  }
  return Converted(sizes, flat, Report({n: n for n in file.tensors}, ()))


def check_hash(file: StateFile, flat: Mapping[str, np.ndarray]) -> str:
  """The hash of a tree read from an own file, if it is the one noted there.

  Raises:
    WeightsError: the tensors are not those the file was written with.
  """
  digest = tree_hash(flat)
  if digest != file.metadata.get('tree_hash'):
    raise WeightsError(
        f'{file.path}: its tensors are not those it was written with.\n  '
        'Convert the original again with "python -m evclip_jax.convert".'
    )
  return digest


def _prefix(part: str) -> str:
  return '' if part == SEVERAL else f'{part}/'


def _frozen(value: Any) -> Any:
  # JSON has no tuples.
  return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _reason(error: Exception) -> str:
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return str(error).splitlines()[0]
