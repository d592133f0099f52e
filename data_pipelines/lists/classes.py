"""Class names: read from files and made readable for a text prompt."""

import csv
import json
import pathlib
import re

from data_pipelines.errors import UserError

_PUBLISHED = pathlib.Path(__file__).with_name('clip_fsar_classes.json')
_PREFIX = 'clip_fsar/'
_HUMP = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')


def clean(name: str) -> str:
  """A folder's or list's class name as words: 'YoYo' -> 'Yo Yo'.

  Underscores become spaces, as in every prompt of the original. A name of one
  word is split at its inner capitals, as the original does for UCF-101. All
  else stays: 'turn-on', 'Inspect/Read recipe'.

  Args:
    name: a raw class name.

  Returns:
    The name with single spaces and no surrounding space.

  Source: EV-CLIP, trainers/evoclip.py (underscores) and
    dassl/data/datasets/ucf101_video.py (capitals).
  Differs: a run of capitals stays together ('TVShow'), and nothing before the
    first capital is lost; UCF-101 has neither.
  """
  words = name.replace('_', ' ').split()
  if len(words) == 1:
    words = _HUMP.sub(' ', words[0]).split()
  return ' '.join(words)


def same(name: str) -> str:
  """What two spellings of one class share: 'HandStand_Pushups' and so on."""
  kept = ''.join(c for c in name.casefold() if c.isalnum())
  return kept or name.casefold()


def read(path: str | pathlib.Path, gaps: bool = False) -> list[str]:
  """Names in label order, from one of three forms of file.

  One name per line; or a CSV with the header `id,name` and ids from 0 (the
  ViFi-CLIP label files); or `<1-based id> <name>` (UCF-101's classInd.txt).

  Args:
    path: the file (data.class_names).
    gaps: whether ids may be left out, as in an official file cut to the
      classes there are; their names are ''.

  Returns:
    The names as they are written.

  Raises:
    UserError: the file is missing, empty, has a gap in its ids, or names a
      class twice.
  """
  lines = _lines(path)
  if lines and re.fullmatch(r'id\s*,\s*name', lines[0].lower()):
    pairs = [(row[0], ','.join(row[1:])) for row in csv.reader(lines[1:])]
    names = _by_id(path, pairs, 0, gaps)
  elif lines and all(re.fullmatch(r'\d+\s+\S.*', line) for line in lines):
    names = _by_id(path, [line.split(None, 1) for line in lines], 1, gaps)
  else:
    names = lines
  if not names:
    raise UserError(f'{path} has no class names: write one per line.')
  check_distinct(names, str(path))
  return names


def with_gaps(names: dict[int, str], first: int) -> list[str]:
  """Names by number from `first` on; '' for the numbers that have none."""
  return [names.get(k, '') for k in range(first, max(names, default=-1) + 1)]


def read_per_list(source: str) -> dict[str, list[str]]:
  """Class names for each list, from data.class_names.

  Args:
    source: '' = none; a JSON file {"train": [names], "test": [names], ...};
      'clip_fsar/<data set>' for the published names of CLIP-FSAR's lists,
      perhaps with ',FILE.json' for splits that these lack; or a file of
      `read`, which then serves every list.

  Returns:
    List name or split -> names in the order of the list's numbers; the key ''
    serves lists that have none of their own.

  Raises:
    UserError: no such file or data set, or a file of another form.
  """
  if not source:
    return {}
  if source.startswith(_PREFIX):
    known = json.loads(_PUBLISHED.read_text(encoding='utf-8'))
    name, comma, more = source.removeprefix(_PREFIX).partition(',')
    if name not in known:
      raise UserError(
          f'data.class_names={source!r}: the published names are '
          f'{", ".join(_PREFIX + k for k in known)}.'
      )
    return known[name] | (_read_json(more.strip()) if comma else {})
  if not is_per_list(source):
    return {'': read(source)}
  return _read_json(source)


def _read_json(source: str) -> dict[str, list[str]]:
  try:
    values = json.loads(pathlib.Path(source).expanduser().read_text('utf-8'))
  except (OSError, ValueError) as e:
    raise UserError(f'cannot read {source} (data.class_names): {e}.') from e
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


def is_per_list(source: str) -> bool:
  """Whether data.class_names says other names for each list."""
  return source.startswith(_PREFIX) or source.lower().endswith('.json')


def check_distinct(names: list[str], where: str):
  """Raises UserError if two classes with names get the same prompt."""
  seen = {}
  for label, name in enumerate(names):
    if not name:
      continue
    other = seen.setdefault(clean(name).casefold(), label)
    if other != label:
      raise UserError(
          f'{where}: classes {other} ({names[other]!r}) and {label} '
          f'({name!r}) have the same name.'
      )


def _lines(path) -> list[str]:
  try:
    text = pathlib.Path(path).read_text(encoding='utf-8-sig')
  except (OSError, UnicodeDecodeError) as e:
    raise UserError(
        f'cannot read the class names {path} (data.class_names): {e}.'
    ) from e
  return [line.strip() for line in text.splitlines() if line.strip()]


def _by_id(path, pairs, first: int, gaps: bool) -> list[str]:
  names = {}
  for raw, name in pairs:
    if not raw.strip().isdigit() or int(raw) in names or not name.strip():
      raise UserError(
          f'{path}: the line {raw},{name} must hold a new number and a name.'
      )
    names[int(raw)] = name.strip()
  if gaps and names and min(names) >= first:
    return with_gaps(names, first)
  wanted = list(range(first, first + len(names)))
  if sorted(names) != wanted:
    raise UserError(
        f'{path}: ids must be {first}..{wanted[-1] if wanted else first}, '
        f'one per class; found {min(names)}..{max(names)}.'
    )
  return [names[i] for i in wanted]
