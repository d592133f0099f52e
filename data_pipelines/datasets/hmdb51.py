"""HMDB51: 51 classes, three official splits of 70 + 30 clips per class.

Source: https://serre.lab.brown.edu/hmdb51.html (videos and splits); ViFi-CLIP,
labels/hmdb_51_labels.csv (order of classes; from 0, kick_ball is 20 and kick
21, sword_exercise 44 and sword 45; its lists swap the numbers of each pair).
Differs: clips that a split marks as unused (0) are in no list. EZ-CLIP's
  training list has them; use it as data.train_list to reproduce that.
"""

import pathlib
import re

from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import text
from data_pipelines.lists.classes import Classes, letters
from data_pipelines.lists.clips import Item, Listing

# The official splits do not number the classes; this is ViFi-CLIP's order.
_CLASSES = (
    'brush_hair cartwheel catch chew clap climb climb_stairs dive draw_sword '
    'dribble drink eat fall_floor fencing flic_flac golf handstand hit hug '
    'jump kick_ball kick kiss laugh pick pour pullup punch push pushup '
    'ride_bike ride_horse run shake_hands shoot_ball shoot_bow shoot_gun sit '
    'situp smile smoke somersault stand swing_baseball sword_exercise sword '
    'talk throw turn walk wave'
)
CLASSES = tuple(_CLASSES.split())
_SAME = frozenset(map(letters, CLASSES))
# 'draw_sword' before 'sword'.
_LONGEST_FIRST = sorted(CLASSES, key=len, reverse=True)
_FLAGS = {'train': '1', 'test': '2'}
# <title>_<class>_<visible parts>_<camera>_<people>_<side>_<quality>_<number>
_CLIP_NAME = re.compile(
    r'(.+)_[a-z]_(?:cm|nm)_np\d+_[a-z]{2}_(?:bad|med|goo)_\d+(?:\.\w+)?',
    re.IGNORECASE,
)


def class_of(key: str) -> str:
  """Returns the class of a clip: its folder, else the one in its file name."""
  folder, _, name = key.rpartition('/')
  folder = folder.rsplit('/', 1)[-1]
  match = _CLIP_NAME.fullmatch(name)
  if not match or letters(folder) in _SAME:
    return folder
  title = f'_{match[1]}'.casefold()
  return next((c for c in _LONGEST_FIRST if title.endswith(f'_{c}')), folder)


def _read_list(folder: pathlib.Path, role: str, split: int) -> Listing | None:
  """Reads the clips of one role from the 51 files of a split."""
  suffix, items = f'_test_split{split}.txt', []
  files = sorted(folder.glob(f'*{suffix}'))
  for file in files:
    raw = file.name.removesuffix(suffix)
    if letters(raw) not in _SAME:
      raise UserError(f'{file}: {raw!r} is not a class of HMDB51.')
    for number, line in text.lines(file):
      # Names may contain spaces and other special characters.
      match = re.fullmatch(r'\s*(.*\S)\s+([012])\s*', line)
      if not match:
        raise text.wrong(file, number, '<clip> <0, 1 or 2>', line)
      name, flag = match.groups()
      if flag == _FLAGS[role]:
        items.append(Item(f'{raw}/{name}', raw, line=number))
  names = {letters(item.label) for item in items}
  absent = [name for name in CLASSES if letters(name) not in names]
  if files and absent:
    print(
        f'note: {folder} has {len(files)} of the {len(CLASSES)} files '
        f'*{suffix}; no clip of {", ".join(absent[:3])}'
        f'{", ..." * (len(absent) > 3)} is in the {role} list.'
    )
  place = folder / f'*{suffix} ({role})'
  return Listing(place, 'official list', tuple(items)) if files else None


DESCRIPTION = Description(
    name='hmdb51',
    title='HMDB51',
    homepage='https://serre.lab.brown.edu/hmdb51.html',
    wanted=(
        'HMDB51 needs a folder with videos/<class>/*.avi and '
        'test_train_splits/*_test_split1.txt in it (--config.data.root=DIR).'
        '\n  Get hmdb51_org.rar and test_train_splits.rar from '
        'https://serre.lab.brown.edu/hmdb51.html and unpack them there (the '
        'first one holds one archive per class, to be unpacked too).'
    ),
    splits=(1, 2, 3),
    roles=('train', 'test'),
    folders=('hmdb51', 'HMDB51'),
    video_places=(
        'videos', 'video_data', 'hmdb51_org', 'frames', 'rawframes', '.',
    ),  # fmt: skip
    list_places=(
        'test_train_splits', 'testTrainMulti_7030_splits',
        'test_train_splits/testTrainMulti_7030_splits', 'splits', 'lists', '.',
        '../test_train_splits', '../testTrainMulti_7030_splits',
    ),  # fmt: skip
    list_files=lambda role, split: (f'*_test_split{split}.txt',),
    read_list=_read_list,
    read_classes=lambda _: Classes.of(CLASSES, "ViFi-CLIP's order of HMDB51"),
    class_of=class_of,
)
