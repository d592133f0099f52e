"""Reads list files of several grammars into items: path, label, start, end.

What a list says is kept as it is said; `labels` decides which clip and which
class an item means. A further grammar is one more function here.
"""

import csv
import dataclasses
import math
import pathlib
import re

from data_pipelines.clip_lists import records
from evclip_jax.errors import UserError

_COLUMNS = ('path', 'label', 'start', 'end')


@dataclasses.dataclass(frozen=True)
class Item:
  """One line of a list.

  Attributes:
    path: as written, with '/' for '\\'.
    label: a number, a class name, or None where the list has none.
    start, end: seconds or None.
    line: its number in the file, from 1.
  """

  path: str
  label: int | str | None
  start: float | None
  end: float | None
  line: int


@dataclasses.dataclass(frozen=True)
class Listing:
  """A list file that has been read.

  Attributes:
    file: where it was.
    key: the config key that named it, for messages.
    items: its lines in order.
  """

  file: pathlib.Path
  key: str
  items: tuple[Item, ...]

  @property
  def name(self) -> str:
    """The file's own name, without its folder."""
    return self.file.name

  def where(self, item: Item) -> str:
    """'list.txt, line 3', for messages."""
    return f'{self.file}, line {item.line}'


def read(file: str | pathlib.Path, key: str, root: str = '') -> Listing:
  """Reads a list file, whatever its grammar.

  Grammars: the plain form (see `records`); a CSV or TSV with a header that
  has the columns path and label and perhaps start and end (seconds); lines
  `path label` (ViFi-CLIP; UCF-101's trainlist); lines `path` (its testlist).
  A byte order mark, Windows line ends and paths with spaces are understood.

  Args:
    file: the list, relative to the current folder or to `root`.
    key: the config key it came from.
    root: the data set's folder.

  Returns:
    The items in the order of the file.

  Raises:
    UserError: no such file, not a text, no clips in it, or a line that does
      not follow the grammar of the first one (named with its number).
  """
  path = pathlib.Path(file).expanduser()
  if not path.is_file() and root and (pathlib.Path(root) / path).is_file():
    path = pathlib.Path(root) / path
  try:
    text = path.read_text(encoding='utf-8-sig')
  except FileNotFoundError as e:
    raise UserError(f'the list {file} ({key}) does not exist.') from e
  except (OSError, UnicodeDecodeError) as e:
    raise UserError(
        f'{path} ({key}) cannot be read as a list of clips: '
        f'{getattr(e, "strerror", None) or "it is not a text file"}.'
    ) from e
  lines = [
      (number, line.strip('\r\n'))
      for number, line in enumerate(text.split('\n'), 1)
      if line.strip()
  ]
  items = _parse(path, lines)
  if not items:
    raise UserError(f'the list {path} ({key}) holds no clips.')
  return Listing(path, key, tuple(items))


def _parse(path, lines) -> list[Item]:
  if not lines:
    return []
  first = lines[0][1]
  if first.startswith(records.HEADER[:-1]):
    if first.strip() != records.HEADER:
      raise UserError(
          f'{path} is a clip list of another version: its first line is '
          f'{first.strip()!r}, not {records.HEADER!r}.'
      )
    return _plain(path, [x for x in lines if not x[1].startswith('#')])
  for delimiter in '\t,;':
    cells = next(csv.reader([first], delimiter=delimiter))
    header = [c.strip().lower() for c in cells]
    if 'path' in header:
      return _table(path, header, lines[1:], delimiter)
  if '\t' in first:
    return _plain(path, lines)
  return _words(path, lines)


def _plain(path, lines) -> list[Item]:
  items = []
  for number, line in lines:
    fields = [f.strip() for f in line.split('\t')]
    if len(fields) not in (2, 4) or not fields[1].isdigit() or not fields[0]:
      raise UserError(
          f'{path}, line {number}: wanted path<TAB>label or '
          f'path<TAB>label<TAB>start<TAB>end with label a number from 0, '
          f'found {_short(line)}.'
      )
    start, end = fields[2:] or ('', '')
    items.append(_item(path, number, fields[0], int(fields[1]), start, end))
  return items


def _table(path, header, lines, delimiter) -> list[Item]:
  if 'label' not in header:
    raise UserError(
        f'{path}, line 1: wanted the columns path and label, found '
        f'{", ".join(header)}.'
    )
  column = {c: header.index(c) for c in _COLUMNS if c in header}
  items = []
  for number, line in lines:
    # Lines are parsed one by one so that a stray quote spoils one line only.
    try:
      row = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as e:
      raise UserError(f'{path}, line {number}: {e}.') from e
    if len(row) != len(header):
      raise UserError(
          f'{path}, line {number}: wanted {len(header)} columns as in line 1, '
          f'found {len(row)}: {_short(line)}.'
      )
    cell = {c: row[i].strip() for c, i in column.items()}
    if not cell['path'] or not cell['label']:
      raise UserError(f'{path}, line {number}: the path or the label is empty.')
    label = cell['label']
    items.append(
        _item(
            path,
            number,
            cell['path'],
            int(label) if label.isdigit() else label,
            cell.get('start', ''),
            cell.get('end', ''),
        )
    )
  return items


def _words(path, lines) -> list[Item]:
  items = []
  for number, line in lines:
    match = re.fullmatch(r'\s*(.*\S)\s+(-?\d+)\s*', line)
    name, label = match.groups() if match else (line.strip(), None)
    if label is not None and int(label) < 0:
      raise UserError(
          f'{path}, line {number}: the label {label} is negative.'
      )
    items.append(
        _item(path, number, name, None if label is None else int(label), '', '')
    )
  labelled = items[0].label is not None
  odd = next((i for i in items if (i.label is not None) != labelled), None)
  if odd:
    wanted = 'a path and a number' if labelled else 'a path only'
    raise UserError(
        f'{path}, line {odd.line}: wanted {wanted} as in line '
        f'{items[0].line}, found {_short(dict(lines)[odd.line])}.'
    )
  if not labelled and all(re.search(r'[,;]', i.path) for i in items):
    raise UserError(
        f'{path}: a CSV needs a first line that names its columns, '
        'such as path,label or path,label,start,end.'
    )
  return items


def _item(path, number, name, label, start, end) -> Item:
  times = []
  for what, text in (('start', start), ('end', end)):
    try:
      value = float(text) if text else None
    except ValueError:
      value = math.nan
    if value is not None and not (0 <= value < math.inf):
      raise UserError(
          f'{path}, line {number}: {what} must be seconds from 0, '
          f'found {text!r}.'
      )
    times.append(value)
  begin, stop = times
  if stop is not None and stop <= (begin or 0):
    raise UserError(
        f'{path}, line {number}: end {end} must be greater than start '
        f'{start or 0}.'
    )
  return Item(name.replace('\\', '/'), label, begin, stop, number)


def _short(line: str) -> str:
  text = line.strip()
  return repr(text if len(text) <= 80 else text[:77] + '...')
