"""Makes class texts from templates or from CSV files of descriptions."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.errors import UserError
from evclip_jax.methods import base

_FORM = 'rows of three columns: a number, a class name, its description'
_KEY = 'method.settings.descriptions'


@dataclasses.dataclass(frozen=True)
class DescriptionSettings:
  """Holds the settings of all methods that read class texts.

  Attributes:
    descriptions: CSV files (a number, a class name, its description per row),
      separated by commas. A list takes its texts from the first file that has
      all of its classes. '' = templates.
    descriptions_per_class: which of a class's descriptions are used: 'all' (a
      class with fewer repeats its own) or the 'last' (EZ-CLIP).
    name_first: whether to put the class name before its description.
  """

  descriptions: str = ''
  descriptions_per_class: str = 'all'
  name_first: bool = False


class ClassTexts:
  """Makes lists of texts from class names, for `Method.class_texts`.

  Attributes:
    settings: with the fields of `DescriptionSettings`.
    templates: used without descriptions; '{}' stands for the class name.
  """

  def __init__(self, settings: Any, templates: tuple[str, ...] = ()):
    """Takes templates from the settings if none are given.

    Raises:
      UserError: invalid settings.
    """
    self.settings = settings
    if not templates:
      templates = getattr(settings, 'templates', None) or settings.template
    self.templates = templates
    fill_templates(templates, [])
    base.check_choices(settings, descriptions_per_class=('all', 'last'))
    if settings.descriptions and not _paths(settings.descriptions):
      raise UserError(
          f"{_KEY}={settings.descriptions!r} names no file; '' uses templates."
      )

  @property
  def name(self) -> str:
    """Returns the name of the texts in captions."""
    if self.settings.descriptions:
      own = self.settings
      name = ', '.join(Path(path).name for path in _paths(own.descriptions))
      return name + ' after class names' * own.name_first
    if isinstance(self.templates, str) or len(self.templates) == 1:
      return ''.join(self.templates)
    return f'{len(self.templates)} templates'

  def __call__(self, class_names: list[str]) -> list[list[str]]:
    """Returns M lists of K texts.

    Raises:
      UserError: a file cannot be read, or no file has all classes.
    """
    own = self.settings
    if not own.descriptions:
      return fill_templates(self.templates, class_names)
    files = {path: read(path) for path in _paths(own.descriptions)}
    found = find(files, class_names)
    if own.descriptions_per_class == 'last':
      found = [texts[-1:] for texts in found]
    if own.name_first:
      pairs = zip(class_names, found, strict=True)
      found = [[f'{name}. {text}' for text in texts] for name, texts in pairs]
    most = max(map(len, found), default=0)
    return [[texts[m % len(texts)] for texts in found] for m in range(most)]


def fill_templates(
    templates: tuple[str, ...], class_names: list[str]
) -> list[list[str]]:
  """Fills class names into templates: one list of texts per template.

  Raises:
    UserError: no template, or one without '{}'.
  """
  if isinstance(templates, str):
    templates = (templates,)
  if not templates or not all('{}' in t for t in templates):
    raise UserError(
        f'method.settings.templates={tuple(templates)!r}: wanted at least one, '
        'each with a {} where the class name goes.'
    )
  return [[t.replace('{}', name) for name in class_names] for t in templates]


def read(path: str | Path) -> dict[str, list[str]]:
  """Reads the descriptions of each class in a file, in its order.

  Args:
    path: a CSV with rows of a number, a class name and a description. Line
      breaks inside a description are deleted without a space; an empty
      description counts as none.

  Raises:
    UserError: the file cannot be read or has another form.

  Source: EZ-CLIP, utils/Text_Prompt.py, text_prompt.
  Differs: a first row with letters in its first column is a header, not a
    class; empty lines are skipped; if a name occurs twice, both rows are kept.
  """
  found: dict[str, list[str]] = {}
  try:
    # Line ends of any system become '\n' within the fields too.
    with Path(path).expanduser().open(encoding='utf-8-sig') as file:
      for number, row in enumerate(csv.reader(file), start=1):
        if not any(cell.strip() for cell in row):
          continue
        if len(row) != 3:
          raise UserError(
              f'{path}, row {number} is {",".join(row)!r:.60} with {len(row)} '
              f'columns; wanted {_FORM} ({_KEY}).'
          )
        if number > 1 or not any(c.isalpha() for c in row[0]):
          texts = found.setdefault(row[1], [])
          # Not stripped: the tokenizer cleans texts.
          texts += [row[2].replace('\n', '')] if row[2].strip() else []
  except (OSError, UnicodeDecodeError, csv.Error) as e:
    reason = getattr(e, 'strerror', None) or e
    raise UserError(
        f'cannot read the descriptions {path}: {reason}. Wanted a CSV with '
        f'{_FORM} ({_KEY}).'
    ) from e
  if not found:
    raise UserError(f'{path} has no descriptions; wanted {_FORM} ({_KEY}).')
  return found


def find(
    files: Mapping[str, Mapping[str, list[str]]], class_names: list[str]
) -> list[list[str]]:
  """Returns the descriptions of classes from the first file that has them all.

  Files are not mixed, since data sets describe a class of the same name
  differently.

  Args:
    files: path -> result of `read`.
    class_names: looked up as written or, if the file has no such name, ignoring
      case, spaces and punctuation: 'Hand Stand Pushups' is 'HandStandPushups'.

  Raises:
    UserError: no file has them all.
  """
  misses = {}
  for path, rows in files.items():
    texts = [_look_up(path, rows, name) for name in class_names]
    if all(texts):
      return texts
    pairs = zip(class_names, texts, strict=True)
    misses[path] = [name for name, own in pairs if not own]
  path = min(misses, key=lambda path: len(misses[path]))
  missing = misses[path]
  shown = ', '.join(map(repr, missing[:4]))
  more = f' and {len(missing) - 4} more' if len(missing) > 4 else ''
  raise UserError(
      f'no description of {shown}{more} in {", ".join(files)}.\n  Add a row '
      f"for each to {path} ({_KEY}), or set the key to '' to use templates."
  )


def _look_up(path: str, rows: Mapping[str, list[str]], name: str) -> list[str]:
  if name in rows:
    return rows[name]
  alike = [other for other in rows if _letters(other) == _letters(name)]
  if len(alike) > 1:
    raise UserError(
        f'{path}: the class {name!r} could be any of '
        f'{", ".join(map(repr, alike))}. Write its name as it is.'
    )
  return rows[alike[0]] if alike else []


def _letters(name: str) -> str:
  kept = ''.join(c for c in name.casefold() if c.isalnum())
  return kept or name.casefold()


def _paths(text: str) -> list[str]:
  return [path.strip() for path in text.split(',') if path.strip()]
