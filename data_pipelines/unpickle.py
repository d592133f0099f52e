"""Reads pickles as data, without running anything that a file names.

Python's own unpickler calls whatever a file names. Here every global is looked
up in a table (`find`), only `Global` objects of that table are called, and only
objects of this project receive attributes.
"""

import dataclasses
import pickle
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from data_pipelines.errors import UserError

# Items that calls may make for each byte of the pickle so far.
_MOST_COPIES = 100


class Refused(UserError):
  """A pickle that calls something unknown or uses a forbidden instruction."""


@dataclasses.dataclass(frozen=True)
class Global:
  """Stands for a global that a pickle may name.

  `make` builds the result of calling it; None for a name that is never called,
  such as a dtype, which `value` represents.
  """

  name: str
  make: Callable[..., Any] | None = None
  value: Any = None

  def __call__(self, *args: Any) -> Any:
    if self.make is None:
      raise Refused(f'its pickle calls {self.name!r}. Nothing was run.')
    return self.make(*args)


class Inert:
  """Keeps an object of the file as plain data, without behaviour.

  `name` is that of its class, `args` are those of its constructor, `state` its
  attributes.
  """

  __slots__ = ('args', 'name', 'state')

  def __init__(self, name: str, args: tuple = ()):
    self.name = name
    self.args = args
    self.state: dict = {}

  def build(self, state: Any):
    """Stores the attributes that a pickle sets."""
    for part in state if isinstance(state, tuple) else (state,):
      if isinstance(part, dict):
        self.state.update(part)

  def __setitem__(self, key: Any, value: Any):
    """Takes an entry of a class that is a dict."""
    self.state[key] = value


def inert_class(name: str) -> Global:
  """Makes a global whose calls return `Inert` objects."""
  return Global(name, lambda *args: Inert(name, args))


def read(
    stream: BinaryIO,
    find: Callable[[str, str], Global],
    persistent: Callable[[Any], Any],
) -> Any:
  """Reads one pickle from the current position of `stream`.

  `stream` has `read` and `readline`, and is left right after the pickle. `find`
  returns the global for (module, name), or raises a UserError; `persistent`
  returns the object for a persistent id.

  Raises:
    Refused: a global or a call that is not allowed.
    Exception: any other, for a damaged pickle.
  """
  return _Reader(stream, find, persistent).load()


def keys(items: Iterable) -> list:
  """Returns the items, if it is safe to use them as keys or set elements.

  Raises:
    ValueError: tuples within tuples: Python hashes deeply nested ones
      recursively, until it crashes.
  """
  items, nested = list(items), (tuple, frozenset)
  for item in items:
    if isinstance(item, nested) and any(isinstance(x, nested) for x in item):
      raise ValueError('a nested tuple as a key')
  return items


def _hashing(load: Callable, keys_of: Callable[[list], list]) -> Callable:
  """Wraps an instruction that hashes keys, so that these are checked first."""

  def checked(self):
    keys(keys_of(self.stack))
    load(self)

  return checked


class _Reader(pickle._Unpickler):
  """Python's unpickler with dangerous instructions replaced.

  It is the one written in Python: a file can make the C version exhaust the
  memory by its memo, or crash by hashing a nested tuple.
  """

  def __init__(self, stream, find, persistent):
    super().__init__(stream, encoding='latin-1')
    self.find_class, self.persistent_load = find, persistent
    self.stream, self.made = stream, 0

  def call(self):
    args = self.stack.pop()
    value = self.stack.pop()(*args)
    self.stack.append(value)
    # The same large list could be copied by each of many short instructions.
    self.made += len(value) if hasattr(value, '__len__') else 0
    if self.made > _MOST_COPIES * self.stream.tell():
      raise Refused('its pickle makes far more than it holds.')

  def refuse(self):
    raise Refused('its pickle uses an instruction that no file here needs.')

  def build(self):
    state, target = self.stack.pop(), self.stack[-1]
    if hasattr(type(target), 'build'):
      target.build(state)
    # A dict's extra attributes, such as _metadata, are dropped.
    elif type(target) not in (dict, list, set):
      raise ValueError(f'attributes for a {type(target).__name__}')

  _base = pickle._Unpickler
  # Refused: objects with keyword arguments; objects by number, which bypass
  # `find`; buffers of a size that the file states, or from outside.
  _refused = (
      pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4
      + pickle.BYTEARRAY8 + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER
  )  # fmt: skip
  dispatch = _base.dispatch | dict.fromkeys(_refused, refuse) | {
      pickle.NEWOBJ[0]: call,
      pickle.REDUCE[0]: call,
      pickle.BUILD[0]: build,
      pickle.SETITEM[0]: _hashing(_base.load_setitem, lambda s: s[-2:-1]),
      pickle.SETITEMS[0]: _hashing(_base.load_setitems, lambda s: s[::2]),
      pickle.DICT[0]: _hashing(_base.load_dict, lambda s: s[::2]),
      pickle.ADDITEMS[0]: _hashing(_base.load_additems, list),
      pickle.FROZENSET[0]: _hashing(_base.load_frozenset, list),
  }
