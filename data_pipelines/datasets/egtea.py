"""EGTEA Gaze+: clips of kitchen actions, cut from head camera sessions.

Source: https://cbs.ic.gatech.edu/fpv/ (cropped clips, action annotations); the
order and numbering as EV-CLIP reads them (dassl/data/datasets/egtea.py).
Differs: class numbers in `cls_label_index.csv` may begin with 0 or with 1.
"""

import csv
import pathlib

from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, text
from data_pipelines.lists.classes import Classes


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
_CLASSES = 106


def _read_classes(folder: pathlib.Path | None) -> Classes | None:
  """Reads the names by number, from 0 or from 1."""
  if not (file := text.first(folder, _CLASS_FILES)):
    return None
  parse, wanted = _CLASS_FILES[file.relative_to(folder).as_posix()]
  names = {}
  for number, line in text.lines(file):
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
      raise text.wrong(file, number, wanted, line)
  lowest, highest = min(names, default=0), max(names, default=0)
  last = highest == _CLASSES or lowest == 1 and len(names) == highest
  first = int(lowest > 0 or highest >= _CLASSES)
  if not names or first > lowest or first and not last:
    raise UserError(
        f'{file}: wanted class numbers from 0 or from 1, found {len(names)} '
        f'numbers, {lowest}..{highest}. If some are left out, keep the first '
        f'or the last class (0 or {_CLASSES}), which tells where they begin.'
    )
  raw = classes.with_gaps(names, first)
  classes.check_distinct(raw, str(file))
  return Classes.of(raw, file.name)


DESCRIPTION = Description(
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
    folders=('egtea',),
    video_places=('cropped_clips', 'videos', '.'),
    list_places=(
        'action_annotation', 'splits', 'lists', '.', '../action_annotation',
    ),  # fmt: skip
    list_files=lambda role, split: (f'{role}_split{split}.txt',),
    read_classes=_read_classes,
    first_number=1,
    class_files=tuple(_CLASS_FILES),
)
