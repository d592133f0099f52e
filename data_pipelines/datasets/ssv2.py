"""Something-Something V2: short clips of hands that do things with objects.

Source: https://www.qualcomm.com/developer/software/something-something-v-2-dataset;
ViFi-CLIP, datasets_splits/ssv2_splits (lists of `<id>.webm label`).
Differs: EV-CLIP's reader does not know `.webm`; here any video suffix will do.
"""

import functools
import json
import pathlib

from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, grammars, text
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.stores import files

_HOMEPAGE = 'https://www.qualcomm.com/developer/software/something-something-v-2-dataset'
# Qualcomm's names and 20BN's older ones.
_LABELS = ('labels.json', 'something-something-v2-labels.json')
_FILES = {
    'train': ('train.json', 'something-something-v2-train.json'),
    'test': ('validation.json', 'something-something-v2-validation.json'),
}


def template(sentence: str) -> str:
  """Removes the brackets of 'Holding [something] next to [something]'."""
  return ' '.join(sentence.replace('[', '').replace(']', '').split())


def _parse(file: pathlib.Path, head: str, key: str, lists) -> Listing | None:
  """Reads train.json, validation.json, test-answers.csv; else None."""
  number, semicolon, _ = head.partition(';')
  if file.suffix != '.json':
    is_answers = semicolon and number.strip('" ').isdecimal()
    return _answers(file, key) if is_answers else None
  items = []
  try:
    for line, entry in enumerate(_json(file), 1):
      # `label` is the sentence about this clip; `template` is the class.
      name = template(entry['template'])
      items.append(Item(f'{entry["id"]}.webm', name, line=line))
  except (KeyError, TypeError, AttributeError) as e:
    raise UserError(
        f'{file} ({key}), entry {len(items) + 1}: wanted an id and a template '
        f'({type(e).__name__}: {e}).'
    ) from e
  return grammars.listing(file, key, items)


def _answers(file: pathlib.Path, key: str) -> Listing:
  """Reads test-answers.csv, lines `id;class`."""
  items = []
  for line, row in text.cells(file, ';'):
    if len(row) != 2 or not row[0].isdigit():
      raise UserError(
          f'{file} ({key}), line {line}: wanted id;class, found '
          f'{";".join(row)!r}.'
      )
    items.append(Item(f'{row[0]}.webm', template(row[1]), line=line))
  return Listing(file, key, tuple(items))


def _read_classes(folder: pathlib.Path | None) -> Classes | None:
  if not (file := text.first(folder, _LABELS)):
    return None
  numbers, wanted = _json(file), f'{file}: wanted classes with numbers from 0'
  try:
    names = {int(number): template(n) for n, number in numbers.items()}
  except (AttributeError, TypeError, ValueError) as e:
    raise UserError(f'{wanted} ({type(e).__name__}: {e}).') from e
  if not names or min(names) < 0 or len(names) < len(numbers):
    raise UserError(f'{wanted}, each of them once.')
  # A file cut to some classes keeps their numbers.
  return Classes.of(classes.with_gaps(names, 0), file.name)


def _json(file: pathlib.Path):
  try:
    return json.loads(text.read(file))
  except ValueError as e:
    raise UserError(f'{file} cannot be read as JSON: {e}.') from e


DESCRIPTION = Description(
    name='ssv2',
    title='Something-Something V2',
    homepage=_HOMEPAGE,
    wanted=(
        'Something-Something V2 needs a folder with '
        '20bn-something-something-v2/*.webm and labels/ with labels.json, '
        'train.json and validation.json in it (--config.data.root=DIR).\n  '
        f'Get the parts of the archive and the labels from {_HOMEPAGE}.'
    ),
    splits=(1,),
    roles=('train', 'test'),
    folders=('SSv2',),
    video_places=(
        '20bn-something-something-v2', 'something-something-v2', 'videos',
        'clips', 'frames', 'rawframes', '.',
    ),  # fmt: skip
    list_places=('labels', 'annotations', '.', '../labels', '../annotations'),
    list_files=lambda role, split: _FILES[role],
    read_classes=_read_classes,
    parse=_parse,
    has_videos=functools.partial(
        files.has_clips, first=0, last=0, frames=r'\d+'
    ),
    class_files=_LABELS,
    only_listed=True,
    untrained_classes=True,
)
