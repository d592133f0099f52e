"""Reads class names from files: one for all lists, or one for each list."""

import csv
import json
import pathlib
import re

from data_pipelines.errors import UserError
from data_pipelines.lists import text
from data_pipelines.lists.classes import check_distinct, with_gaps

_PUBLISHED = pathlib.Path(__file__).with_name('clip_fsar_classes.json')
_PREFIX = 'clip_fsar/'
_KEY = 'data.class_names'
# <number>, <name> or 1. <name>; pandas writes numbers with a gap as 0.0, 1.0.
_NUMBERED = re.compile(
    r'"?(?P<id>[0-9]+)(?:\.0+)?"?(?:\s*[,;\t:|]|[.)]|\s+-(?=\s))\s*'
    r'(?P<name>\S.*)'
)
_WORDS = re.compile(r'(?P<id>[0-9]+)\s+(?P<name>\S.*)')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
# Headings of the column of names, if it is not the second one.
_NAMES = ('name', 'class', 'class_name', 'class name')
# <name>, <number>
_TURNED = re.compile(
    r'(?P<name>\S.*?)\s*[,;\t:|]\s*"?(?P<id>[0-9]+)(?:\.0+)?"?'
)


def read(path: str | pathlib.Path, gaps: bool = False) -> list[str]:
  """Reads class names in label order, from one of four forms of file.

  One name per line; or lines `id,name` with ids from 0 (or from 1), perhaps
  below a header, which may name more columns (ViFi-CLIP's label files); or
  `name,id`; or `<1-based id> <name>`, as in UCF-101. With `gaps`, ids may be
  missing, as in an official file cut to the classes at hand; their names
  are ''.

  Raises:
    UserError: the file is missing, empty, has a gap in its ids, or names a
      class twice.
  """
  path = pathlib.Path(path).expanduser()
  names = [line.strip() for _, line in text.lines(path, _KEY)]
  if all(_QUOTED.fullmatch(name) for name in names):
    names = [_unquoted(name) for name in names]
  names = _narrow(names)
  header = bool(names) and re.fullmatch(r'id\s*,\s*name', names[0].lower())
  for form in (_NUMBERED, _TURNED, _WORDS):
    found = [form.fullmatch(line) for line in names]
    headed = form is not _WORDS and len(found) > 1 and all(found[1:])
    if not (found and all(found) or headed or header):
      continue
    pairs = [
        (row['id'], _unquoted(row['name'])) if row else (line, '')
        for row, line in zip(found, names, strict=True)
    ]
    pairs = pairs if all(found) else pairs[1:]
    # '2 fingers' and '3 fingers' are names.
    if form is _WORDS and len({name for _, name in pairs}) < len(pairs):
      break
    names = _by_id(path, pairs, int(form is _WORDS), gaps)
    break
  if not names:
    raise UserError(f'{path} has no class names: write one per line.')
  check_distinct(names, str(path))
  return names


def _narrow(lines: list[str]) -> list[str]:
  """Cuts a table with a header and more columns to number and name."""
  for mark in ',;\t':
    head, *rows = csv.reader(lines, delimiter=mark) if lines else [[]]
    wide = len(head) > 2 and {len(row) for row in rows} == {len(head)}
    first = [row[0].isdecimal() for row in (head, *rows) if row]
    if wide and not first[0] and all(first[1:]):
      known = [k for k, word in enumerate(head) if word.lower() in _NAMES]
      place = known[0] if known else 1
      return [f'{row[0]}{mark}{row[place]}' for row in rows]
  return lines


def _unquoted(name: str) -> str:
  """Removes the quotes around a cell; what follows it stays."""
  if not (quoted := _QUOTED.match(name)):
    return name
  return quoted[1].replace('""', '"') + name[quoted.end() :]


def _by_id(path, pairs, usual: int, gaps: bool) -> list[str]:
  """Orders names by ids, which begin with 0, 1 or, if unclear, `usual`."""
  names = {}
  for raw, name in pairs:
    if not raw.isdecimal() or int(raw) in names or not name.strip():
      raise UserError(
          f'{path}: the line {raw},{name} must hold a new number and a name.'
      )
    names[int(raw)] = name.strip()
  lowest = min(names, default=usual)
  first = lowest if lowest < 2 else usual
  if gaps and names and lowest >= first:
    return with_gaps(names, first)
  wanted = list(range(first, first + len(names)))
  if sorted(names) != wanted:
    raise UserError(
        f'{path}: ids must be {first}..{wanted[-1] if wanted else first}, '
        f'one per class; found {lowest}..{max(names)}.'
    )
  return [names[i] for i in wanted]


def is_per_list(source: str) -> bool:
  """Returns whether data.class_names has separate names for each list."""
  return (
      source.startswith(_PREFIX)
      or source.lower().endswith('.json')
      or '=' in source
      and not pathlib.Path(source).expanduser().is_file()
  )


def read_per_list(source: str) -> dict[str, list[str]]:
  """Reads the class names of each list, as data.class_names gives them.

  It is '' or comma-separated parts, of which later ones win:
  'clip_fsar/<data set>' (the published names of CLIP-FSAR's lists); FILE.json
  with {"train": [names], "test": [names], ...}; LIST=FILE, a file that `read`
  reads, for one list; FILE alone, for all other lists.

  Returns:
    List name or split -> names in the order of the list's numbers; the key ''
    is for lists that have none of their own.

  Raises:
    UserError: no such file or data set, or a file of another form.
  """
  if not is_per_list(source):
    return {'': read(source)} if source else {}
  out = {}
  for part in source.split(','):
    name, is_one, file = part.strip().partition('=')
    if is_one:
      out[name] = read(file)
    elif name.startswith(_PREFIX):
      out |= _published(name)
    elif name.lower().endswith('.json'):
      out |= _read_json(name)
    else:
      out[''] = read(name)
  return out


def _published(source: str) -> dict[str, list[str]]:
  known = json.loads(_PUBLISHED.read_text(encoding='utf-8'))
  known = {_PREFIX + name: lists for name, lists in known.items()}
  if source not in known:
    raise UserError(
        f'data.class_names={source!r}: the published names are '
        f'{", ".join(known)}.'
    )
  return known[source]


def _read_json(source: str) -> dict[str, list[str]]:
  try:
    values = json.loads(text.read(pathlib.Path(source).expanduser(), _KEY))
  except ValueError as e:
    raise UserError(f'cannot read {source} ({_KEY}): {e}.') from e
  for name, names in values.items() if isinstance(values, dict) else [('', 0)]:
    if not isinstance(names, list) or not all(
        isinstance(n, str) and n.strip() for n in names
    ):
      raise UserError(
          f'{source} (data.class_names): wanted {{"train": [names], "test": '
          f'[names], ...}} with the names in the order of the numbers; '
          f'{name!r} is no such list.'
      )
    check_distinct(names, f'{source}, {name!r}')
  return values
