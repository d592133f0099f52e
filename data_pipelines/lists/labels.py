"""Turns what lists call classes into class numbers from 0.

Names go by the names of the classes. Numbers go by what the folders of the
list's own clips are called, where these say the class, else by their order:
published lists number the same classes in orders of their own.
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
  """Tells the classes that lists speak of, if nothing else names them.

  Names in the lists are sorted. Numbers take their names from the lists or
  from the folders, if each number always comes with the same one.

  Args:
    listings: lists that share their classes, located.
    class_ofs: ways to tell the class from a key; the first that agrees with
      the lists is used.

  Raises:
    UserError: if numbers and folders do not agree (give data.class_names).
  """
  items = [item for listing in listings for item in listing.items]
  said = _names_by_number(items, lambda item: item.class_name)
  if said is not None:
    origin = 'numbers and names in the lists'
    return Classes.of(said, origin, own_numbers=True)
  named = {i.label for i in items if isinstance(i.label, str)}
  numbers = any(isinstance(i.label, int) for i in items)
  if named and not numbers:
    return Classes.of(sorted(named), 'the names in the lists, sorted')
  for class_of in class_ofs:
    if not numbers:
      found = sorted({class_of(item.clip) for item in items})
      if len(found) > 1 or class_of is class_ofs[-1]:
        return Classes.of(found, 'the folders in the lists, sorted')
      continue
    numbered = [
        [i for i in listing.items if isinstance(i.label, int)]
        for listing in listings
    ]

    def name_of(item, class_of=class_of):
      return class_of(item.clip)

    origin = 'numbers in the lists, names of the folders'
    said = _names_by_number(itertools.chain(*numbered), name_of)
    if said is not None:
      return Classes.of(said, origin, own_numbers=True)
    # Of several authors, whose orders differ: that of the first list.
    each = [_names_by_number(part, name_of) for part in numbered if part]
    if all(each) and all(set(names) <= {'', *each[0]} for names in each):
      return Classes.of(each[0], origin, own_numbers=True)
  raise UserError(
      f'the lists ({listings[0].file}, ...) number their classes, and the '
      'folders do not name them one to one. Give the names: '
      'data.class_names=FILE, one name per line, the first is label 0.'
  )


def _names_by_number(items, name_of) -> list[str] | None:
  """Names by number, if every number has one name of its own."""
  names = {}
  for item in items:
    if not isinstance(item.label, int) or not name_of(item):
      return None
    known = names.setdefault(item.label, name_of(item))
    if class_names.clean(known) != class_names.clean(name_of(item)):
      return None
  if not names or len(set(names.values())) < len(names):
    return None
  return class_names.with_gaps(names, 0)


def own_classes(
    listing: Listing, names: dict[str, list[str]], class_ofs: Sequence[ClassOf]
) -> Classes:
  """Tells the classes of a list that numbers its own (data.class_scope).

  CLIP-FSAR's train, val and test lists all begin with class 0, and mean other
  classes by it; so do EZ-CLIP's base and novel lists.

  `names` are those of `class_files.read_per_list`; `class_ofs` as in `infer`.

  Raises:
    UserError: nothing names the classes, or numbers and folders disagree.
  """
  keys = (listing.split or listing.role, listing.role, '')
  given = next((names[key] for key in keys if key in names), None)
  if given:
    return Classes.given(given, 'data.class_names')
  try:
    return infer([listing], class_ofs)
  except UserError as e:
    has = [name for name in names if name]
    has = f' has those of {" and ".join(has)} only' if has else ''
    name = listing.split or listing.role
    raise UserError(
        f'{listing.file} ({listing.key}): neither the list nor the folders '
        f'name its classes one to one.\n  data.class_names{has}: write those '
        f'of this list, in the order of the numbers, in a JSON file '
        f'{{"{name}": [names]}}; published names go on in it: '
        'data.class_names=clip_fsar/<data set>,FILE.json.'
    ) from e


def number(
    listings: Sequence[Listing],
    classes: Classes,
    class_of: ClassOf,
    repeats: bool = False,
) -> list[ClipList]:
  """Turns located lists into lists of clips with class numbers from 0.

  A clip may be listed twice with `repeats` only.

  Raises:
    UserError: an unknown class, a number out of range, numbers that contradict
      the folders or each other, a clip listed with two classes.
  """
  items = [item for listing in listings for item in listing.items]
  said = (_name(item, class_of) for item in items)
  named = class_names.match(filter(None, said), classes.raw, tell=True)
  folders = {class_of(i.clip) for i in items if isinstance(i.label, int)}
  folders = class_names.match(folders, classes.raw, tell=True)
  out = []
  for listing in listings:
    numbers = _meaning(listing, classes, class_of, folders)
    records = []
    for item in listing.items:
      name = _name(item, class_of)
      label = named.get(name) if name is not None else numbers[item.label]
      if label is None:
        raise _unknown(listing, item, name, classes)
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
  """The class's name as the list or the folder has it; None for a number."""
  if isinstance(item.label, int):
    return None
  return class_of(item.clip) if item.label is None else item.label


def _unknown(listing, item, name, classes: Classes) -> UserError:
  same = class_names.letters(name)
  alike = [n for n in classes.raw if n and class_names.letters(n) == same]
  hint = f' Write it as {alike[0]!r} everywhere.' if alike and same else ''
  return UserError(
      f'{listing.where(item)}: the class {name!r} is not one of the '
      f'{len(classes.raw)} classes ({classes.origin}).{hint}'
  )


def _meaning(
    listing: Listing,
    classes: Classes,
    class_of: ClassOf,
    folders: dict[str, int],
) -> dict[int, int]:
  """What each number of a list stands for by the folders of its clips."""
  numbered = [i for i in listing.items if isinstance(i.label, int)]
  votes = collections.defaultdict(dict)
  for item in numbered:
    label = folders.get(class_of(item.clip))
    if label is not None:
      votes[item.label].setdefault(label, []).append(item)
  learned: dict[int, int] = {}
  for value, found in votes.items():
    most = sorted(found.items(), key=lambda pair: -len(pair[1]))
    if len(most) > 1:
      usual, odd = most[0][1][0], most[1][1][0]
      raise UserError(
          f'{listing.where(odd)}: the number {value} stands for '
          f'{class_of(usual.clip)!r} elsewhere in the list (line '
          f'{usual.line}), but this clip lies in {class_of(odd.clip)!r}.'
      )
    learned[value] = most[0][0]
  for value, label in learned.items():
    twin = next(v for v, k in learned.items() if k == label)
    if twin != value:
      odd = votes[value][label][0]
      raise UserError(
          f'{listing.where(odd)}: the numbers {twin} and {value} both stand '
          f'for {class_of(odd.clip)!r}.'
      )
  return _by_order(listing, classes, numbered, learned)


def _by_order(listing, classes, numbered, learned) -> dict[int, int]:
  """Adds the numbers that no folder tells, counted from 0 or from 1."""
  numbers = {item.label for item in numbered}
  fitting = [
      first
      for first in (0, 1)
      if all(label == value - first for value, label in learned.items())
  ]
  rest = numbers - learned.keys()
  if not rest and fitting or not numbers:
    return learned
  if not rest:
    value, label = next(
        (v, k) for v, k in learned.items() if v - (min(numbers) > 0) != k
    )
    print(
        f'note: {listing.file} numbers its classes in another order than '
        f'{classes.origin} ({value} is {classes.raw[label]!r}); the folders '
        'of its clips decide.'
    )
    return learned
  item = next(i for i in numbered if i.label in rest)
  if not fitting:
    raise UserError(
        f'{listing.where(item)}: nothing tells the class of the number '
        f'{item.label}: the list numbers its classes in another order than '
        f'{classes.origin}, and no folder names this one.'
    )
  first = fitting[0]
  if not learned and not classes.own_numbers:
    # A 0, or a number as high as there are classes, tells where they begin.
    highest = len(classes.raw)
    usual = listing.first_number or 0
    first = 0 if 0 in numbers else 1 if highest in numbers else usual
  for item in numbered:
    if item.label in rest and not 0 <= item.label - first < len(classes.raw):
      raise UserError(
          f'{listing.where(item)}: the label {item.label} is out of range: '
          f'there are {len(classes.raw)} classes, numbered '
          f'{first}..{len(classes.raw) - 1 + first} ({classes.origin}).'
      )
  return learned | {value: value - first for value in rest}


def record_of(item: Item, label: int) -> ClipRecord:
  """Makes the record of a list's line.

  Some lists give a piece by seconds and by frame numbers: the numbers hold for
  a folder of images, the seconds for a video (a key with a suffix).
  """
  seconds, frames = (item.start, item.end), (item.first, item.stop)
  if any(s is not None for s in seconds) and any(f is not None for f in frames):
    if pathlib.PurePosixPath(item.clip).suffix:
      frames = None, None
    else:
      seconds = None, None
  return ClipRecord(item.clip, label, *seconds, *frames)
