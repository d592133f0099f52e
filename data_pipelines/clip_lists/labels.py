"""From what a list says to records: which clip, which class number."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

from data_pipelines.clip_lists import class_names
from data_pipelines.clip_lists.list_files import Item, Listing
from data_pipelines.clip_lists.records import ClipList, ClipRecord, check_unique
from evclip_jax.errors import UserError

# How many missing clips a message names; more are written to a file.
_SHOWN = 3


class Store(Protocol):
  """Where clips are: a folder of files or a prepared TFDS folder."""

  keys: list[str]

  def find(self, path: str) -> str | None:
    """The key of the clip a list means by `path`, or None."""


@dataclasses.dataclass(frozen=True)
class Located:
  """A list whose clips have been found.

  Attributes:
    name: 'train', 'val', 'test', ...
    listing: the list file.
    keys: the clip of each item.
  """

  name: str
  listing: Listing
  keys: tuple[str, ...]

  def pairs(self) -> list[tuple[Item, str]]:
    """(item, key) in the order of the list."""
    return list(zip(self.listing.items, self.keys, strict=True))


@dataclasses.dataclass(frozen=True)
class ClassTable:
  """Classes in label order.

  Attributes:
    raw: names as folders and lists write them; '' for a number that no clip
      has.
    shown: names as prompts say them.
    origin: where the order comes from.
    fixed: the user gave the classes: all stay, with or without clips.
  """

  raw: tuple[str, ...]
  shown: tuple[str, ...]
  origin: str
  fixed: bool = False

  @classmethod
  def of(cls, raw: Sequence[str], origin: str) -> 'ClassTable':
    """A table whose prompts are the cleaned names."""
    shown = tuple(class_names.clean(n) for n in raw)
    return cls(tuple(raw), shown, origin)

  @classmethod
  def from_file(cls, path: str) -> 'ClassTable':
    """The table the user wrote (data.class_names), names left as they are."""
    names = tuple(class_names.read(path))
    return cls(names, names, str(path), fixed=True)

  def label(self, name: str) -> int | None:
    """The number of a class by its name, however it is spelt, or None."""
    if name in self.raw:
      return self.raw.index(name)
    wanted = class_names.same(name)
    for label, raw in enumerate(self.raw):
      if raw and class_names.same(raw) == wanted:
        return label
    return None


def locate(
    name: str,
    listing: Listing,
    store: Store,
    report_folder: str | pathlib.Path | None = None,
) -> Located:
  """Finds every clip of a list.

  Args:
    name: the list's role, for messages.
    listing: the list.
    store: where the clips are.
    report_folder: where 'missing-<name>.txt' goes if many are missing.

  Raises:
    UserError: clips are missing: how many, the first ones, and the file that
      names all of them.
  """
  keys = [store.find(item.path) for item in listing.items]
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
    raise UserError(
        f'{len(missing)} of {len(keys)} clips of the {name} list '
        f'{listing.file} are not in {store}: {shown}.\n  Complete the data, '
        f'or give a list of the clips there are ({listing.key}).'
    )
  return Located(name, listing, tuple(keys))


def infer(
    lists: Sequence[Located], class_ofs: Sequence[Callable[[str], str]]
) -> ClassTable:
  """The classes that lists speak of, if nothing else names them.

  Names in the lists are sorted. Numbers take their names from the folders, if
  each number always comes with the same one.

  Args:
    lists: all lists of the run.
    class_ofs: ways to tell the class from a key; the first that agrees with
      the lists is used.

  Raises:
    UserError: if numbers and folders do not agree (give data.class_names).
  """
  pairs = [pair for located in lists for pair in located.pairs()]
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
) -> ClipList:
  """Records with class numbers from 0.

  Args:
    located: the list.
    table: the classes.
    class_of: tells the class of a clip whose line has no label.
    first_number: the number of the first class in this list.

  Raises:
    UserError: an unknown class, a number out of range, a clip listed twice.
  """
  known = {}
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
    out.append(ClipRecord(key, label, item.start, item.end))
  clips = ClipList(located.name, tuple(out), located.listing.name)
  check_unique(clips)
  return clips


def compact(
    table: ClassTable, train: ClipList, others: Sequence[ClipList]
) -> tuple[list[str], ClipList, list[ClipList]]:
  """Keeps the classes that have training clips and numbers them anew.

  A table that the user gave stays as it is.

  Args:
    table: the classes that labels refer to.
    train: the training list.
    others: the lists to score.

  Returns:
    (names as prompts say them, training list, other lists).

  Raises:
    UserError: clips to score of a class that has no training clip.
  """
  used = set(train.counts())
  if table.fixed:
    used = set(range(len(table.raw)))
  for clips in others:
    strange = [r for r in clips.records if r.label not in used]
    if strange:
      names = sorted({table.raw[r.label] or str(r.label) for r in strange})
      raise UserError(
          f'the {clips.name} list ({clips.origin}) has {len(strange)} clips of '
          f'{len(names)} classes without a training clip, such as '
          f'{names[0]!r}. Cut that list, add training clips, or name all '
          'classes (data.class_names).'
      )
  order = sorted(used)
  new = {old: k for k, old in enumerate(order)}
  names = [table.shown[old] or f'class {old}' for old in order]
  class_names.check_distinct(names, table.origin)

  def renumber(clips):
    return clips.replace(
        dataclasses.replace(r, label=new[r.label]) for r in clips.records
    )

  return names, renumber(train), [renumber(c) for c in others]
