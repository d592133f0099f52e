"""ARID v1.5: actions in the dark, two official splits with validation.

Source: https://xuyu0010.github.io/arid.html; the lists of list_cvt/ as EV-CLIP
reads them (dassl/data/datasets/arid.py).
Differs: split 1 is split_0 and split 2 is split_1. (There a seed of 1 means
  split_0, 2 and 3 mean split_1.)
"""

import pathlib

from data_pipelines.datasets import official, official_files
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import Description
from data_pipelines.lists import grammars, locate
from data_pipelines.lists.items import Item, Listing

CLASSES = (
    ('Drink', 'Jump', 'Pick', 'Pour', 'Push', 'Run')
    + ('Sit', 'Stand', 'Turn', 'Walk', 'Wave')
)
# The second split's validation list is called split1_other.txt, without an s.
_FILES = {
    'train': ('train',),
    'val': ('others', 'other'),
    'test': ('test',),
}
_GRAMMAR = 'columns with tabs between them, the last two <label> and <path>'


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes of ARID; see `official.read`."""
  return official.read(ARID, data, split, report_folder, roles)


def class_of(key: str) -> str:
  """The class of a clip: its folder's; in a flat folder, its file's."""
  folder, _, name = key.rpartition('/')
  folder = folder.rsplit('/', 1)[-1]
  if folder in CLASSES:
    return folder
  own = name.split('_', 1)[0]
  return own if own in CLASSES else folder


def _has_lists(folder: pathlib.Path) -> bool:
  return any(folder.glob('split_?/split?_*.txt')) or any(
      folder.glob('split?_*.txt')
  )


def _list_title(role: str, split: int) -> str:
  # Of 'others' and 'other' the second split has the latter.
  name = _FILES[role][-1 if split == 2 else 0]
  return f'split{split - 1}_{name}.txt'


def _read_list(folder: pathlib.Path, role: str, split: int) -> Listing | None:
  number = split - 1
  for place in (folder / f'split_{number}', folder):
    for name in _FILES[role]:
      file = place / f'split{number}_{name}.txt'
      if file.is_file():
        return Listing(file, 'official list', tuple(_items(file)))
  return None


def _read_given(file: str, key: str, root: str) -> Listing:
  """A list of one's own, or one cut from an official list."""
  path, line = official_files.first_line(file, root)
  if _cells(line):
    return Listing(path, key, tuple(_items(path)), first_number=0)
  return grammars.read(file, key, root)


def _items(file: pathlib.Path) -> list[Item]:
  items = []
  for number, line in official_files.lines(file):
    cells = _cells(line)
    if cells:
      label, path = cells
      path = path.replace('\\', '/')
      items.append(Item(path, int(label), None, None, number))
    elif number > 1:
      # The first line may be a header.
      raise official_files.wrong(file, number, _GRAMMAR, line)
  return items


def _cells(line: str) -> tuple[str, str] | None:
  """(label, path) of a line of an official list, else None."""
  cells = [cell.strip() for cell in line.split('\t')]
  if len(cells) < 2 or not cells[-2].isdigit() or '.' not in cells[-1]:
    return None
  # path<TAB>label<TAB>start<TAB>end is another grammar.
  if cells[-1].replace('.', '', 1).isdigit():
    return None
  return cells[-2], cells[-1]


def _read_classes(folder: pathlib.Path | None) -> locate.ClassTable:
  del folder
  return locate.ClassTable.of(CLASSES, 'the published order of ARID')


ARID = Description(
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
    video_places=(
        'clips_v1.5',
        'ARID_v1_5_211015/clips_v1.5',
        'arid/ARID_v1_5_211015/clips_v1.5',
        'clips',
        'videos',
        '.',
    ),
    list_places=(
        'list_cvt',
        'ARID_v1_5_211015/list_cvt',
        'arid/ARID_v1_5_211015/list_cvt',
        'lists',
        'splits',
        '.',
        # data.root may be the folder of the class folders itself.
        '../list_cvt',
    ),
    has_lists=_has_lists,
    list_title=_list_title,
    read_list=_read_list,
    read_classes=_read_classes,
    class_of=class_of,
    read_given=_read_given,
)
