"""Reads list files of all grammars into items: path, label, start, end.

Items hold what the list says; `locate` then finds their clips and `labels`
their classes. Grammars:

  the plain form      path<TAB>label[<TAB>start<TAB>end]   (see `clips`)
  a table             a CSV or TSV with the columns path and label, and perhaps
                      start and end in seconds
  words               `path label` (ViFi-CLIP, UCF-101) or `path` alone
  EZ-CLIP             `<folder of frames> <number of frames> <label>`
  CLIP-FSAR           `train12/12345` or `test3//videos/Class/clip.avi`
  EGTEA Gaze+         `<clip> <action> <verb> <nouns>`, counted from 1
  EV-CLIP             pickles (see `selections`)

Published lists have paths of their authors' machines, so their clips are found
by the end of their paths.
"""

import collections
import contextlib
import csv
import dataclasses
import math
import pathlib
import re

from data_pipelines.errors import UserError
from data_pipelines.lists import clips, selections, text
from data_pipelines.lists.clips import Item, Listing

Lines = list[tuple[int, str]]

_PLAIN = (
    'path<TAB>label, path<TAB>label<TAB>start<TAB>end or '
    'path<TAB>label<TAB>frames FIRST:STOP with label a number from 0'
)
_COLUMNS = ('path', 'label', 'start', 'end')
_NUMBER = re.compile(r'([0-9]+)(?:\.0+)?')
_PIECE = re.compile(r'frames (\d*):(\d*)')
_FRAMES = re.compile(r'\s*(.*\S)\s+0*[1-9]\d*\s+(\d+)\s*')
_FRAMES_WANTED = 'a folder of frames, their number and a label, as elsewhere'
_EPISODE = re.compile(
    r'\s*(train|val|test)(\d+)(?://(?P<path>.*\S)|/(?P<id>[^/.\s]+))\s*'
)
# OP01-R01-PastaSalad-66680-68130-F001597-F001640 <action> <verb> <nouns>
# Cut to two columns, it differs from other lists by the missing suffix.
_EGTEA = re.compile(
    r'\s*(\S+-F\d+-F\d+)((?:\.\w+)?(?:\s+\d+){3,}|(?:\s+\d+){1,2})\s*'
)
_EGTEA_LINE = re.compile(r'\s*(\S+)\s+(\d+)(?:\s+\d+)*\s*')


def read(path: pathlib.Path, key: str) -> Listing:
  """Reads a list file of any grammar; `key` is the config key that names it.

  Raises:
    UserError: no such file, not a text, no clips in it, or a line (the message
      gives its number) that does not follow the grammar of the others.
  """
  contents = text.contents(path, f'the list {path} ({key})')
  if selections.is_pickle(contents):
    items = tuple(selections.read(path, contents))
    return listing(path, key, items, by_name=True, selected=True)
  selections.check_text(path, contents)
  if contents.startswith(clips.HEADER.encode()):
    # File names need not be valid UTF-8.
    decoded = contents.decode(errors='surrogateescape')
  else:
    decoded = text.decode(contents, str(path))
  if decoded is None:
    raise UserError(
        f'{path} ({key}) cannot be read as a list of clips: it is not a text '
        'file.'
    )
  lines = text.numbered(decoded)
  # No other list has names without a suffix in folders such as train0.
  if lines and 2 * _matches(lines, _EPISODE) >= len(lines):
    split, items = _episode_list(path, lines)
    return listing(path, key, items, split=split, by_name=True)
  if 2 * _matches(lines, _EGTEA) > len(lines):
    wanted = '<clip> <action number> <verb> <nouns>'
    items = _matched(path, lines, _EGTEA_LINE, wanted, _egtea_item)
    return listing(path, key, items, by_name=True, first_number=1)
  # Tabs mean the plain form, whose times in whole seconds would match too.
  spaced = [x for x in lines if '\t' not in x[1]]
  if 2 * _matches(spaced, _FRAMES) > len(lines):
    items = _matched(path, lines, _FRAMES, _FRAMES_WANTED, _frame_item)
    return listing(path, key, items, by_name=True)
  items = _own(path, lines) if lines else []
  head = [line.strip() for _, line in lines if line.startswith('# ')]
  return listing(
      path,
      key,
      items,
      # Bare file names, as in ViFi-CLIP's lists.
      by_name=not any('/' in item.path for item in items),
      selected=head[:1] == [clips.HEADER] and clips.SELECTED in head,
  )


def listing(file: pathlib.Path, key: str, items, **values) -> Listing:
  """Makes a listing; raises UserError if it has no items."""
  if not items:
    raise UserError(f'the list {file} ({key}) holds no clips.')
  return Listing(file, key, tuple(items), **values)


def _matches(lines: Lines, pattern: re.Pattern) -> int:
  return sum(pattern.fullmatch(line) is not None for _, line in lines)


def _own(path, lines: Lines) -> list[Item]:
  first = lines[0][1]
  if first.startswith(clips.HEADER[:-1]):
    if first.strip() != clips.HEADER:
      raise UserError(
          f'{path} is a clip list of another version: its first line is '
          f'{first.strip()!r}, not {clips.HEADER!r}.'
      )
    return _plain(path, [x for x in lines if not x[1].startswith('# ')])
  for delimiter in '\t,;':
    header = [c.strip(' "').lower() for c in first.split(delimiter)]
    if 'path' in header:
      return _table(path, header, lines[1:], delimiter)
  if 2 * sum('\t' in x for _, x in lines) + ('\t' in first) > len(lines):
    return _plain(path, lines)
  return _words(path, lines)


def _plain(path, lines: Lines) -> list[Item]:
  items = []
  for number, line in lines:
    name, *fields = [f.strip() for f in line.split('\t')]
    frames = _PIECE.fullmatch(fields[1]) if len(fields) == 2 else None
    label = _NUMBER.fullmatch(fields[0]) if fields else None
    if not label or not name or len(fields) not in (1, 3) and not frames:
      raise text.wrong(path, number, _PLAIN, line)
    times = fields[1:] if fields[2:] else ('', '')
    item = _item(path, number, name, int(label[1]), *times)
    if frames:
      first, stop = (int(end) if end else None for end in frames.groups())
      if first is stop is None or stop is not None and stop <= (first or 0):
        wanted = 'frames FIRST:STOP with STOP greater than FIRST'
        raise text.wrong(path, number, wanted, fields[1])
      item = dataclasses.replace(item, first=first, stop=stop)
    items.append(item)
  return items


def _table(path, header, lines: Lines, delimiter) -> list[Item]:
  if 'label' not in header:
    raise UserError(
        f'{path}, line 1: wanted the columns path and label, found '
        f'{", ".join(header)}.'
    )
  column = {c: header.index(c) for c in _COLUMNS if c in header}
  found = []
  for number, line in lines:
    # Lines are parsed one by one so that a stray quote spoils one line only.
    try:
      row = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as e:
      raise UserError(f'{path}, line {number}: {e}.') from e
    if len(row) != len(header):
      wanted = f'{len(header)} columns as in line 1'
      raise text.wrong(path, number, wanted, line)
    cell = {c: row[i].strip() for c, i in column.items()}
    if not cell['path'] or not cell['label']:
      raise UserError(f'{path}, line {number}: the path or the label is empty.')
    found.append((number, cell))
  # Programs may write a column of integers as 0.0, 1.0, ...; but a class may
  # also be called 1.0 beside one called 1.5.
  numbers = [_number(cell['label']) for _, cell in found]
  whole = all(n is not None for n in numbers)
  items = []
  for (line, cell), label in zip(found, numbers, strict=True):
    if not (whole or cell['label'].isdecimal()):
      label = cell['label']
    if label == 'nan' and any(n is not None for n in numbers):
      raise UserError(f'{path}, line {line}: the label is missing (nan).')
    times = cell.get('start', ''), cell.get('end', '')
    items.append(_item(path, line, cell['path'], label, *times))
  return items


def _number(text: str) -> int | None:
  """Parses a non-negative integer as programs may write it, else None."""
  with contextlib.suppress(ValueError):
    value = float(text.replace(',', '.'))
    # Not '1_0', which Python takes for a number.
    if re.fullmatch(r'[0-9.,eE+]+', text) and value.is_integer():
      return int(value)
  return None


def _words(path, lines: Lines) -> list[Item]:
  if re.match(r'\s*[\[{]\s*(["\[{]|$)', lines[0][1]):
    raise UserError(f'{path}: JSON is not read; use a text file or a CSV.')
  floats = all(re.fullmatch(r'.*\S\s+\d+\.0+\s*', line) for _, line in lines)
  ending = r'(-?[0-9]+)(?:\.0+)?' if floats else r'(-?[0-9]+)'
  items = []
  for number, line in lines:
    match = re.fullmatch(rf'\s*(.*\S)\s+{ending}\s*', line)
    name, label = match.groups() if match else (line.strip(), None)
    label = None if label is None else int(label)
    if label is not None and label < 0:
      raise UserError(f'{path}, line {number}: the label {label} is negative.')
    items.append(_item(path, number, name, label))
  # The majority of lines decides; in a tie the first line.
  numbers = [i.label is not None for i in items]
  labelled = 2 * sum(numbers) + numbers[0] > len(items)
  odd = next((i for i in items if (i.label is not None) != labelled), None)
  if odd:
    usual = next(i for i in items if (i.label is not None) == labelled)
    wanted = 'a path and a number' if labelled else 'a path only'
    wanted += f' as in line {usual.line}'
    raise text.wrong(path, odd.line, wanted, dict(lines)[odd.line])
  if not labelled and all(re.search(r'[,;]', i.path) for i in items):
    raise UserError(
        f'{path}: a CSV needs a first line that names its columns, such as '
        'path,label or path,label,start,end.'
    )
  return items


def _item(path, number, name, label, start='', end='') -> Item:
  times = []
  for what, cell in (('start', start), ('end', end)):
    try:
      value = float(cell) if cell else None
    except ValueError:
      value = math.nan
    if value is not None and not (0 <= value < math.inf):
      raise UserError(
          f'{path}, line {number}: {what} must be seconds from 0, '
          f'found {cell!r}.'
      )
    times.append(value)
  begin, stop = times
  if stop is not None and stop <= (begin or 0):
    raise UserError(
        f'{path}, line {number}: end {end} must be greater than start '
        f'{start or 0}.'
    )
  return Item(name.replace('\\', '/'), label, begin, stop, number)


def _matched(path, lines: Lines, form: re.Pattern, wanted: str, make) -> list:
  """Reads a list whose lines all match one pattern."""
  items = []
  for number, line in lines:
    if not (match := form.fullmatch(line)):
      raise text.wrong(path, number, wanted, line)
    items.append(dataclasses.replace(make(match), line=number))
  return items


def _frame_item(match: re.Match) -> Item:
  """EZ-CLIP's dataset_splits; their number of frames is ignored."""
  return Item(match[1].replace('\\', '/').rstrip('/'), int(match[2]))


def _egtea_item(match: re.Match) -> Item:
  """The official lists of EGTEA Gaze+; clips lie in folders of sessions."""
  session = '-'.join(match[1].split('-')[:3])
  return Item(f'{session}/{match[1]}', int(match[2]))


def _episode_list(path, lines: Lines) -> tuple[str, list[Item]]:
  """(split, items) of a list of CLIP-FSAR, which holds one split.

  Each split numbers its own classes. The folder of a path names the class; a
  line with only a video id names none. (The original, ssv2_few_shot.py, tells
  these two forms apart by the data set, not by the line.)
  """
  matches = (_EPISODE.fullmatch(line) for _, line in lines)
  said = collections.Counter(match[1] for match in matches if match)
  split = said.most_common(1)[0][0]

  def make(match):
    clip = match['id'] or match['path'].replace('\\', '/')
    folder = clip.rsplit('/', 2)[-2] if '/' in clip else ''
    return Item(clip, int(match[2]), class_name=folder)

  form = re.compile(_EPISODE.pattern.replace('train|val|test', split))
  wanted = f'{split}<class>/<video id> or {split}<class>//<path>'
  return split, _matched(path, lines, form, wanted, make)
