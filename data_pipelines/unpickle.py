"""Reads pickles as data: nothing that a file names is run.

Python's own unpickler calls whatever a file names. Here every global goes
through a table (`find`), every call through a `Global` of that table, and
attributes go to objects of this project's only.
"""

import dataclasses
import pickle
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from data_pipelines.errors import UserError


class Refused(UserError):
  """A pickle that wants something run, or is of no known kind."""


@dataclasses.dataclass(frozen=True)
class Global:
  """What a pickle may name.

  `make` builds the value of a call; None for names that are only mentioned,
  such as a dtype, which `value` stands for.
  """

  name: str
  make: Callable[..., Any] | None = None
  value: Any = None

  def __call__(self, *args: Any) -> Any:
    if self.make is None:
      raise Refused(f'its pickle calls {self.name!r}. Nothing was run.')
    return self.make(*args)


class Inert:
  """An object of the file's that is kept as data and never behaves.

  `name` is that of its class, `args` what it was made from, `state` its
  attributes.
  """

  __slots__ = ('args', 'name', 'state')

  def __init__(self, name: str, args: tuple = ()):
    self.name = name
    self.args = args
    self.state: dict = {}

  def build(self, state: Any):
    """Takes the attributes a pickle gives."""
    for part in state if isinstance(state, tuple) else (state,):
      if isinstance(part, dict):
        self.state.update(part)

  def __setitem__(self, key: Any, value: Any):
    """Takes an entry of a class that is a dict."""
    self.state[key] = value


def inert_class(name: str) -> Global:
  """Returns a global whose calls give `Inert` objects."""
  return Global(name, lambda *args: Inert(name, args))


def read(
    stream: BinaryIO,
    find: Callable[[str, str], Global],
    persistent: Callable[[Any], Any],
) -> Any:
  """Reads one pickle from where `stream` stands to its end mark.

  `stream` has `read` and `readline`, and stands behind the pickle afterwards.
  `find` gives the global for (module, name), or raises a UserError;
  `persistent` tells what a persistent id stands for.

  Raises:
    Refused: a global or a call that is not allowed.
    Exception: anything else for a damaged pickle.
  """
  return _Reader(stream, find, persistent).load()


def keys(items: Iterable) -> list:
  """Returns the items, if they can be keys of a dict or elements of a set.

  Raises:
    ValueError: for tuples within tuples; Python takes the hash of deeply nested
      ones recursively, until it crashes.
  """
  items, nested = list(items), (tuple, frozenset)
  for item in items:
    if isinstance(item, nested) and any(isinstance(x, nested) for x in item):
      raise ValueError('a nested tuple as a key')
  return items


def _hashing(load: Callable, keys_of: Callable[[list], list]) -> Callable:
  """An instruction that takes hashes, after a look at the keys."""

  def checked(self):
    keys(keys_of(self.stack))
    load(self)

  return checked


class _Reader(pickle._Unpickler):
  """Python's unpickler with the instructions replaced that could do harm.

  The one written in Python: a file can make the memo of the one in C take all
  memory, and crash it by the hash of a nested tuple.
  """

  def __init__(self, stream, find, persistent):
    super().__init__(stream, encoding='latin-1')
    self.find_class, self.persistent_load = find, persistent

  def new(self):
    args = self.stack.pop()
    self.stack.append(self.stack.pop()(*args))

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
  # Refused: objects by keywords, or by a number, which bypasses `find`; buffers
  # of any size that the file says, or from elsewhere.
  _refused = (
      pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4
      + pickle.BYTEARRAY8 + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER
  )  # fmt: skip
  dispatch = _base.dispatch | dict.fromkeys(_refused, refuse) | {
      pickle.NEWOBJ[0]: new,
      pickle.BUILD[0]: build,
      pickle.SETITEM[0]: _hashing(_base.load_setitem, lambda s: s[-2:-1]),
      pickle.SETITEMS[0]: _hashing(_base.load_setitems, lambda s: s[::2]),
      pickle.DICT[0]: _hashing(_base.load_dict, lambda s: s[::2]),
      pickle.ADDITEMS[0]: _hashing(_base.load_additems, list),
      pickle.FROZENSET[0]: _hashing(_base.load_frozenset, list),
  }
