"""Reads list files of several grammars into items: path, label, start, end.

What a list says is kept as it is said; `labels` decides which clip and which
class an item means. Grammars of other projects' published lists are in
`published` and `shots`; this module tells which one a file is in.
"""

import csv
import math
import pathlib
import re

from data_pipelines.errors import UserError
from data_pipelines.lists import clips, published, selections
from data_pipelines.lists.items import Item, Listing, short

_FRAMES = re.compile(r'frames (\d*):(\d*)')
_COLUMNS = ('path', 'label', 'start', 'end')


def read(file: str | pathlib.Path, key: str, root: str = '') -> Listing:
  """Reads a list file, whatever its grammar.

  Grammars: the plain form (see `records`); a CSV or TSV with a header that
  has the columns path and label and perhaps start and end (seconds); lines
  `path label` (ViFi-CLIP; UCF-101's trainlist); lines `path` (its testlist);
  the published lists of EZ-CLIP, CLIP-FSAR and EV-CLIP. A byte order
  mark, Windows line ends and paths with spaces are understood.

  Args:
    file: the list, relative to the current folder or to `root`.
    key: the config key it came from.
    root: the data set's folder.

  Returns:
    The items in the order of the file.

  Raises:
    UserError: no such file, not a text, no clips in it, or a line that does
      not follow the grammar of the others (named with its number).
  """
  path = pathlib.Path(file).expanduser()
  if not path.is_file() and root and (pathlib.Path(root) / path).is_file():
    path = pathlib.Path(root) / path
  try:
    contents = path.read_bytes()
    if selections.is_pickle(contents):
      items = tuple(selections.read(path, contents))
      return _listing(path, key, items, by_name=True, selected=True)
    selections.check_text(path, contents)
    text = contents.decode('utf-8-sig')
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
  head = [line.strip() for _, line in lines if line.startswith('# ')]
  own = head[:1] == [clips.HEADER] and clips.SELECTED in head
  return _listing(path, key, *_parse(path, lines), selected=own)


def _listing(
    path, key, items, split='', by_name=False, selected=False
) -> Listing:
  if not items:
    raise UserError(f'the list {path} ({key}) holds no clips.')
  return Listing(
      path,
      key,
      tuple(items),
      split=split,
      by_name=by_name,
      selected=selected,
  )


def _parse(path, lines) -> tuple[list[Item], str, bool]:
  """(items, split, whether clips are to be found by name)."""
  if lines and published.is_episode_list(lines):
    split, items = published.episode_list(path, lines)
    return items, split, True
  if lines and published.is_frame_list(lines):
    return published.frame_list(path, lines), '', True
  items = _own(path, lines) if lines else []
  # Bare file names, as in ViFi-CLIP's lists.
  return items, '', not any('/' in item.path for item in items)


def _own(path, lines) -> list[Item]:
  first = lines[0][1]
  if first.startswith(clips.HEADER[:-1]):
    if first.strip() != clips.HEADER:
      raise UserError(
          f'{path} is a clip list of another version: its first line is '
          f'{first.strip()!r}, not {clips.HEADER!r}.'
      )
    return _plain(path, [x for x in lines if not x[1].startswith('# ')])
  for delimiter in '\t,;':
    cells = next(csv.reader([first], delimiter=delimiter))
    header = [c.strip().lower() for c in cells]
    if 'path' in header:
      return _table(path, header, lines[1:], delimiter)
  if 2 * sum('\t' in x for _, x in lines) + ('\t' in first) > len(lines):
    return _plain(path, lines)
  return _words(path, lines)


def _plain(path, lines) -> list[Item]:
  items = []
  for number, line in lines:
    fields = [f.strip() for f in line.split('\t')]
    frames = _FRAMES.fullmatch(fields[2]) if len(fields) == 3 else None
    if frames and fields[0] and fields[1].isdigit():
      items.append(_frames_item(path, number, fields, frames.groups()))
      continue
    if len(fields) not in (2, 4) or not fields[1].isdigit() or not fields[0]:
      raise UserError(
          f'{path}, line {number}: wanted path<TAB>label, '
          'path<TAB>label<TAB>start<TAB>end or '
          'path<TAB>label<TAB>frames FIRST:STOP with label a number from 0, '
          f'found {short(line)}.'
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
          f'found {len(row)}: {short(line)}.'
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
  # Most lines decide; of two, the first.
  numbers = [i.label is not None for i in items]
  labelled = 2 * sum(numbers) + numbers[0] > len(items)
  odd = next((i for i in items if (i.label is not None) != labelled), None)
  if odd:
    usual = next(i for i in items if (i.label is not None) == labelled)
    wanted = 'a path and a number' if labelled else 'a path only'
    raise UserError(
        f'{path}, line {odd.line}: wanted {wanted} as in line '
        f'{usual.line}, found {short(dict(lines)[odd.line])}.'
    )
  if not labelled and all(re.search(r'[,;]', i.path) for i in items):
    raise UserError(
        f'{path}: a CSV needs a first line that names its columns, '
        'such as path,label or path,label,start,end.'
    )
  return items


def _frames_item(path, number, fields, frames) -> Item:
  first, stop = (int(text) if text else None for text in frames)
  none = first is None and stop is None
  if none or stop is not None and stop <= (first or 0):
    raise UserError(
        f'{path}, line {number}: wanted frames FIRST:STOP with STOP greater '
        f'than FIRST, found {fields[2]!r}.'
    )
  name = fields[0].replace('\\', '/')
  return Item(name, int(fields[1]), None, None, number, first, stop)


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

