"""Lines of official annotation files, and what to say where one is wrong."""

import csv
import io
import pathlib
from collections.abc import Iterator, Sequence

from data_pipelines.errors import UserError


def text(file: pathlib.Path) -> str:
  """The whole file, without a byte order mark.

  Raises:
    UserError: the file cannot be read.
  """
  try:
    return file.read_text(encoding='utf-8-sig')
  except (OSError, UnicodeDecodeError) as e:
    why = getattr(e, 'strerror', None) or 'it is not a text file in UTF-8'
    raise UserError(f'{file} cannot be read: {why}.') from e


def lines(file: pathlib.Path) -> list[tuple[int, str]]:
  """(number from 1, text) of all lines that are not empty.

  Raises:
    UserError: the file cannot be read.
  """
  return [
      (number, line.rstrip('\r'))
      for number, line in enumerate(text(file).split('\n'), 1)
      if line.strip()
  ]


def cells(
    file: pathlib.Path, delimiter: str = ','
) -> Iterator[tuple[int, list[str]]]:
  """(line number, cells) of a CSV; rows of blank cells are left out.

  Raises:
    UserError: the file cannot be read, or a line is no CSV.
  """
  reader = csv.reader(
      io.StringIO(text(file), newline=''),
      delimiter=delimiter,
      skipinitialspace=True,
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
  """(line number, {column: cell}) of a CSV whose first line names columns.

  Args:
    file: the CSV.
    wanted: columns that every row must have.

  Raises:
    UserError: as `cells`; or a column is missing, or a row is cut short.
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


def first_line(file: str, root: str) -> tuple[pathlib.Path, str]:
  """A list that the config names and its first line, to tell its grammar.

  Args:
    file: as `list_files.read` takes it, relative to the current folder or to
      `root`.
    root: data.root.

  Returns:
    (where it is, its first line; '' if it is not a text file with any).
  """
  path = pathlib.Path(file).expanduser()
  if not path.is_file() and root:
    path = pathlib.Path(root) / path
  if not path.is_file() or path.suffix != '.txt':
    return path, ''
  found = lines(path)
  return path, found[0][1] if found else ''


def wrong(file: pathlib.Path, number: int, wanted: str, line: str) -> UserError:
  """The error for a line that does not follow the grammar."""
  text = line if len(line) <= 80 else line[:77] + '...'
  return UserError(f'{file}, line {number}: wanted {wanted}, found {text!r}.')
