"""EGTEA Gaze+: clips of kitchen actions, cut from head camera sessions.

Source: https://cbs.ic.gatech.edu/fpv/ (cropped clips, action annotations); the
order and numbering as EV-CLIP reads them (dassl/data/datasets/egtea.py).
Differs: class numbers in `cls_label_index.csv` may begin with 0 or with 1.
"""

import csv
import pathlib
import re
from collections.abc import Callable

from data_pipelines.datasets import official, official_files
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, grammars, locate
from data_pipelines.lists.items import Item, Listing


def _csv_line(line: str) -> tuple[str, str]:
  row = next(csv.reader([line], delimiter=';', skipinitialspace=True), [])
  return tuple(cell.strip() for cell in (*row, '', '')[:2])


def _index_line(line: str) -> tuple[str, str]:
  *name, number = line.strip().rsplit(None, 1)
  return number, ''.join(name)


_CSV_GRAMMAR = (_csv_line, '<number>; <name>; ...')
# File -> (line -> (number, name), the grammar in words).
_CLASS_FILES = {
    'raw_annotations/cls_label_index.csv': _CSV_GRAMMAR,
    'cls_label_index.csv': _CSV_GRAMMAR,
    'action_idx.txt': (_index_line, '<name> <number>'),
}
_GRAMMAR = '<clip> <action number> <verb> <nouns>'
_LINE = re.compile(r'\s*(\S+)\s+(\d+)(\s+\d+)*\s*')
# OP01-R01-PastaSalad-66680-68130-F001597-F001640 <action> <verb> <nouns>
# Cut to two columns, it is told from a list of others by the lack of a suffix.
_OFFICIAL = re.compile(
    r'\s*\S+-F\d+-F\d+((\.\w+)?(\s+\d+){3,}|(\s+\d+){1,2})\s*'
)
_CLASSES = 106


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes of EGTEA Gaze+; see `official.read`."""
  return official.read(EGTEA, data, split, report_folder, roles)


def session(clip: str) -> str:
  """The folder of a clip: the first three parts of its name."""
  return '-'.join(clip.split('-')[:3])


def _class_of(key: str) -> str:
  # Folders are sessions.
  del key
  return ''


def _has_lists(folder: pathlib.Path) -> bool:
  return any(folder.glob('train_split?.txt'))


def _list_title(role: str, split: int) -> str:
  return f'{role}_split{split}.txt'


def _read_list(folder: pathlib.Path, role: str, split: int) -> Listing | None:
  file = folder / _list_title(role, split)
  if not file.is_file():
    return None
  return Listing(file, 'official list', tuple(_items(file)))


def _read_given(file: str, key: str, root: str) -> Listing:
  """A list of one's own, or one cut from an official list."""
  path, line = official_files.first_line(file, root)
  if _OFFICIAL.fullmatch(line):
    return Listing(path, key, tuple(_items(path)), first_number=1)
  return grammars.read(file, key, root)


def _items(file: pathlib.Path) -> list[Item]:
  items = []
  for number, line in official_files.lines(file):
    match = _LINE.fullmatch(line)
    if not match:
      raise official_files.wrong(file, number, _GRAMMAR, line)
    name, label = match.group(1), int(match.group(2))
    items.append(Item(f'{session(name)}/{name}', label, None, None, number))
  return items


def _read_classes(folder: pathlib.Path | None) -> locate.ClassTable | None:
  """The names by number; see `Differs`."""
  for place, grammar in _CLASS_FILES.items() if folder else ():
    if (folder / place).is_file():
      return _table(folder / place, *grammar)
  return None


def _table(
    file: pathlib.Path,
    parse: Callable[[str], tuple[str, str]],
    wanted: str,
) -> locate.ClassTable:
  """The classes of one file.

  Raises:
    UserError: numbers that repeat, or that have gaps and may count from 0 as
      well as from 1.
  """
  names = {}
  for number, line in official_files.lines(file):
    label, name = parse(line)
    if label.isdecimal() and name:
      label = int(label)
      if label in names:
        raise UserError(
            f'{file}, line {number}: the number {label} is there twice.'
        )
      names[label] = name
    elif number > 1:
      # The first line is a header.
      raise official_files.wrong(file, number, wanted, line)
  lowest, highest = min(names, default=0), max(names, default=0)
  first = None
  if lowest == 0 and highest < _CLASSES:
    first = 0
  elif highest == _CLASSES or lowest == 1 and len(names) == highest:
    first = 1
  if not names or first is None or first > lowest:
    raise UserError(
        f'{file}: wanted class numbers from 0 or from 1, found {len(names)} '
        f'numbers, {lowest}..{highest}. If some are left out, keep the first '
        f'or the last class (0 or {_CLASSES}), which tells where they begin.'
    )
  raw = classes.with_gaps(names, first)
  classes.check_distinct(raw, str(file))
  return locate.ClassTable.of(raw, file.name)


EGTEA = Description(
    name='egtea',
    title='EGTEA Gaze+',
    homepage='https://cbs.ic.gatech.edu/fpv/',
    wanted=(
        'EGTEA Gaze+ needs a folder with cropped_clips/<session>/*.mp4 and '
        'action_annotation/train_split1.txt in it (--config.data.root=DIR).\n  '
        'Get the trimmed action clips and the action annotations from '
        'https://cbs.ic.gatech.edu/fpv/ and unpack both there.'
    ),
    splits=(1, 2, 3),
    roles=('train', 'test'),
    video_places=('cropped_clips', 'egtea/cropped_clips', 'videos', '.'),
    list_places=(
        'action_annotation',
        'egtea/action_annotation',
        'splits',
        'lists',
        '.',
        # data.root may be the folder of the sessions itself.
        '../action_annotation',
    ),
    has_lists=_has_lists,
    list_title=_list_title,
    read_list=_read_list,
    read_classes=_read_classes,
    class_of=_class_of,
    first_number=1,
    read_given=_read_given,
    class_file='raw_annotations/cls_label_index.csv',
)
