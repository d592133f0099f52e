"""Class descriptions from the CSV files of EZ-CLIP."""

import csv
from collections.abc import Mapping
from pathlib import Path

from data_pipelines.errors import UserError

_FORM = 'rows of three columns: a number, a class name, its description'


def read(path: str | Path) -> dict[str, str]:
  """Class name -> description, as the original reads its files.

  Args:
    path: a CSV with rows of a number, a class name and a description. Of a name
      that is there twice, the last row counts; line breaks inside of a
      description are deleted, not replaced.

  Raises:
    UserError: the file cannot be read or has another form.

  Source: EZ-CLIP, utils/Text_Prompt.py, text_prompt.
  Differs: a first row with letters in its first column is the header and no
    class; empty lines are left out.
  """
  found = {}
  try:
    # Line ends of any system become '\n' within the fields too.
    with Path(path).expanduser().open(encoding='utf-8-sig') as file:
      for number, row in enumerate(csv.reader(file), start=1):
        if not any(cell.strip() for cell in row):
          continue
        if len(row) != 3:
          raise UserError(
              f'{path}, row {number} is {",".join(row)!r:.60} with {len(row)} '
              f'columns; wanted {_FORM} (method.settings.descriptions).'
          )
        if number > 1 or not any(c.isalpha() for c in row[0]):
          found[row[1]] = row[2].replace('\n', '')
  except (OSError, UnicodeDecodeError, csv.Error) as e:
    reason = getattr(e, 'strerror', None) or e
    raise UserError(
        f'cannot read the descriptions {path}: {reason}. Wanted a CSV with '
        f'{_FORM} (method.settings.descriptions).'
    ) from e
  if not found:
    raise UserError(f'{path} has no descriptions; wanted {_FORM}.')
  return found


def find(
    files: Mapping[str, Mapping[str, str]], class_names: list[str]
) -> list[str]:
  """The descriptions of classes, from the first file that has all of them.

  Different data sets describe a class of the same name differently, so texts
  of several files are not mixed.

  Args:
    files: path -> what `read` gave.
    class_names: found as they are written or, where the file has no such name,
      without regard to case, spaces and punctuation: 'Hand Stand Pushups' is
      'HandStandPushups'.

  Raises:
    UserError: no file has them all.
  """
  misses = {}
  for path, rows in files.items():
    texts, missing = _look_up(path, rows, class_names)
    if not missing:
      return texts
    misses[path] = missing
  path = min(misses, key=lambda path: len(misses[path]))
  missing = misses[path]
  shown = ', '.join(map(repr, missing[:4]))
  more = f' and {len(missing) - 4} more' if len(missing) > 4 else ''
  raise UserError(
      f'no description of {shown}{more} in {", ".join(files)}.\n  Add a row '
      f'for each to {path} (method.settings.descriptions), or set the key to '
      "'' to use method.settings.templates."
  )


def _look_up(
    path: str, rows: Mapping[str, str], class_names: list[str]
) -> tuple[list[str], list[str]]:
  """(descriptions, names that have none or an empty one)."""
  by_letters: dict[str, list[str]] = {}
  for name in rows:
    by_letters.setdefault(_letters(name), []).append(name)
  texts, missing = [], []
  for name in class_names:
    alike = [name] if name in rows else by_letters.get(_letters(name), [])
    if len(alike) > 1:
      raise UserError(
          f'{path}: the class {name!r} could be any of '
          f'{", ".join(map(repr, alike))}. Write its name as it is.'
      )
    text = rows[alike[0]].strip() if alike else ''
    if text:
      # Not the stripped one: the tokenizer is what cleans texts.
      texts.append(rows[alike[0]])
    else:
      missing.append(name)
  return texts, missing


def _letters(name: str) -> str:
  kept = ''.join(c for c in name.casefold() if c.isalnum())
  return kept or name.casefold()
