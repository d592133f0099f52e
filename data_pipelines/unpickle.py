"""Reads pickles as data: an interpreter that has nothing to run.

Python's own unpickler calls whatever the file names. This one walks the same
instructions over plain values and asks a table for every global; what the
table does not know is refused by name before anything is built.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from data_pipelines.errors import UserError


class Refused(UserError):
  """A pickle that wants something run, or is of no known kind."""


@dataclasses.dataclass(frozen=True)
class Global:
  """What a pickle may name.

  Attributes:
    name: dotted name in the file.
    make: builds the value of a call from its arguments; None for names that
      are only mentioned, such as a dtype.
    value: what a mention stands for, such as a numpy dtype.
  """

  name: str
  make: Callable[..., Any] | None = None
  value: Any = None


class Inert:
  """An object of the file's that is kept as data and never behaves.

  Attributes:
    name: dotted name of its class.
    args: what it was made from.
    state: its attributes.
  """

  __slots__ = ('args', 'name', 'state')

  def __init__(self, name: str, args: tuple = ()):
    self.name = name
    self.args = args
    self.state: dict = {}

  def build(self, state: Any):
    """Takes the attributes a pickle gives."""
    parts = state if isinstance(state, tuple) else (state,)
    for part in parts:
      if isinstance(part, dict):
        self.state.update(part)


def inert_class(name: str) -> Global:
  """A global whose calls give `Inert` objects."""
  return Global(name, lambda *args: Inert(name, args))


def read(
    stream: BinaryIO,
    find: Callable[[str, str], Global],
    persistent: Callable[[Any], Any],
) -> Any:
  """Reads one pickle from where `stream` stands to its end mark.

  Args:
    stream: has `read` and `readline`; stands behind the pickle afterwards.
    find: (module, name) -> the global, or raises a UserError.
    persistent: what a persistent id stands for.

  Returns:
    Plain Python values; ordered and default dicts are dicts.

  Raises:
    Refused: a global or an instruction that is not allowed.
    Exception: anything else for a damaged pickle.
  """
  return _Machine(find, persistent).run(stream)


class _Machine:
  """The stack, the memo and the instructions of the pickle format."""

  def __init__(self, find, persistent):
    self._find = find
    self._persistent = persistent
    self._stack: list = []
    self._marks: list[list] = []
    self._memo: dict[int, Any] = {}

  def run(self, stream: BinaryIO) -> Any:
    for op, arg, _ in pickletools.genops(stream):
      if op.name == 'STOP':
        return self._stack.pop()
      if op.name in _VALUES:
        self._stack.append(arg)
      elif op.name in _CONSTANTS:
        self._stack.append(_CONSTANTS[op.name]())
      elif op.name in _STEPS:
        _STEPS[op.name](self, arg)
      elif op.name not in ('PROTO', 'FRAME'):
        raise Refused(f'its pickle uses {op.name}, which no file here needs.')
    raise ValueError('the pickle has no end')

  def mark(self, _):
    self._marks.append(self._stack)
    self._stack = []

  def pop_mark(self, _=None) -> list:
    items, self._stack = self._stack, self._marks.pop()
    return items

  def pop(self, _):
    if self._stack:
      self._stack.pop()
    else:
      self.pop_mark()

  def dup(self, _):
    self._stack.append(self._stack[-1])

  def put(self, index: int):
    self._memo[index] = self._stack[-1]

  def memoize(self, _):
    self._memo[len(self._memo)] = self._stack[-1]

  def get(self, index: int):
    self._stack.append(self._memo[index])

  def collect(self, kind: Callable[[list], Any]):
    items = self.pop_mark()
    self._stack.append(kind(items))

  def tuple_of(self, count: int):
    items = self._stack[-count:]
    if len(items) != count:
      raise ValueError('the stack is empty')
    del self._stack[-count:]
    self._stack.append(tuple(items))

  def append(self, items: list):
    self._target(list).extend(items)

  def add(self, items: list):
    self._target(set).update(keys(items))

  def set_items(self, items: list):
    self._target(dict).update(_pairs(items))

  def _target(self, kind: type) -> Any:
    if type(self._stack[-1]) is not kind:
      raise ValueError(f'items for what is no {kind.__name__}')
    return self._stack[-1]

  def last(self, count: int) -> list:
    return [self._stack.pop() for _ in range(count)][::-1]

  def name(self, arg: str):
    module, name = arg.split(' ', 1)
    self._stack.append(self._find(module, name))

  def name_from_stack(self, _):
    module, name = self.last(2)
    if not isinstance(module, str) or not isinstance(name, str):
      raise ValueError('a global without a name')
    self._stack.append(self._find(module, name))

  def call(self, function: Any, args: Any):
    if not isinstance(function, Global) or function.make is None:
      shown = getattr(function, 'name', type(function).__name__)
      raise Refused(f'its pickle calls {shown!r}. Nothing was run.')
    if not isinstance(args, (tuple, list)):
      raise ValueError('arguments that are no tuple')
    self._stack.append(function.make(*args))

  def call_with_keywords(self, _):
    function, args, keywords = self.last(3)
    if keywords:
      raise Refused('its pickle makes an object by keywords.')
    self.call(function, args)

  def instance(self, arg: str):
    args = self.pop_mark()
    self.name(arg)
    self.call(self._stack.pop(), args)

  def build(self, _):
    state = self._stack.pop()
    target = self._stack[-1]
    if hasattr(type(target), 'build'):
      target.build(state)
    # A dict's or a tensor's extra attributes, such as _metadata, are dropped.
    elif type(target) not in (dict, list, set):
      raise ValueError(f'attributes for a {type(target).__name__}')

  def persistent_id(self, arg: Any):
    self._stack.append(self._persistent(arg))


def keys(items: Iterable) -> list:
  """The items, if they can be keys of a dict or elements of a set.

  Raises:
    ValueError: for tuples within tuples; Python takes the hash of deeply nested
      ones recursively, until it crashes.
  """
  items, nested = list(items), (tuple, frozenset)
  for item in items:
    if isinstance(item, nested) and any(isinstance(x, nested) for x in item):
      raise ValueError('a nested tuple as a key')
  return items


def _pairs(items: list) -> dict:
  return dict(zip(keys(items[::2]), items[1::2], strict=True))


_VALUES = frozenset({
    'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT',
    'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE',
    'SHORT_BINUNICODE', 'BINUNICODE', 'BINUNICODE8', 'BINBYTES',
    'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8',
})

_CONSTANTS = {
    'NONE': lambda: None,
    'NEWTRUE': lambda: True,
    'NEWFALSE': lambda: False,
    'EMPTY_LIST': list,
    'EMPTY_DICT': dict,
    'EMPTY_TUPLE': tuple,
    'EMPTY_SET': set,
}

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    'MARK': _Machine.mark,
    'POP': _Machine.pop,
    'POP_MARK': _Machine.pop_mark,
    'DUP': _Machine.dup,
    'PUT': _Machine.put,
    'BINPUT': _Machine.put,
    'LONG_BINPUT': _Machine.put,
    'MEMOIZE': _Machine.memoize,
    'GET': _Machine.get,
    'BINGET': _Machine.get,
    'LONG_BINGET': _Machine.get,
    'LIST': lambda m, _: m.collect(list),
    'TUPLE': lambda m, _: m.collect(tuple),
    'DICT': lambda m, _: m.collect(_pairs),
    'FROZENSET': lambda m, _: m.collect(lambda x: frozenset(keys(x))),
    'TUPLE1': lambda m, _: m.tuple_of(1),
    'TUPLE2': lambda m, _: m.tuple_of(2),
    'TUPLE3': lambda m, _: m.tuple_of(3),
    'APPEND': lambda m, _: m.append(m.last(1)),
    'APPENDS': lambda m, _: m.append(m.pop_mark()),
    'ADDITEMS': lambda m, _: m.add(m.pop_mark()),
    'SETITEM': lambda m, _: m.set_items(m.last(2)),
    'SETITEMS': lambda m, _: m.set_items(m.pop_mark()),
    'GLOBAL': _Machine.name,
    'STACK_GLOBAL': _Machine.name_from_stack,
    'INST': _Machine.instance,
    'REDUCE': lambda m, _: m.call(*m.last(2)),
    'NEWOBJ': lambda m, _: m.call(*m.last(2)),
    'NEWOBJ_EX': _Machine.call_with_keywords,
    'OBJ': lambda m, _: (lambda a: m.call(a[0], a[1:]))(m.pop_mark()),
    'BUILD': _Machine.build,
    'PERSID': _Machine.persistent_id,
    'BINPERSID': lambda m, _: m.persistent_id(*m.last(1)),
}
