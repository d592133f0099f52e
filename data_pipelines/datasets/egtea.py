"""EGTEA Gaze+: clips of kitchen actions, cut from head camera sessions.

Source: https://cbs.ic.gatech.edu/fpv/ (cropped clips, action annotations); the
order and numbering as EV-CLIP reads them (dassl/data/datasets/egtea.py).
Differs: class numbers in `cls_label_index.csv` may begin with 0 or with 1.
"""

import pathlib
import re

from data_pipelines.clip_lists import class_names, labels, list_files
from data_pipelines.clip_lists.items import Item, Listing
from data_pipelines.datasets import official, official_files
from data_pipelines.datasets.collection import Collection
from data_pipelines.datasets.description import Description
from evclip_jax.errors import UserError

_CSV_LINE = re.compile(
    r'\s*(?P<number>\d+)\s*;\s*(?P<name>[^;]*[^;\s])\s*(;.*)?'
)
_INDEX_LINE = re.compile(r'\s*(?P<name>.*\S)\s+(?P<number>\d+)\s*')
_CSV_GRAMMAR = (_CSV_LINE, '<number>; <name>; ...')
# File -> (grammar of a line, the grammar in words).
_CLASS_FILES = {
    'raw_annotations/cls_label_index.csv': _CSV_GRAMMAR,
    'cls_label_index.csv': _CSV_GRAMMAR,
    'action_idx.txt': (_INDEX_LINE, '<name> <number>'),
}
_GRAMMAR = '<clip> <action number> <verb> <nouns>'
_LINE = re.compile(r'\s*(\S+)\s+(\d+)(\s+\d+)*\s*')
# OP01-R01-PastaSalad-66680-68130-F001597-F001640 <action> <verb> <nouns>
_OFFICIAL = re.compile(r'\s*\S+-F\d+-F\d+(\.\w+)?(\s+\d+){3,}\s*')


def read(data, split: int, report_folder: str | None = None) -> Collection:
  """The lists and classes of EGTEA Gaze+; see `official.read`."""
  return official.read(EGTEA, data, split, report_folder)


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
  return list_files.read(file, key, root)


def _items(file: pathlib.Path) -> list[Item]:
  items = []
  for number, line in official_files.lines(file):
    match = _LINE.fullmatch(line)
    if not match:
      raise official_files.wrong(file, number, _GRAMMAR, line)
    name, label = match.group(1), int(match.group(2))
    items.append(Item(f'{session(name)}/{name}', label, None, None, number))
  return items


def _read_classes(folder: pathlib.Path | None) -> labels.ClassTable | None:
  """The names by number; see `Differs`."""
  for place, grammar in _CLASS_FILES.items() if folder else ():
    if (folder / place).is_file():
      return _table(folder / place, *grammar)
  return None


def _table(
    file: pathlib.Path, line_grammar: re.Pattern, wanted: str
) -> labels.ClassTable:
  """The classes of one file.

  Raises:
    UserError: numbers that do not begin with 0 or 1, leave gaps or repeat.
  """
  names = {}
  for number, line in official_files.lines(file):
    match = line_grammar.fullmatch(line)
    if match:
      label = int(match['number'])
      if label in names:
        raise UserError(
            f'{file}, line {number}: the number {label} is there twice.'
        )
      names[label] = match['name']
    elif number > 1:
      # The first line is a header.
      raise official_files.wrong(file, number, wanted, line)
  order = sorted(names)
  first = order[0] if order else 0
  if not order or first > 1 or order != list(range(first, first + len(order))):
    raise UserError(
        f'{file}: wanted class numbers from 0 or from 1 without gaps, found '
        f'{len(order)} numbers, {first}..{max(order, default=0)}.'
    )
  raw = [names[number] for number in order]
  class_names.check_distinct(raw, str(file))
  return labels.ClassTable.of(raw, file.name)


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
