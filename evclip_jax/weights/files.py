"""Reads any supported weight file into arrays by name, going by its content."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import safetensors

from data_pipelines.errors import WeightsError
from evclip_jax.weights import state_dict, torch_file
from evclip_jax.weights.torch_globals import TensorRef

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
# What is read of a folder, as Hugging Face's hub has them; the first there is.
_INDEX = '.index.json'
_IN_FOLDER = (
    'model.safetensors',
    f'model.safetensors{_INDEX}',
    'open_clip_model.safetensors',
    'open_clip_pytorch_model.bin',
    'pytorch_model.bin',
    f'pytorch_model.bin{_INDEX}',
)
# What wrappers put before every name: torch's data parallel, its compiler,
# Lightning, and models that have a CLIP within.
_WRAPPERS = ('module.', '_orig_mod.', 'model.', 'clip.', 'clip_model.')


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

  Nested checkpoints give the state dict within: see `state_dict.choose`. What
  wrappers put before every name is taken off.

  Args:
    path: a file of any supported format, whatever its extension; a folder as
      Hugging Face's hub has them, or the index of a model in several files.

  Raises:
    WeightsError: no such file, not weights, damaged, cut short, or a pickle
      that names more than tensors and plain containers. The message names it.
  """
  file = _read(weight_file(path))
  tensors, notes = file.tensors, [*file.notes]
  while tensors and (prefix := _common_wrapper(tensors)):
    tensors = {n.removeprefix(prefix): t for n, t in tensors.items()}
    notes.append(f'took the prefix {prefix!r} off every name')
  return dataclasses.replace(file, tensors=tensors, notes=tuple(notes))


def weight_file(path: str | Path) -> Path:
  """Returns the file to read: `path`, or the weights in a folder.

  Raises:
    WeightsError: a folder without weights.
  """
  path = Path(path)
  if not path.is_dir():
    return path
  for name in _IN_FOLDER:
    if (path / name).is_file():
      return path / name
  raise WeightsError(
      f'{path} is a folder without weights of a usual name. Name the file in '
      f'it, or wanted one of {", ".join(_IN_FOLDER)}.'
  )


def shards(path: Path) -> list[Path]:
  """Returns the files that a weight file consists of.

  Raises:
    WeightsError: the index of a model in several files is broken, or one of
      them is not there.
  """
  if not path.name.endswith(_INDEX):
    return [path]
  parts = [path.with_name(n) for n in dict.fromkeys(_weight_map(path).values())]
  if lacking := [part.name for part in parts if not part.is_file()]:
    raise WeightsError(f'{path}: {lacking[0]} is not there. Fetch it too.')
  return [path, *parts]


def _read(path: Path) -> StateFile:
  head = _head(path)
  if path.name.endswith(_INDEX):
    return _read_shards(path)
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


def _weight_map(index: Path) -> dict[str, str]:
  """Tensor name -> file, of a model in several files."""
  try:
    found = json.loads(index.read_text('utf-8'))['weight_map']
    # Files of the same folder only, and none of this kind.
    good = all(
        Path(f).name == f and not f.endswith(_INDEX) for f in found.values()
    )
  except (OSError, ValueError, LookupError, TypeError, AttributeError):
    good = False
  if not good:
    raise WeightsError(f'{index} is no index of a model in several files.')
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
    # Torch's reader says in its message what is wrong with it.
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
  return StateFile(str(path), tensors, 'npz')


def _read_safetensors(path: Path) -> StateFile:
  tensors = {}
  try:
    with safetensors.safe_open(path, 'numpy') as file:
      metadata = file.metadata() or {}
      for name in list(file.keys()):
        dtype = file.get_slice(name).get_dtype()
        if dtype.startswith(('F8', 'F4')):
          raise WeightsError(f'{path}: {name!r} is {dtype}, not supported.')
        tensor = file.get_tensor(name)
        wide = tensor.astype(np.float32) if dtype == 'BF16' else tensor
        tensors[name] = wide
  except (safetensors.SafetensorError, OSError, ValueError) as e:
    raise torch_file.damaged(path, e) from e
  return StateFile(str(path), tensors, 'safetensors', dict(metadata))


def _common_wrapper(names) -> str | None:
  for prefix in _WRAPPERS:
    if all(name.startswith(prefix) for name in names):
      return prefix
  return None
