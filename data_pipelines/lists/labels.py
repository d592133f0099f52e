"""Turns the labels of lists, names or numbers, into class numbers from 0.

Names are matched with the names of the classes. A number means the class that
the folders of its clips name; where folders do not name classes, it is taken as
the class's position. (Published lists number the same classes in different
orders.)
"""

import collections
import itertools
import pathlib
from collections.abc import Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import classes as class_names
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import (
  ClipList,
  ClipRecord,
  Item,
  Listing,
  without_repeats,
)
from data_pipelines.lists.locate import ClassOf


def infer(listings: Sequence[Listing], class_ofs: Sequence[ClassOf]) -> Classes:
  """Infers the classes from the lists, if nothing else names them.

  Names in the lists are sorted. Numbers take their names from the lists or from
  the folders, if each number always comes with the same name. Of `class_ofs`,
  functions that tell the class from a key, the first that agrees with the lists
  is used.

  Raises:
    UserError: numbers and folders do not agree (give data.class_names).
  """
  items = [item for listing in listings for item in listing.items]
  if said := _names_by_number(items, lambda item: item.class_name):
    origin = 'numbers and names in the lists'
    return Classes.of(said, origin, own_numbers=True)
  numbered = [list(filter(_has_number, x.items)) for x in listings]
  numbered = [part for part in numbered if part]
  named = {i.label for i in items if isinstance(i.label, str)}
  if named and not numbered:
    return Classes.of(sorted(named), 'the names in the lists, sorted')
  if not numbered:
    folders = [sorted({tell(i.clip) for i in items}) for tell in class_ofs]
    found = next((x for x in folders if len(x) > 1), folders[-1])
    return Classes.of(found, 'the folders in the lists, sorted')
  for class_of in class_ofs:

    def name_of(item, class_of=class_of):
      return class_of(item.clip)

    said = _names_by_number(itertools.chain(*numbered), name_of)
    if not said:
      # Lists by several authors number differently: use the first list's order.
      each = [_names_by_number(part, name_of) for part in numbered]
      if all(each) and all(set(names) <= {'', *each[0]} for names in each):
        said = each[0]
    if said:
      origin = 'numbers in the lists, names of the folders'
      return Classes.of(said, origin, own_numbers=True)
  raise UserError(
      f'the lists ({listings[0].file}, ...) number their classes, and the '
      'folders do not name them one to one. Give the names: '
      'data.class_names=FILE, one name per line, the first is label 0.'
  )


def _has_number(item: Item) -> bool:
  return isinstance(item.label, int)


def _names_by_number(items, name_of) -> list[str] | None:
  """Lists names by number, if numbers and names match one to one."""
  names = {}
  for item in items:
    if not _has_number(item) or not (name := name_of(item)):
      return None
    known = names.setdefault(item.label, name)
    if class_names.clean(known) != class_names.clean(name):
      return None
  if len(set(names.values())) < len(names):
    return None
  return class_names.with_gaps(names, 0)


def own_classes(
    listing: Listing, names: dict[str, list[str]], class_of: ClassOf
) -> Classes:
  """Finds the classes of a list that numbers its own (data.class_scope).

  CLIP-FSAR's train, val and test lists all begin with class 0, but mean
  different classes by it; so do EZ-CLIP's base and novel lists. `names` is the
  result of `class_files.read_per_list`; `class_of` tells the class from a key.

  Raises:
    UserError: nothing names the classes, or numbers and folders disagree.
  """
  keys = (listing.split or listing.role, listing.role, '')
  given = next((names[key] for key in keys if key in names), None)
  if given:
    return Classes.given(given, 'data.class_names')
  try:
    return infer([listing], [class_of])
  except UserError as e:
    has = [name for name in names if name]
    has = f' has those of {" and ".join(has)} only' if has else ''
    name = listing.split or listing.role
    raise UserError(
        f'{listing.file} ({listing.key}): neither the list nor the folders '
        f'name its classes one to one.\n  data.class_names{has}: write those '
        f'of this list, in the order of the numbers, in a JSON file '
        f'{{"{name}": [names]}}; published names may come first: '
        'data.class_names=clip_fsar/<data set>,FILE.json.'
    ) from e


def number(
    listings: Sequence[Listing],
    classes: Classes,
    class_of: ClassOf,
    repeats: bool = False,
) -> list[ClipList]:
  """Turns located lists into lists of clips with class numbers from 0.

  Repeated clips are removed unless `repeats`.

  Raises:
    UserError: an unknown class, a number out of range, numbers that contradict
      the folders or each other, a clip listed with two classes.
  """
  items = [item for listing in listings for item in listing.items]
  said = (_name(item, class_of) for item in items)
  named = class_names.match(filter(None, said), classes.raw, tell=True)
  folders = {class_of(i.clip) for i in items if _has_number(i)}
  folders = class_names.match(folders, classes.raw, tell=True)
  out = []
  for listing in listings:
    numbers = _meaning(listing, classes, class_of, folders)
    records = []
    for item in listing.items:
      name = _name(item, class_of)
      label = named.get(name) if name is not None else numbers[item.label]
      if label is None:
        same = class_names.letters(name)
        alike = [n for n in classes.raw if class_names.letters(n) == same != '']
        hint = f' Write it as {alike[0]!r} everywhere.' if alike else ''
        raise UserError(
            f'{listing.where(item)}: the class {name!r} is not one of the '
            f'{len(classes.raw)} classes ({classes.origin}).{hint}'
        )
      records.append(record_of(item, label))
    clips = ClipList(
        listing.role,
        tuple(records),
        listing.file.name,
        missing=listing.missing,
        selected=listing.selected,
    )
    out.append(clips if repeats else without_repeats(clips))
  return out


def _name(item: Item, class_of: ClassOf) -> str | None:
  """Returns the class name from list or folder; None if there is a number."""
  if _has_number(item):
    return None
  return class_of(item.clip) if item.label is None else item.label


def _meaning(
    listing: Listing,
    classes: Classes,
    class_of: ClassOf,
    folders: dict[str, int],
) -> dict[int, int]:
  """Finds the class of each number of a list by the folders of its clips."""
  numbered = list(filter(_has_number, listing.items))
  votes = collections.defaultdict(dict)
  for item in numbered:
    label = folders.get(class_of(item.clip))
    if label is not None:
      votes[item.label].setdefault(label, []).append(item)
  learned, meant = {}, {}
  for value, found in votes.items():
    (label, items), *others = sorted(found.items(), key=lambda x: -len(x[1]))
    if others:
      odd = others[0][1][0]
      raise UserError(
          f'{listing.where(odd)}: the number {value} stands for '
          f'{class_of(items[0].clip)!r} elsewhere in the list (line '
          f'{items[0].line}), but this clip is in {class_of(odd.clip)!r}.'
      )
    learned[value], twin = label, meant.setdefault(label, value)
    if twin != value:
      raise UserError(
          f'{listing.where(items[0])}: the numbers {twin} and {value} both '
          f'stand for {class_of(items[0].clip)!r}.'
      )
  return _by_order(listing, classes, numbered, learned)


def _by_order(listing, classes, numbered, learned) -> dict[int, int]:
  """Adds the numbers that no folder explains, counted from 0 or from 1."""
  numbers = {item.label for item in numbered}
  fitting = [
      first
      for first in (0, 1)
      if all(label == value - first for value, label in learned.items())
  ]
  rest = numbers - learned.keys()
  if not rest:
    if not fitting:
      first = int(min(numbers) > 0)
      value = next(v for v, k in learned.items() if v - first != k)
      print(
          f'note: {listing.file} numbers its classes in another order than '
          f'{classes.origin} ({value} is {classes.raw[learned[value]]!r}); the '
          'folders of its clips decide.'
      )
    return learned
  untold = [item for item in numbered if item.label in rest]
  if not fitting:
    raise UserError(
        f'{listing.where(untold[0])}: nothing tells the class of the number '
        f'{untold[0].label}: the list numbers its classes in another order '
        f'than {classes.origin}, and no folder names this one.'
    )
  first, last = fitting[0], len(classes.raw) - 1
  if not learned and not classes.own_numbers:
    # The number 0, or one equal to the class count, tells where they begin.
    usual = listing.first_number
    first = 0 if 0 in numbers else 1 if last + 1 in numbers else usual
  for item in untold:
    if not 0 <= item.label - first <= last:
      raise UserError(
          f'{listing.where(item)}: the label {item.label} is out of range: '
          f'there are {last + 1} classes, numbered {first}..{last + first} '
          f'({classes.origin}).'
      )
  return learned | {value: value - first for value in rest}


def record_of(item: Item, label: int) -> ClipRecord:
  """Makes the record of a list's line.

  If a piece is given both in seconds and by frame numbers, the numbers are used
  for a folder of images, the seconds for a video (a key with a suffix).
  """
  seconds, frames = (item.start, item.end), (item.first, item.stop)
  if any(s is not None for s in seconds) and any(f is not None for f in frames):
    if pathlib.PurePosixPath(item.clip).suffix:
      frames = None, None
    else:
      seconds = None, None
  return ClipRecord(item.clip, label, *seconds, *frames)
