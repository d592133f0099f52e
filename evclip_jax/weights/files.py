"""Reads weight files of all supported formats, recognised by content."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import safetensors

from data_pipelines.errors import WeightsError
from evclip_jax.weights import state_dict, torch_file
from evclip_jax.weights.torch_globals import TensorRef

# First bytes of files that are often given instead of weights.
_NOT_WEIGHTS = (
    (b'version https://git-lfs', 'a Git LFS pointer, not the file it stands '
     'for. Run "git lfs pull", or download the file itself'),
    (b'<\0\0\0', 'a program of jax.export, not weights. '
     'python -m evclip_jax.export without --to writes those of a run'),
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
# Files to look for in a folder like those of Hugging Face's hub, in order.
_INDEX = '.index.json'
_IN_FOLDER = (
    'model.safetensors',
    f'model.safetensors{_INDEX}',
    'open_clip_model.safetensors',
    'open_clip_pytorch_model.bin',
    'pytorch_model.bin',
    f'pytorch_model.bin{_INDEX}',
)
# Prefixes that wrappers add to all names: torch's data parallel, its compiler,
# Lightning, and models that contain a CLIP.
_WRAPPERS = ('module.', '_orig_mod.', 'model.', 'clip.', 'clip_model.')


@dataclasses.dataclass(frozen=True)
class StateFile:
  """Holds the contents of a weight file.

  Attributes:
    path: the file.
    tensors: name -> array with the dtype in the file, but bfloat16 as float32.
    kind: 'torchscript', 'torch-zip', 'torch-legacy', 'safetensors' or 'npz'.
    metadata: text by name; only .safetensors files have any.
    notes: lines about what was chosen or changed.
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

  `state_dict.choose` finds the state dict of a nested checkpoint. Prefixes that
  wrappers add to all names are removed.

  Args:
    path: a file of any supported format, whatever its extension; a folder like
      those of Hugging Face's hub; or the index of a model in several files.

  Raises:
    WeightsError: the file is missing, damaged or not a weight file, or its
      pickle names more than tensors and plain containers.
  """
  file = _read(weight_file(path))
  tensors, notes = file.tensors, [*file.notes]
  while tensors and (prefix := _common_wrapper(tensors)):
    tensors = {n.removeprefix(prefix): t for n, t in tensors.items()}
    notes.append(f'removed the prefix {prefix!r} from all names')
  return dataclasses.replace(file, tensors=tensors, notes=tuple(notes))


def weight_file(path: str | Path) -> Path:
  """Returns the file to read: `path`, without '~', or the weights in a folder.

  Raises:
    WeightsError: the folder has no weights.
  """
  # os.path raises nothing, whatever the name.
  path = Path(os.path.expanduser(path))
  if not os.path.isdir(path):
    return path
  for name in _IN_FOLDER:
    if (path / name).is_file():
      return path / name
  raise WeightsError(
      f'{path} is a folder without {", ".join(_IN_FOLDER[:-1])} or '
      f'{_IN_FOLDER[-1]}. Give the path of the weight file in it.'
  )


def shards(path: Path) -> list[Path]:
  """Returns the files that a weight file consists of.

  Raises:
    WeightsError: the index of a model in several files is broken, or a file is
      missing.
  """
  if not path.name.endswith(_INDEX):
    return [path]
  parts = [path.with_name(n) for n in dict.fromkeys(_weight_map(path).values())]
  if lacking := [part.name for part in parts if not part.is_file()]:
    raise WeightsError(f'{path}: {lacking[0]} is missing. Fetch it too.')
  return [path, *parts]


def _read(path: Path) -> StateFile:
  head = _head(path)
  if path.name.endswith(_INDEX):
    return _read_shards(path)
  # Checked first: .safetensors files may begin with any byte, as a pickle's.
  if head[4:9] == b'\0\0\0\0{':
    return _read_safetensors(path)
  if head[:2] == b'PK':
    return _read_npz(path) if _is_npz(path) else _read_torch(path)
  if head[:1] == b'\x80':
    return _read_torch(path)
  for start, meaning in _NOT_WEIGHTS:
    if head.lstrip().startswith(start):
      raise WeightsError(f'{path} is {meaning}.')
  if head[257:262] == b'ustar':
    raise WeightsError(f'{path} is a tar archive. Unpack it first.')
  raise WeightsError(
      f'{path} is not a weight file (it begins with {head[:8]!r}).\n'
      f'  {_SUPPORTED}'
  )


def _head(path: Path) -> bytes:
  try:
    with path.open('rb') as f:
      head = f.read(512)
  except FileNotFoundError:
    raise WeightsError(
        f'{path} does not exist. Give the path of a weight file; those that '
        '"python -m evclip_jax.download" fetches are where it says.'
    ) from None
  except OSError as e:
    raise WeightsError(f'{path} cannot be read: {e.strerror}.') from e
  if not head:
    raise WeightsError(f'{path} is empty. Fetch or copy it again.')
  return head


def _weight_map(index: Path) -> dict[str, str]:
  """Reads tensor name -> file from the index of a model in several files."""
  try:
    found = json.loads(index.read_text('utf-8'))['weight_map']
    # They must be in the same folder, and must not be indices.
    good = all(
        Path(f).name == f and not f.endswith(_INDEX) for f in found.values()
    )
  except (
      OSError, ValueError, LookupError, TypeError, AttributeError,
      RecursionError,
  ):
    good = False
  if not good:
    raise WeightsError(f'{index} is not the index of a model in several files.')
  return found


def _read_shards(index: Path) -> StateFile:
  tensors: dict[str, np.ndarray] = {}
  kind = ''
  for path in shards(index)[1:]:
    shard = _read(path)
    tensors |= shard.tensors
    kind = shard.kind
  if lacking := [name for name in _weight_map(index) if name not in tensors]:
    raise WeightsError(
        f'{index}: {len(lacking)} of its tensors are in none of its files, '
        f'such as {lacking[0]!r}.'
    )
  return StateFile(str(index), tensors, kind)


def _read_torch(path: Path) -> StateFile:
  kind, root, read = torch_file.read(path)
  try:
    tensors, notes, left_out = state_dict.choose(root)
  except WeightsError as e:
    raise WeightsError(f'{path}: {e}') from None
  unread = {n: t for n, t in tensors.items() if isinstance(t, TensorRef)}
  tensors |= read(unread)
  return StateFile(str(path), tensors, kind, {}, notes, left_out)


def _is_npz(path: Path) -> bool:
  try:
    with zipfile.ZipFile(path) as archive:
      return any(n.endswith('.npy') for n in archive.namelist())
  except Exception:
    # Torch's reader explains what is wrong.
    return False


def _read_npz(path: Path) -> StateFile:
  try:
    with np.load(path, allow_pickle=False) as archive:
      tensors = {name: archive[name] for name in archive.files}
  except Exception as e:
    if 'allow_pickle' in str(e):
      raise WeightsError(
          f'{path} holds pickled objects, which are not read. Save arrays only.'
      ) from None
    raise torch_file.damaged(path, e) from e
  for name, tensor in tensors.items():
    # Other entries of the archive are bytes; text, and bfloat16 as numpy saves
    # it, are no numbers.
    dtype = getattr(tensor, 'dtype', np.dtype(bytes))
    if dtype.kind not in 'biufc':
      raise WeightsError(
          f'{path}: {name!r} is {dtype}, not numbers. Save arrays of float32.'
      )
  return StateFile(str(path), tensors, 'npz')


def _read_safetensors(path: Path) -> StateFile:
  tensors = {}
  try:
    with safetensors.safe_open(path, 'numpy') as file:
      metadata = file.metadata() or {}
      for name in list(file.keys()):
        dtype = file.get_slice(name).get_dtype()
        if dtype.startswith(('F8', 'F6_', 'F4')):
          raise WeightsError(f'{path}: {name!r} is {dtype}, not supported.')
        tensor = file.get_tensor(name)
        if dtype == 'BF16':
          tensor = tensor.astype(np.float32)
        tensors[name] = tensor
  except (safetensors.SafetensorError, OSError, ValueError) as e:
    raise torch_file.damaged(path, e) from e
  return StateFile(str(path), tensors, 'safetensors', dict(metadata))


def _common_wrapper(names) -> str | None:
  common = (p for p in _WRAPPERS if all(n.startswith(p) for n in names))
  return next(common, None)
