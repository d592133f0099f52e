"""The classes of EPIC-Kitchens-100: verbs, nouns, or actions, pairs of both."""

import pathlib
from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists import text
from data_pipelines.lists.classes import Classes

KINDS = ('verb', 'noun', 'action')
LISTS = {'train': 'EPIC_100_train.csv', 'test': 'EPIC_100_validation.csv'}
PAIR = ('verb_class', 'noun_class')
# (file, line, its pair of numbers) -> what the list says of the class.
Labeller = Callable[[pathlib.Path, int, tuple[int, int]], int | str]


def file_names(kind: str) -> tuple[str, ...]:
  """Returns the files that name the classes of a kind; actions need two."""
  kinds = ('verb', 'noun') if kind == 'action' else (kind,)
  return tuple(f'EPIC_100_{kind}_classes.csv' for kind in kinds)


def read(kind: str, folder: pathlib.Path | None) -> Classes | None:
  """Reads classes by number under their official names, the column `key`."""
  if folder is None:
    return None
  if kind != 'action':
    names = _names(folder, kind)
    return Classes.of(names, file_names(kind)[0]) if names else None
  verbs, nouns = _names(folder, 'verb'), _names(folder, 'noun')
  names = [
      _action(verbs, nouns, file, line, pair)
      for pair, (file, line) in _actions(folder).items()
      if verbs and nouns
  ]
  if not names:
    return None
  return Classes.of(
      names, 'the pairs of verb and noun in the official lists, by number'
  )


def pair_of(
    file: pathlib.Path, line: int, row: dict[str, str]
) -> tuple[int, int]:
  """Returns the numbers of verb and noun in a row of a list."""
  cells = [row[column] for column in PAIR]
  if not all(c.isdecimal() for c in cells):
    raise UserError(
        f'{file}, line {line}: wanted numbers from 0 as {" and ".join(PAIR)}, '
        f'found {" and ".join(map(repr, cells))}.'
    )
  verb, noun = map(int, cells)
  return verb, noun


def labeller(
    kind: str, official: pathlib.Path | None, file: pathlib.Path, key: str
) -> Labeller:
  """Returns a function that tells what the pairs of a list mean.

  A list's own folder may hold a cut official list, or none: the pairs are
  those of the official folder. Actions go by name where names are known, so
  that a TFDS folder, which stores names only, can tell them as well.

  Args:
    kind: of `KINDS`.
    official: folder of the official lists, if there is one.
    file: the list.
    key: the config key it came from.

  Raises:
    UserError: nothing names or numbers the pairs; or later, of one pair.
  """
  if kind != 'action':
    return lambda file, line, pair: pair[KINDS.index(kind)]
  for folder in (official, file.parent):
    verbs, nouns = (
        _names(folder, k) if folder else [] for k in ('verb', 'noun')
    )
    if verbs and nouns:
      return lambda *where: _action(verbs, nouns, *where)
  if official is None:
    raise UserError(
        f'{file} ({key}): to tell actions (data.label_kind=action), put '
        f'{" and ".join(file_names(kind))} beside it, or set '
        'data.root to the folder with the official lists.'
    )
  numbers = {pair: number for number, pair in enumerate(_actions(official))}

  def number(file, line, pair):
    if pair not in numbers:
      raise UserError(
          f'{file}, line {line}: no official list in {official} has the pair '
          f'of verb {pair[0]} and noun {pair[1]}.'
      )
    return numbers[pair]

  return number


def _action(verbs, nouns, file, line, pair) -> str:
  verb, noun = pair
  if verb >= len(verbs) or noun >= len(nouns):
    raise UserError(
        f'{file}, line {line}: wanted a verb of 0..{len(verbs) - 1} and a '
        f'noun of 0..{len(nouns) - 1}, found {verb} and {noun}.'
    )
  return f'{verbs[verb]} {nouns[noun]}'


def _names(folder: pathlib.Path, kind: str) -> list[str]:
  (file,) = (folder / name for name in file_names(kind))
  if not file.is_file():
    return []
  found = []
  for line, row in text.rows(file, ('id', 'key')):
    if row['id'] != str(len(found)) or not row['key']:
      raise UserError(
          f'{file}, line {line}: wanted the columns id and key with ids '
          f'0, 1, 2, ..., found {row["id"]!r} and {row["key"]!r}.'
      )
    found.append(row['key'])
  return found


def _actions(
    folder: pathlib.Path,
) -> dict[tuple[int, int], tuple[pathlib.Path, int]]:
  """The pairs in the official lists in order, and where each is first."""
  found = {}
  for file in (folder / name for name in LISTS.values()):
    for line, row in text.rows(file, PAIR) if file.is_file() else ():
      found.setdefault(pair_of(file, line, row), (file, line))
  return dict(sorted(found.items()))
