"""Lines of official annotation files, and what to say where one is wrong."""

import pathlib

from evclip_jax.errors import UserError


def lines(file: pathlib.Path) -> list[tuple[int, str]]:
  """(number from 1, text) of all lines that are not empty.

  Raises:
    UserError: the file cannot be read.
  """
  try:
    text = file.read_text(encoding='utf-8-sig')
  except (OSError, UnicodeDecodeError) as e:
    why = getattr(e, 'strerror', None) or 'it is not a text file'
    raise UserError(f'{file} cannot be read: {why}.') from e
  return [
      (number, line.rstrip('\r'))
      for number, line in enumerate(text.split('\n'), 1)
      if line.strip()
  ]


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
