"""Reads any supported weight file into arrays by name, going by its content."""

import dataclasses
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from data_pipelines.errors import WeightsError
from evclip_jax.weights import checkpoints, torch_file

# The first bytes of files that come where weights were expected.
_MISTAKES = (
    (b'version https://git-lfs', 'a Git LFS pointer, not the file it stands '
     'for. Run "git lfs pull", or download the file itself'),
    (b'<', 'a web page. The download gave a page instead of the file'),
    (b'{', 'JSON text, not weights'),
    (b'\x1f\x8b', 'gzip-compressed. Unpack it first'),
    (b'\x89HDF', 'an HDF5 file. Keras weights are not supported'),
    (b'GGUF', 'a GGUF file, which is not supported'),
    (b'\x93NUMPY', 'a single array. Save the arrays with numpy.savez'),
)
_SUPPORTED = (
    'Wanted a torch file (.pt, .pth, .pth.tar, .torch), .safetensors or .npz.'
)


@dataclasses.dataclass(frozen=True)
class StateFile:
  """What a weight file holds.

  Attributes:
    path: the file.
    tensors: name -> array of the type in the file, but bfloat16 as float32.
    kind: 'torchscript', 'torch-zip', 'torch-legacy', 'safetensors' or 'npz'.
    metadata: text by name; only .safetensors files have any.
    notes: lines on what was chosen among several things in the file.
    left_out: names of tensors in the file that were not read.
  """

  path: str
  tensors: dict[str, np.ndarray]
  kind: str
  metadata: dict[str, str] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  left_out: tuple[str, ...] = ()


def read_tensors(path: str | Path) -> StateFile:
  """Reads the tensors of a weight file.

  Nested checkpoints give the state dict within: see `checkpoints.choose`.

  Args:
    path: a file of any supported format; its extension does not matter.

  Raises:
    WeightsError: no such file, not weights, damaged, cut short, or a pickle
      that names more than tensors and plain containers. The message names it.
  """
  path = Path(path)
  head = _head(path)
  # First: a .safetensors file may begin with any byte, also a pickle's.
  if head[4:9] == b'\0\0\0\0{':
    return _read_safetensors(path)
  if head[:2] == b'PK':
    return _read_npz(path) if _is_npz(path) else _read_torch(path)
  if head[:1] == b'\x80':
    return _read_torch(path)
  for start, meaning in _MISTAKES:
    if head.lstrip().startswith(start):
      raise WeightsError(f'{path} is {meaning}.')
  if head[257:262] == b'ustar':
    raise WeightsError(f'{path} is a tar archive. Unpack it first.')
  raise WeightsError(
      f'{path} is not a weight file (it begins with {head[:8]!r}).\n'
      f'  {_SUPPORTED}'
  )


def _head(path: Path) -> bytes:
  if path.is_dir():
    raise WeightsError(f'{path} is a folder. Name the weight file in it.')
  try:
    with path.open('rb') as f:
      head = f.read(512)
  except FileNotFoundError:
    raise WeightsError(
        f'{path} does not exist. Give the path of a weight file, or a name '
        'that "python -m evclip_jax.download --list" shows.'
    ) from None
  except OSError as e:
    raise WeightsError(f'{path} cannot be read: {e.strerror}.') from e
  if not head:
    raise WeightsError(f'{path} is empty. Fetch or copy it again.')
  return head


def _read_torch(path: Path) -> StateFile:
  file = torch_file.read(path)
  try:
    choice = checkpoints.choose(file.root)
  except WeightsError as e:
    raise WeightsError(f'{path}: {e}') from None
  arrays = file.arrays(
      {n: t for n, t in choice.tensors.items() if not _is_array(t)}
  )
  tensors = {n: arrays.get(n, t) for n, t in choice.tensors.items()}
  return StateFile(
      str(path), tensors, file.kind, {}, choice.notes, choice.left_out
  )


def _is_array(value: Any) -> bool:
  return isinstance(value, np.ndarray)


def _is_npz(path: Path) -> bool:
  try:
    with zipfile.ZipFile(path) as archive:
      return any(n.endswith('.npy') for n in archive.namelist())
  except torch_file.DAMAGE:
    # Torch's reader says in its message what is wrong with it.
    return False


def _read_npz(path: Path) -> StateFile:
  try:
    with np.load(path, allow_pickle=False) as archive:
      tensors = {name: archive[name] for name in archive.files}
  except torch_file.DAMAGE as e:
    if 'allow_pickle' in str(e):
      raise WeightsError(
          f'{path} holds pickled objects, which are not read. Save arrays only.'
      ) from None
    raise _damaged(path, e) from e
  return StateFile(str(path), tensors, 'npz')


def _read_safetensors(path: Path) -> StateFile:
  tensors, metadata = {}, {}
  try:
    with safetensors.safe_open(path, 'numpy') as file:
      metadata = file.metadata() or {}
      for name in list(file.keys()):
        dtype = file.get_slice(name).get_dtype()
        if dtype == 'BF16':
          tensors[name] = _bfloat16(path, name)
        elif dtype.startswith(('F8', 'F4')):
          raise WeightsError(f'{path}: {name!r} is {dtype}, not supported.')
        else:
          tensors[name] = file.get_tensor(name)
  except (safetensors.SafetensorError, OSError, ValueError) as e:
    raise _damaged(path, e) from e
  return StateFile(str(path), tensors, 'safetensors', dict(metadata))


def _bfloat16(path: Path, name: str) -> np.ndarray:
  """A tensor that numpy has no type for, as float32.

  `safe_open` has checked the header and all offsets before.
  """
  with path.open('rb') as f:
    (header_bytes,) = struct.unpack('<Q', f.read(8))
    header: Mapping[str, Any] = json.loads(f.read(header_bytes))
    start, end = header[name]['data_offsets']
    f.seek(8 + header_bytes + start)
    raw = np.frombuffer(f.read(end - start), '<u2')
  wide = raw.astype(np.uint32) << 16
  return wide.view(np.float32).reshape(header[name]['shape'])


def _damaged(path: Path, error: Exception) -> WeightsError:
  reason = (str(error).strip() or type(error).__name__).splitlines()[0]
  return WeightsError(
      f'{path} ({path.stat().st_size:,} bytes) is damaged or cut short: '
      f'{reason.rstrip(".")}.\n  Fetch or copy it again.'
  )
