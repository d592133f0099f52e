"""Reads class names from files: one list of names, or one for each list."""

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
# <number>, <name>; pandas writes numbers with a gap as 0.0, 1.0.
_NUMBERED = re.compile(r'([0-9]+)(?:\.0+)?\s*[,;\t]\s*(\S.*)')


def read(path: str | pathlib.Path, gaps: bool = False) -> list[str]:
  """Reads names in label order, from one of three forms of file.

  One name per line; or lines `id,name` with ids from 0 (or from 1), perhaps
  below a header (the ViFi-CLIP label files); or `<1-based id> <name>` (the
  classInd.txt of UCF-101).

  Args:
    path: the file (data.class_names).
    gaps: whether ids may be left out, as in an official file cut to the
      classes there are; their names are ''.

  Raises:
    UserError: the file is missing, empty, has a gap in its ids, or names a
      class twice.
  """
  path = pathlib.Path(path).expanduser()
  lines = [line.strip() for _, line in text.lines(path, _KEY)]
  matches = [_NUMBERED.fullmatch(line) for line in lines]
  header = bool(lines) and re.fullmatch(r'id\s*,\s*name', lines[0].lower())
  if header or len(lines) > 1 and all(matches[1:]):
    rows = lines if all(matches) else lines[1:]
    names = _by_id(path, [_cells(row) for row in rows], 0, gaps)
  elif lines and all(re.fullmatch(r'\d+\s+\S.*', line) for line in lines):
    pairs = [line.split(None, 1) for line in lines]
    names = _by_id(path, pairs, 1, gaps)
  else:
    names = lines
  if not names:
    raise UserError(f'{path} has no class names: write one per line.')
  check_distinct(names, str(path))
  return names


def _cells(line: str) -> tuple[str, str]:
  found = _NUMBERED.fullmatch(line)
  if not found:
    return line, ''
  delimiter = line[len(found[1]) :].lstrip('.0 ')[:1]
  row = next(csv.reader([line], delimiter=delimiter))
  return found[1], delimiter.join(row[1:])


def _by_id(path, pairs, usual: int, gaps: bool) -> list[str]:
  """Names by ids from 0 or from 1 on, whichever is there, else from `usual`."""
  names = {}
  for raw, name in pairs:
    if not raw.strip().isdecimal() or int(raw) in names or not name.strip():
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
  """Returns whether data.class_names says other names for each list."""
  return (
      source.startswith(_PREFIX)
      or source.lower().endswith('.json')
      or '=' in source
      and not pathlib.Path(source).expanduser().is_file()
  )


def read_per_list(source: str) -> dict[str, list[str]]:
  """Reads class names for each list, from data.class_names.

  Args:
    source: '' = none; or parts with commas between them, of which a later one
      wins: 'clip_fsar/<data set>' (the published names of CLIP-FSAR's lists);
      FILE.json with {"train": [names], "test": [names], ...}; LIST=FILE, a file
      of `read` for one list; FILE alone serves every other list.

  Returns:
    List name or split -> names in the order of the list's numbers; the key ''
    serves lists that have none of their own.

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
  if source.removeprefix(_PREFIX) not in known:
    raise UserError(
        f'data.class_names={source!r}: the published names are '
        f'{", ".join(_PREFIX + k for k in known)}.'
    )
  return known[source.removeprefix(_PREFIX)]


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
