"""Reads text files of lists and class names in any common encoding.

Any line ends will do; errors name the file and the line.
"""

import csv
import functools
import io
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from data_pipelines.errors import UserError

# Byte order mark at the beginning of a file -> encoding.
_MARKS = {
    b'\xff\xfe\0\0': 'utf-32',
    b'\0\0\xfe\xff': 'utf-32',
    b'\xff\xfe': 'utf-16',
    b'\xfe\xff': 'utf-16',
}


def find(
    file: str | pathlib.Path, root: str | pathlib.Path = ''
) -> pathlib.Path:
  """Finds a list relative to the current folder, else relative to `root`."""
  path = pathlib.Path(file).expanduser()
  if not path.is_file() and root:
    below = pathlib.Path(root).expanduser() / path
    path = below if below.is_file() else path
  return path


def first(
    folder: pathlib.Path | None, names: Iterable[str]
) -> pathlib.Path | None:
  """Returns the first of several files that exists in a folder, if any."""
  places = (folder / name for name in names) if folder else ()
  return next((place for place in places if place.is_file()), None)


def contents(file: pathlib.Path, name: str) -> bytes:
  """Returns a file's bytes, or raises a UserError that calls it `name`."""
  try:
    return file.read_bytes()
  except FileNotFoundError as e:
    raise UserError(f'{name} does not exist.') from e
  except OSError as e:
    raise UserError(f'{name} cannot be read: {e.strerror or e}.') from e


def read(file: pathlib.Path, key: str = '') -> str:
  """Returns a whole file as text, lines ended by newlines.

  Raises:
    UserError: the file cannot be read, or is not text.
  """
  name = f'the file {file} ({key})' if key else f'the file {file}'
  text = decode(contents(file, name), str(file))
  if text is None:
    raise UserError(
        f'{name} cannot be read: it is not a text file. Save it in UTF-8.'
    )
  return text


def decode(data: bytes, name: str, quiet: bool = False) -> str | None:
  """Decodes a file's bytes; None if they are not text.

  They may be UTF-8, -16, -32, or Windows' cp1252, which prints a note unless
  `quiet`.
  """
  marked = [name for mark, name in _MARKS.items() if data.startswith(mark)]
  if marked:
    encodings = marked[:1]
  elif b'\0' in data:
    # UTF-16 without a mark: the zero bytes of Western letters tell the order.
    even, odd = data[::2].count(0), data[1::2].count(0)
    encodings = ('utf-16-le' if odd > even else 'utf-16-be',)
  else:
    encodings = ('utf-8-sig', 'cp1252')
  for encoding in encodings:
    try:
      text = data.decode(encoding)
    except UnicodeDecodeError:
      continue
    text = text.replace('\r\n', '\n').replace('\r', '\n')
    if encoding == 'utf-8-sig':
      return text
    if any(unicodedata.category(c) == 'Cc' and c not in '\n\t\f' for c in text):
      return None
    if encoding == 'cp1252' and not quiet:
      _tell_guess(name)
    return text
  return None


def readable(name: str) -> str:
  """Returns a file name as valid text; bytes that are not UTF-8 as cp1252."""
  try:
    name.encode()
    return name
  except UnicodeEncodeError:
    raw = name.encode(errors='surrogateescape')
    return decode(raw, name, quiet=True) or raw.decode('latin-1')


@functools.cache
def _tell_guess(name: str):
  """Prints the note only once per file."""
  print(
      f'note: {name} is not in UTF-8 and is read as Windows text (cp1252). If '
      'names come out wrong, save it in UTF-8.'
  )


def lines(file: pathlib.Path, key: str = '') -> list[tuple[int, str]]:
  """Returns (number from 1, line) of all lines of a file that are not blank."""
  return numbered(read(file, key))


def numbered(text: str) -> list[tuple[int, str]]:
  """Returns (number from 1, line) of all lines that are not blank."""
  return [
      (number, line)
      for number, line in enumerate(text.split('\n'), 1)
      if line.strip()
  ]


def cells(
    file: pathlib.Path, delimiter: str = ','
) -> Iterator[tuple[int, list[str]]]:
  """Yields (line number, cells) of a CSV; skips rows of blank cells."""
  reader = csv.reader(
      io.StringIO(read(file)), delimiter=delimiter, skipinitialspace=True
  )
  try:
    for row in reader:
      row = [cell.strip() for cell in row]
      if any(row):
        yield reader.line_num, row
  except csv.Error as e:
    raise UserError(f'{file}, line {reader.line_num}: {e}.') from e


def rows(
    file: pathlib.Path, wanted: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
  """Yields (line number, {column: cell}) of a CSV with a header line.

  Raises:
    UserError: no CSV, a `wanted` column is missing, or a row is cut short.
  """
  found = cells(file)
  line, head = next(found, (1, []))
  if not set(wanted) <= set(head):
    raise UserError(
        f'{file}, line {line}: wanted the columns {", ".join(wanted)}, found '
        f'{", ".join(head) or "none"}.'
    )
  least = 1 + max(head.index(column) for column in wanted)
  for line, row in found:
    if len(row) < least:
      raise UserError(
          f'{file}, line {line}: wanted {len(head)} cells as in the first '
          f'line, found {len(row)}.'
      )
    yield line, dict(zip(head, row, strict=False))


def wrong(file: pathlib.Path, number: int, wanted: str, line: str) -> UserError:
  """Makes the error for a line that does not follow the list's grammar."""
  text = line.strip()
  text = text if len(text) <= 80 else text[:77] + '...'
  return UserError(f'{file}, line {number}: wanted {wanted}, found {text!r}.')
