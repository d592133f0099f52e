"""Something-Something V2: short clips of what hands do with things.

Source: https://www.qualcomm.com/developer/software/something-something-v-2-dataset;
ViFi-CLIP, datasets_splits/ssv2_splits (lists of `<id>.webm label`).
Differs: EV-CLIP's reader does not know `.webm`; here any suffix will do.
"""

import json
import pathlib

from data_pipelines.datasets import official, official_files
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, grammars, locate
from data_pipelines.lists.items import Item, Listing
from data_pipelines.stores import files
from data_pipelines.video import image_folder

_HOMEPAGE = 'https://www.qualcomm.com/developer/software/something-something-v-2-dataset'
# Qualcomm's names and 20BN's older ones.
_LABELS = ('labels.json', 'something-something-v2-labels.json')
_FILES = {
    'train': ('train.json', 'something-something-v2-train.json'),
    'test': ('validation.json', 'something-something-v2-validation.json'),
}


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes; see `official.read`.

  The official validation list is the one to report on. data.test_list may be
  the published answers of the test list (test-answers.csv).
  """
  return official.read(SSV2, data, split, report_folder, roles)


def template(text: str) -> str:
  """'Holding [something] next to [something]' without brackets."""
  return ' '.join(text.replace('[', '').replace(']', '').split())


def _has_videos(folder: pathlib.Path) -> bool:
  return any(
      files.is_clip(path.name)
      or path.name.isdigit()
      and image_folder.is_frame_folder(path)
      for path in folder.iterdir()
  )


def _find(folder: pathlib.Path, names) -> pathlib.Path | None:
  return next((folder / n for n in names if (folder / n).is_file()), None)


def _read_list(
    folder: pathlib.Path, role: str, split: int
) -> Listing | None:
  file = _find(folder, _FILES[role])
  return _parse(file, f'data.{role}_list') if file else None


def _read_given(file: str, key: str, root: str) -> Listing:
  for path in (pathlib.Path(file).expanduser(), pathlib.Path(root) / file):
    if path.is_file() and path.suffix == '.json':
      return _parse(path, key)
    if path.is_file():
      with open(path, encoding='utf-8-sig', errors='replace') as opened:
        number, semicolon, _ = opened.readline().partition(';')
      if semicolon and number.strip('"').isdigit():
        return _answers(path, key)
      break
  return grammars.read(file, key, root)


def _parse(file: pathlib.Path, key: str) -> Listing:
  """train.json and validation.json: objects with id, label and template."""
  items = []
  try:
    for line, entry in enumerate(_json(file), 1):
      # `label` is the sentence about this clip; `template` is the class.
      name = template(entry['template'])
      items.append(Item(f'{entry["id"]}.webm', name, None, None, line))
  except (KeyError, TypeError, AttributeError) as e:
    raise UserError(
        f'{file} ({key}), entry {len(items) + 1}: wanted an id and a template '
        f'({type(e).__name__}: {e}).'
    ) from e
  if not items:
    raise UserError(f'the list {file} ({key}) holds no clips.')
  return Listing(file, key, tuple(items))


def _answers(file: pathlib.Path, key: str) -> Listing:
  """test-answers.csv: lines `id;class`."""
  items = []
  for line, row in official_files.cells(file, ';'):
    if len(row) != 2 or not row[0].isdigit():
      raise UserError(
          f'{file} ({key}), line {line}: wanted id;class, found '
          f'{";".join(row)!r}.'
      )
    items.append(Item(f'{row[0]}.webm', template(row[1]), None, None, line))
  return Listing(file, key, tuple(items))


def _read_classes(folder: pathlib.Path | None) -> locate.ClassTable | None:
  file = folder and _find(folder, _LABELS)
  if not file:
    return None
  numbers = _json(file)
  try:
    names = {int(number): template(n) for n, number in numbers.items()}
  except (AttributeError, TypeError, ValueError) as e:
    raise UserError(
        f'{file}: wanted classes with numbers from 0 '
        f'({type(e).__name__}: {e}).'
    ) from e
  if not names or min(names) < 0 or len(names) < len(numbers):
    raise UserError(
        f'{file}: wanted classes with numbers from 0, each of them once.'
    )
  # A file cut to some classes keeps their numbers.
  raw = classes.with_gaps(names, 0)
  return locate.ClassTable.of(raw, file.name)


def _json(file: pathlib.Path):
  try:
    return json.loads(file.read_text(encoding='utf-8-sig'))
  except (OSError, ValueError) as e:
    raise UserError(f'{file} cannot be read as JSON: {e}.') from e


SSV2 = Description(
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
    video_places=(
        '20bn-something-something-v2',
        'something-something-v2',
        'SSv2/20bn-something-something-v2',
        'videos',
        'clips',
        'frames',
        'rawframes',
        '.',
    ),
    list_places=('labels', 'annotations', '.', '../labels', '../annotations'),
    has_lists=lambda folder: any(
        _find(folder, names) for names in (_LABELS, *_FILES.values())
    ),
    list_title=lambda role, split: _FILES[role][0],
    read_list=_read_list,
    read_classes=_read_classes,
    class_of=lambda key: '',
    read_given=_read_given,
    has_videos=_has_videos,
    class_file=_LABELS[0],
    only_listed=True,
)
