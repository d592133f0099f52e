"""From what a list says to records: which clip, which class number."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

from data_pipelines.errors import UserError
from data_pipelines.lists import classes as class_names
from data_pipelines.lists.class_table import ClassTable
from data_pipelines.lists.clips import ClipList, ClipRecord, check_unique
from data_pipelines.lists.items import Item, Listing
from data_pipelines.lists.missing_clips import MissingClips

# How many missing clips a message names; a file has all of them.
_SHOWN = 3


class Store(Protocol):
  """Where clips are: a folder of files or a prepared TFDS folder."""

  keys: list[str]

  def find(self, path: str) -> str | None:
    """The key of the clip a list means by `path`, or None."""

  def find_by_name(self, path: str) -> str | None:
    """The same for a path of another machine: its last parts decide."""


@dataclasses.dataclass(frozen=True)
class Located:
  """A list whose clips have been found.

  Attributes:
    name: 'train', 'val', 'test', ...
    listing: the list file.
    keys: the clip of each item.
    missing: what else the list named, if that is left out.
  """

  name: str
  listing: Listing
  keys: tuple[str, ...]
  missing: tuple[str, ...] = ()

  def pairs(self) -> list[tuple[Item, str]]:
    """(item, key) in the order of the list."""
    return list(zip(self.listing.items, self.keys, strict=True))


def locate(
    name: str,
    listing: Listing,
    store: Store,
    report_folder: str | pathlib.Path | None = None,
    on_missing: str = 'error',
) -> Located:
  """Finds every clip of a list.

  Args:
    name: the list's role, for messages.
    listing: the list.
    store: where the clips are.
    report_folder: where 'missing-<name>.txt' goes if any are missing.
    on_missing: 'error', 'skip' to leave them out of the list, or 'keep' if
      nobody will read them.

  Raises:
    MissingClips: clips are missing: how many, the first ones, and the file that
      names all of them.
  """
  keys = [store.find(item.path) for item in listing.items]
  if listing.by_name:
    keys = [
        key or store.find_by_name(item.path)
        for item, key in zip(listing.items, keys, strict=True)
    ]
  if on_missing == 'keep':
    keys = [
        key or item.path
        for item, key in zip(listing.items, keys, strict=True)
    ]
  missing = [
      item
      for item, key in zip(listing.items, keys, strict=True)
      if key is None
  ]
  if missing:
    shown = ', '.join(f'{i.path} (line {i.line})' for i in missing[:_SHOWN])
    if len(missing) > _SHOWN:
      shown += ', ...'
    if report_folder is not None:
      report = pathlib.Path(report_folder) / f'missing-{name}.txt'
      report.parent.mkdir(parents=True, exist_ok=True)
      report.write_text(''.join(i.path + '\n' for i in missing))
      shown += f' (all in {report})'
    text = (
        f'{len(missing)} of {len(keys)} clips of the {name} list '
        f'{listing.file} are not in {store}: {shown}.'
    )
    if on_missing == 'error' or len(missing) == len(keys):
      raise MissingClips([(text, listing.key)])
    print(f'note: {text}')
    listing = dataclasses.replace(
        listing,
        items=tuple(
            item
            for item, key in zip(listing.items, keys, strict=True)
            if key is not None
        ),
    )
  return Located(
      name,
      listing,
      tuple(k for k in keys if k is not None),
      tuple(item.path for item in missing),
  )


def infer(
    lists: Sequence[Located], class_ofs: Sequence[Callable[[str], str]]
) -> ClassTable:
  """The classes that lists speak of, if nothing else names them.

  Names in the lists are sorted. Numbers take their names from the lists or
  from the folders, if each number always comes with the same one.

  Args:
    lists: all lists of the run.
    class_ofs: ways to tell the class from a key; the first that agrees with
      the lists is used.

  Raises:
    UserError: if numbers and folders do not agree (give data.class_names).
  """
  # Lists with classes of their own have no say, unless there are no others.
  lists = [x for x in lists if not x.listing.classes] or lists
  pairs = [pair for located in lists for pair in located.pairs()]
  said = _said_numbers([item for item, _ in pairs])
  if said is not None:
    return ClassTable.of(said, 'numbers and names in the lists')
  named = {i.label for i, _ in pairs if isinstance(i.label, str)}
  numbers = any(isinstance(i.label, int) for i, _ in pairs)
  if named and not numbers:
    return ClassTable.of(sorted(named), 'the names in the lists, sorted')
  for class_of in class_ofs:
    if not numbers:
      found = sorted({class_of(key) for _, key in pairs})
      if len(found) > 1 or class_of is class_ofs[-1]:
        return ClassTable.of(found, 'the folders in the lists, sorted')
      continue
    by_number = {}
    for item, key in pairs:
      if isinstance(item.label, int):
        by_number.setdefault(item.label, set()).add(class_of(key))
    names = [next(iter(n)) for n in by_number.values() if len(n) == 1]
    if len(names) == len(by_number) == len(set(names)) and all(names):
      raw = [
          next(iter(by_number.get(k, ('',)))) for k in range(max(by_number) + 1)
      ]
      return ClassTable.of(raw, 'numbers in the lists, names of the folders')
  raise UserError(
      f'the lists ({lists[0].listing.file}, ...) number their classes, and '
      'the folders do not name them one to one. Give the names: '
      'data.class_names=FILE, one name per line, the first is label 0.'
  )


def to_clips(
    located: Located,
    table: ClassTable,
    class_of: Callable[[str], str],
    first_number: int = 0,
    repeats: bool = False,
) -> ClipList:
  """Records with class numbers from 0.

  Args:
    located: the list.
    table: the classes.
    class_of: tells the class of a clip whose line has no label.
    first_number: the number of the first class in this list.
    repeats: whether a clip may be listed twice.

  Raises:
    UserError: an unknown class, a number out of range, a clip listed twice.
  """
  classes = located.listing.classes
  known = {name: label for label, name in enumerate(classes)}
  out = []
  for item, key in located.pairs():
    if isinstance(item.label, int):
      label = item.label - first_number
      if not 0 <= label < len(table.raw):
        raise UserError(
            f'{located.listing.where(item)}: the label {item.label} is out of '
            f'range: there are {len(table.raw)} classes, numbered '
            f'{first_number}..{len(table.raw) - 1 + first_number} '
            f'({table.origin}).'
        )
    else:
      name = class_of(key) if item.label is None else item.label
      if name not in known:
        known[name] = table.label(name)
      label = known[name]
      if label is None:
        raise UserError(
            f'{located.listing.where(item)}: the class {name!r} is not one of '
            f'the {len(table.raw)} classes ({table.origin}).'
        )
    out.append(record_of(item, key, label))
  clips = ClipList(
      located.name,
      tuple(out),
      located.listing.name,
      classes,
      located.missing,
      located.listing.selected,
  )
  if not repeats:
    check_unique(clips)
  return clips


def _said_numbers(items: Sequence[Item]) -> list[str] | None:
  """Names by number, if the lists give every number one name."""
  names = {}
  for item in items:
    if not isinstance(item.label, int):
      return None
    if item.class_name:
      names.setdefault(item.label, {})[class_names.same(item.class_name)] = (
          item.class_name
      )
  if not names or names.keys() != {i.label for i in items}:
    return None
  if any(len(spellings) > 1 for spellings in names.values()):
    return None
  first = {label: next(iter(s.values())) for label, s in names.items()}
  if len(set(first.values())) < len(first):
    return None
  return [first.get(k, '') for k in range(max(first) + 1)]


def record_of(item: Item, key: str, label: int) -> ClipRecord:
  """The record of a list's line.

  Some lists give a piece by seconds and by frame numbers: the numbers hold for
  a folder of pictures, the seconds for a film (a key with a suffix).
  """
  seconds, frames = (item.start, item.end), (item.first, item.stop)
  if any(s is not None for s in seconds) and any(f is not None for f in frames):
    if pathlib.PurePosixPath(key).suffix:
      frames = None, None
    else:
      seconds = None, None
  return ClipRecord(key, label, *seconds, *frames)
