"""ARID v1.5: actions in the dark, two official splits with validation.

Source: https://xuyu0010.github.io/arid.html; the lists of list_cvt/ as EV-CLIP
reads them (dassl/data/datasets/arid.py).
Differs: split 1 is split_0 and split 2 is split_1. (In EV-CLIP, seed 1 means
  split_0, seeds 2 and 3 mean split_1.)
"""

import pathlib
import re

from data_pipelines.datasets.description import Description
from data_pipelines.lists import grammars, text
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.lists.locate import folder_of

CLASSES = (
    ('Drink', 'Jump', 'Pick', 'Pour', 'Push', 'Run')
    + ('Sit', 'Stand', 'Turn', 'Walk', 'Wave')
)
# The second split's validation list is called split1_other.txt, without an s.
_FILES = {'train': ['train'], 'val': ['others', 'other'], 'test': ['test']}
_GRAMMAR = 'tab-separated columns, the last two <label> and <path>'


def class_of(key: str) -> str:
  """Returns the class of a clip: its folder, or the start of its file name."""
  folder, own = folder_of(key), key.rsplit('/', 1)[-1].split('_', 1)[0]
  return own if own in CLASSES and folder not in CLASSES else folder


def _list_files(role: str, split: int) -> list[str]:
  # The second split's file is 'other', so that is tried first.
  words = _FILES[role][:: -1 if split == 2 else 1]
  folders = f'split_{split - 1}/', ''
  return [f'{f}split{split - 1}_{word}.txt' for f in folders for word in words]


def _parse(file: pathlib.Path, head: str, key: str, lists) -> Listing | None:
  """Reads an official list, or one cut from it, with tab-separated columns."""
  if not _cells(head) and not re.fullmatch(r'split\d_\w+\.txt', file.name):
    return None
  items = []
  for number, line in text.lines(file, key):
    if cells := _cells(line):
      label, path = cells
      items.append(Item(path.replace('\\', '/'), int(label), line=number))
    elif number > 1:
      # The first line may be a header.
      raise text.wrong(file, number, _GRAMMAR, line)
  return grammars.listing(file, key, items)


def _cells(line: str) -> tuple[str, str] | None:
  """Returns (label, path) of a line of an official list, else None."""
  cells = [cell.strip() for cell in line.split('\t')]
  if len(cells) < 2 or not cells[-2].isdigit() or '.' not in cells[-1]:
    return None
  # path<TAB>label<TAB>start<TAB>end is another grammar.
  if cells[-1].replace('.', '', 1).isdigit():
    return None
  return cells[-2], cells[-1]


DESCRIPTION = Description(
    name='arid',
    title='ARID',
    homepage='https://xuyu0010.github.io/arid.html',
    wanted=(
        'ARID v1.5 needs a folder with clips_v1.5/<class>/*.mp4 and '
        'list_cvt/split_0/split0_train.txt in it (--config.data.root=DIR).\n  '
        'Get ARID v1.5 from https://xuyu0010.github.io/arid.html and unpack it '
        'there.'
    ),
    splits=(1, 2),
    roles=('train', 'val', 'test'),
    folders=('ARID_v1_5_211015', 'arid/ARID_v1_5_211015'),
    video_places=('clips_v1.5', 'clips', 'videos', '.'),
    list_places=('list_cvt', 'lists', 'splits', '.', '../list_cvt'),
    list_files=_list_files,
    read_classes=lambda _: Classes.of(CLASSES, 'the published order of ARID'),
    class_of=class_of,
    parse=_parse,
)
