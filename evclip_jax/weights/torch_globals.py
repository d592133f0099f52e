"""Lists the globals that a torch pickle may name, and their stand-ins."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes  # noqa: F401, registers bfloat16 with numpy.
import numpy as np

from data_pipelines.errors import WeightsError
from data_pipelines.unpickle import Global, Inert, inert_class, keys

_STORAGES = {
    'FloatStorage': 'float32',
    'DoubleStorage': 'float64',
    'HalfStorage': 'float16',
    'BFloat16Storage': 'bfloat16',
    'LongStorage': 'int64',
    'IntStorage': 'int32',
    'ShortStorage': 'int16',
    'CharStorage': 'int8',
    'ByteStorage': 'uint8',
    'BoolStorage': 'bool',
    'ComplexFloatStorage': 'complex64',
    'ComplexDoubleStorage': 'complex128',
    'UntypedStorage': 'uint8',
}
_DTYPES = (*dict.fromkeys(_STORAGES.values()), 'uint16', 'uint32', 'uint64')


def item_bytes(dtype: str) -> int:
  """Returns the number of bytes of one value."""
  return np.dtype(dtype).itemsize


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
  """Describes a run of values in the file.

  Attributes:
    key: name of the storage in the file.
    dtype: numpy's name of the dtype.
    count: number of values.
    start: index of the first value in the storage.
  """

  key: str
  dtype: str
  count: int
  start: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class TensorRef:
  """Describes a tensor as a strided view that fits into its storage."""

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]
  dtype: str

  @property
  def nbytes(self) -> int:
    return math.prod(self.shape) * item_bytes(self.dtype)


class NumpyArray:
  """Holds a numpy array or dtype; `value` is None until it is built."""

  __slots__ = ('value',)

  def __init__(self, value: Any = None):
    self.value = value

  def build(self, state: tuple):
    """Builds the value from the state in numpy's own pickles."""
    if isinstance(self.value, np.dtype):
      if state[1] in ('<', '>'):
        self.value = self.value.newbyteorder(state[1])
      return
    _, shape, dtype, fortran, data = state
    flat = np.frombuffer(_bytes(data), dtype.value) if data else np.zeros(0)
    order = 'F' if fortran else 'C'
    # Not copied: many arrays could share the same bytes.
    flat = flat.astype(dtype.value, copy=False)
    self.value = flat.reshape(shape, order=order)


def find(module: str, name: str) -> Global:
  """Returns the stand-in of a global.

  Raises:
    WeightsError: it is not a tensor, a plain container, or an optimizer,
      schedule or config, which are kept as inert data.
  """
  full = f'{module}.{name}'
  known = _GLOBALS.get(f'{_OLD_MODULES.get(module, module)}.{name}')
  if known:
    return known
  if full in _CONFIGS or f'{module}.'.startswith(_INERT):
    return inert_class(full)
  raise WeightsError(
      f'its pickle names {full!r}, which is neither a tensor nor a plain '
      'container. Nothing in it was run.\n  Use files from people you trust; '
      'ask for a state dict or a .safetensors file.'
  )


def _tensor(
    storage, offset, shape, strides, grad=False, hooks=None, metadata=None
) -> TensorRef:
  return _view(storage, offset, shape, strides, storage.dtype, metadata)


def _tensor_of_dtype(
    storage, offset, shape, strides, grad, hooks, dtype, metadata=None
) -> TensorRef:
  return _view(storage, offset, shape, strides, dtype.value, metadata)


def _view(storage, offset, shape, strides, dtype, metadata) -> TensorRef:
  if metadata and any(metadata.values()):
    # Torch negates or conjugates such tensors only when they are used.
    raise WeightsError(f'it holds a tensor that is not resolved: {metadata}.')
  shape, strides = tuple(shape), tuple(strides)
  numbers = (offset, *shape, *strides)
  if not all(type(n) is int and n >= 0 for n in numbers):
    raise ValueError('a tensor with a negative size, stride or offset')
  if not isinstance(storage, Storage) or len(shape) != len(strides):
    raise ValueError('a tensor that is not a view of a storage')
  if math.prod(shape):
    last = offset + sum(
        (n - 1) * s for n, s in zip(shape, strides, strict=True)
    )
    size = item_bytes(dtype)
    if (last + 1) * size > storage.count * item_bytes(storage.dtype):
      raise ValueError(f'a tensor {shape} reaches beyond its storage')
  return TensorRef(storage, offset, shape, strides, dtype)


def _first(value, *rest):
  return value


def _rebuild(function, kind, args, state):
  if not isinstance(function, Global) or function.make is None:
    raise ValueError('a tensor that is not built by a function')
  return function.make(*args)


def _reconstruct(cls, base=None, state=None):
  if not isinstance(cls, Global) or cls.make is None:
    raise ValueError('an object without a class')
  return cls.make()


def _dict(items=(), *rest) -> dict:
  pairs = list(items.items()) if isinstance(items, Mapping) else list(items)
  names = keys(name for name, _ in pairs)
  return dict(zip(names, (value for _, value in pairs), strict=True))


def _bytes(data: bytes | str) -> bytes:
  # Pickles of protocol 2 keep bytes as text, one character per byte.
  return data.encode('latin-1') if isinstance(data, str) else bytes(data)


def _encode(text: str, encoding: str = '') -> bytes:
  if encoding not in ('latin1', 'latin-1'):
    raise ValueError(f'bytes as {encoding!r} text')
  return _bytes(text)


def _dtype(spec: str, *rest) -> NumpyArray:
  dtype = np.dtype(str(spec))
  if dtype.kind not in 'biufc':
    raise ValueError(f'a numpy array of {dtype}')
  return NumpyArray(dtype)


def _scalar(dtype: NumpyArray, data: bytes | str):
  return np.frombuffer(_bytes(data), dtype.value, count=1)[0]


def _from_buffer(data, dtype: NumpyArray, shape, order: str) -> NumpyArray:
  array = NumpyArray()
  array.build((1, shape, dtype, order == 'F', data))
  return array


def _mentions() -> dict[str, Any]:
  """Returns name -> stand-in of globals that may be named but not called."""
  names = dict.fromkeys(
      ['torch.Tensor', 'torch.nn.parameter.Parameter', 'numpy.ndarray']
  )
  for name in ('int', 'float', 'bool', 'str', 'complex', 'object'):
    names[f'builtins.{name}'] = None
  names |= {f'torch.{dtype}': dtype for dtype in _DTYPES}
  for name, dtype in _STORAGES.items():
    names[f'torch.{name}'] = names[f'torch.storage.{name}'] = dtype
  return names


_CALLS = {
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_tensor_v3': _tensor_of_dtype,
    'torch._utils._rebuild_parameter': _first,
    'torch._utils._rebuild_parameter_with_state': _first,
    'torch._tensor._rebuild_from_type_v2': _rebuild,
    'torch.Size': lambda items=(): tuple(items),
    'torch.device': lambda *args: Inert('torch.device', args),
    'torch.jit._pickle.restore_type_tag': _first,
    'torch.jit._pickle.build_intlist': _first,
    'torch.jit._pickle.build_doublelist': _first,
    'torch.jit._pickle.build_boollist': _first,
    'torch.jit._pickle.build_tensorlist': _first,
    'collections.OrderedDict': _dict,
    'collections.Counter': _dict,
    'collections.defaultdict': lambda factory=None, items=(): _dict(items),
    'collections.deque': lambda items=(), *rest: list(items),
    '_codecs.encode': _encode,
    'copyreg._reconstructor': _reconstruct,
    'numpy.dtype': _dtype,
    'numpy._core.multiarray.scalar': _scalar,
    'numpy._core.multiarray._reconstruct': lambda *rest: NumpyArray(),
    'numpy._core.numeric._frombuffer': _from_buffer,
    # As pickles of protocol 2 keep b''.
    'builtins.bytes': lambda: b'',
    'builtins.set': lambda items=(): set(keys(items)),
    'builtins.frozenset': lambda items=(): frozenset(keys(items)),
    'builtins.list': lambda items=(): list(items),
    'builtins.tuple': lambda items=(): tuple(items),
    'builtins.dict': _dict,
    'builtins.slice': lambda *args: Inert('slice', args),
}
_GLOBALS = {
    **{name: Global(name, make) for name, make in _CALLS.items()},
    **{name: Global(name, value=x) for name, x in _mentions().items()},
}
# Live objects beside a state dict, and a TorchScript archive's own classes.
_INERT = ('torch.optim.', 'dassl.optim.', '__torch__.')
# ViFi-CLIP and many training scripts save these beside it.
_CONFIGS = ('yacs.config.CfgNode', 'argparse.Namespace')
# Names in Python 2 and in older versions of numpy -> names now.
_OLD_MODULES = {
    '__builtin__': 'builtins',
    'copy_reg': 'copyreg',
    'numpy.core.multiarray': 'numpy._core.multiarray',
    'numpy.core.numeric': 'numpy._core.numeric',
}
