"""Reads torch files without torch: zip archives, TorchScript, legacy files.

Nothing in a file can run: see `data_pipelines.unpickle`. Sizes are compared
with the file before memory is allocated.
"""

import io
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines import unpickle
from data_pipelines.errors import WeightsError
from evclip_jax.weights.torch_globals import (
    Storage,
    TensorRef,
    find,
    item_bytes,
)

# Written by torch.save at the beginning of legacy files.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

# Maps name -> TensorRef to name -> array; reads only these tensors.
Reader = Callable[[Mapping[str, TensorRef]], dict[str, np.ndarray]]


def read(path: str | Path) -> tuple[str, Any, Reader]:
  """Opens a torch file, whatever its name.

  Returns:
    'torchscript', 'torch-zip' or 'torch-legacy'; the saved object, of plain
    containers, `TensorRef`, `Inert` and `torch_globals.NumpyArray`; and the
    reader of its tensors, which turns bfloat16 into float32.

  Raises:
    WeightsError: the file is damaged, cut short or not torch's, or names more
      than tensors and plain containers.
  """
  path = Path(path)

  def guarded(function, *args):
    try:
      return function(*args)
    except (WeightsError, unpickle.Refused) as e:
      raise WeightsError(f'{path}: {e}') from None
    except Exception as e:
      # Damaged bytes can raise any error in zip and pickle.
      raise damaged(path, e) from e

  with path.open('rb') as f:
    is_zip = f.read(2) == b'PK'
  opener = _open_zip if is_zip else _open_legacy
  kind, root, read_storage = guarded(opener, path)
  budget = 2 * path.stat().st_size + 2**26

  def arrays(refs: Mapping[str, TensorRef]) -> dict[str, np.ndarray]:
    return guarded(_arrays, refs, read_storage, budget)

  return kind, root, arrays


def _open_zip(path: Path):
  with zipfile.ZipFile(path) as archive:
    names = set(archive.namelist())
    roots = [n for n in names if n.endswith('/data.pkl') and n.count('/') == 1]
    if len(roots) != 1:
      raise WeightsError(
          'it is a zip file, but not one written by torch '
          '(wanted one data.pkl in it).'
      )
    prefix = roots[0].removesuffix('data.pkl')
    if f'{prefix}byteorder' in names:
      order = _record(archive, f'{prefix}byteorder').strip()
      if order != b'little':
        raise WeightsError(f'its numbers are {order!r}-endian, not little.')
    pickled = _record(archive, roots[0])

  def storage(pid: tuple) -> Storage:
    tag, kind, key, _, count = pid
    if tag != 'storage' or type(count) is not int or not kind.value:
      raise ValueError('a reference that is not to a storage')
    name = f'{prefix}data/{key}'
    if name not in names:
      raise ValueError(f'the record {name!r} is missing')
    return Storage(name, kind.value, count)

  def read_storage(key: str, nbytes: int) -> bytes:
    with zipfile.ZipFile(path) as archive:
      data = _record(archive, key)
    if len(data) < nbytes:
      raise ValueError(f'{key!r} has {len(data)} bytes, not {nbytes}')
    return data

  root = unpickle.read(io.BytesIO(pickled), find, storage)
  script = f'{prefix}constants.pkl' in names
  return 'torchscript' if script else 'torch-zip', root, read_storage


def _record(archive: zipfile.ZipFile, name: str) -> bytes:
  """Returns the bytes of a record; zipfile verifies its checksum."""
  if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
    # Torch never compresses; such a record could be far larger than the file.
    raise WeightsError(f'its record {name!r} is compressed.')
  return archive.read(name)


def _open_legacy(path: Path):
  with path.open('rb') as f:
    data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
  types: dict[str, Storage] = {}

  def storage(pid: tuple) -> Storage:
    tag, kind, key, _, count, view = pid
    if tag != 'storage' or type(count) is not int or not kind.value:
      raise ValueError('a reference that is not to a storage')
    key = str(key)
    types[key] = Storage(key, kind.value, count)
    if view is None:
      return types[key]
    _, start, view_count = view
    if not 0 <= start <= start + view_count <= count:
      raise ValueError('a view beyond its storage')
    return Storage(key, kind.value, view_count, start)

  if unpickle.read(data, find, storage) != _MAGIC:
    raise WeightsError('it is a pickle, but not one written by torch.save.')
  if unpickle.read(data, find, storage) != _PROTOCOL:
    raise WeightsError('it is from a version of torch.save that is too old.')
  system = unpickle.read(data, find, storage)
  if not system.get('little_endian', True):
    raise WeightsError('its numbers are big-endian, not little.')
  root = unpickle.read(data, find, storage)
  offsets = {}
  for key in unpickle.read(data, find, storage):
    storage_type = types[str(key)]
    (count,) = struct.unpack('<q', data.read(8))
    nbytes = count * item_bytes(storage_type.dtype)
    if count < storage_type.count or data.tell() + nbytes > len(data):
      raise ValueError(f'the storage {key} is not all there')
    offsets[str(key)] = data.tell()
    data.seek(nbytes, io.SEEK_CUR)
  if missing := types.keys() - offsets.keys():
    raise ValueError(f'{len(missing)} storages are missing')

  def read_storage(key: str, nbytes: int) -> bytes:
    return data[offsets[key] : offsets[key] + nbytes]

  return 'torch-legacy', root, read_storage


def _arrays(
    refs: Mapping[str, TensorRef],
    read_storage: Callable[[str, int], bytes],
    budget: int,
) -> dict[str, np.ndarray]:
  total = sum(ref.nbytes for ref in refs.values())
  # Views can repeat bytes, so a small file could ask for any amount.
  if total > budget:
    raise WeightsError(f'its tensors would take {total:,} bytes of memory.')
  by_storage: dict[str, list[str]] = {}
  for name, ref in refs.items():
    by_storage.setdefault(ref.storage.key, []).append(name)
  arrays: dict[str, np.ndarray] = {}
  for key, names in by_storage.items():
    nbytes = max(
        (s.start + s.count) * item_bytes(s.dtype)
        for s in (refs[name].storage for name in names)
    )
    data = read_storage(key, nbytes)
    arrays |= {name: _array(refs[name], data) for name in names}
  return {name: arrays[name] for name in refs}


def _array(ref: TensorRef, data: bytes) -> np.ndarray:
  if not ref.nbytes:
    array = np.zeros(ref.shape, ref.dtype)
  else:
    size, first = item_bytes(ref.dtype), ref.storage.start
    start = first * item_bytes(ref.storage.dtype) + ref.offset * size
    strides = tuple(n * size for n in ref.strides)
    view = np.ndarray(ref.shape, ref.dtype, data, start, strides)
    array = np.ascontiguousarray(view).reshape(ref.shape)
  return array.astype(np.float32) if ref.dtype == 'bfloat16' else array


def damaged(path: Path, error: Exception) -> WeightsError:
  """Makes the error for a damaged file of any format."""
  reason = (str(error).strip() or type(error).__name__).splitlines()[0]
  return WeightsError(
      f'{path} ({path.stat().st_size:,} bytes) is damaged or cut short: '
      f'{reason.rstrip(".")}.\n  Fetch or copy it again.'
  )
