"""Miniature official downloads of HMDB51, ARID and EGTEA Gaze+.

Each has 3 classes of 4 clips. In split N clip N of every class is tested on.
`videos` and `lists` are folders below `root`, which becomes data.root; `real`
clips can be decoded.
"""

import pathlib

from tests.data_pipelines.trees import write_lines, write_numbered

# Each of these characters is in a real name.
_ODD = ('#20_DOTS!', 'BHS___[Tutorial]_;-)', "a flip, Zorro's_(Scene)")
HMDB_CLIPS = {
    name: [
        f'{odd}_{name}_f_cm_np1_fr_med_{number}.avi'
        for number, odd in enumerate((*_ODD, f'Rocky_&_Co__=_50%_{name}_and'))
    ]
    for name in ('climb_stairs', 'flic_flac', 'sword')
}
ARID_CLASSES = {0: 'Drink', 4: 'Push', 10: 'Wave'}
EGTEA_CLASSES = ('Inspect/Read recipe', 'Open fridge', 'Take bowl')
_SESSIONS = ('OP01-R01-PastaSalad', 'P02-R05-Cheeseburger')


def hmdb_key(name: str, number: int) -> str:
  """Clip 1..4 of a class."""
  return f'{name}/{HMDB_CLIPS[name][number - 1]}'


def make_hmdb(
    root: pathlib.Path,
    videos: str = 'videos',
    lists: str = 'test_train_splits',
    real: bool = False,
) -> pathlib.Path:
  """In split N the clip after clip N is unused, the other two train."""
  write_numbered(root / videos, hmdb_key, HMDB_CLIPS, real)
  for name, clips in HMDB_CLIPS.items():
    for split in (1, 2, 3):
      flags = {split - 1: 2, split % 4: 0}
      lines = [f'{c} {flags.get(k, 1)} ' for k, c in enumerate(clips)]
      write_lines(root / lists / f'{name}_test_split{split}.txt', *lines)
  return root


def arid_key(name: str, number: int) -> str:
  """Drink/Drink_1_2.mp4."""
  return f'{name}/{name}_1_{number}.mp4'


def make_arid(
    root: pathlib.Path,
    videos: str = 'clips_v1.5',
    lists: str = 'list_cvt',
    real: bool = False,
    index: bool = True,
) -> pathlib.Path:
  """Clip 4 is 'others'; lists may begin with a column of numbers (`index`)."""
  write_numbered(root / videos, arid_key, ARID_CLASSES.values(), real)
  for split in (1, 2):
    rest = {'train': [3 - split, 3], 'test': [split]}
    rest['others' if split == 1 else 'other'] = [4]
    for part, numbers in rest.items():
      rows = [
          f'{label}\t{arid_key(name, number)}'
          for label, name in ARID_CLASSES.items()
          for number in numbers
      ]
      rows = [f'{k}\t{row}' if index else row for k, row in enumerate(rows)]
      name = f'split_{split - 1}/split{split - 1}_{part}.txt'
      write_lines(root / lists / name, *rows)
  return root


def egtea_clip(label: int, number: int) -> str:
  """The name of clip 1..4 of a class 0..2, as lists write it."""
  frame = 1000 * label + 10 * number
  begin = 40 * frame
  return (
      f'{_SESSIONS[number % 2]}-{begin}-{begin + 1450}-'
      f'F{frame:06d}-F{frame + 43:06d}'
  )


def egtea_key(label: int, number: int) -> str:
  """The same with session and suffix."""
  return f'{_SESSIONS[number % 2]}/{egtea_clip(label, number)}.mp4'


def make_egtea(
    root: pathlib.Path,
    videos: str = 'cropped_clips',
    lists: str = 'action_annotation',
    real: bool = False,
) -> pathlib.Path:
  """Lists of names and numbers; class names with ';' and leading spaces."""
  write_numbered(root / videos, egtea_key, range(3), real)
  for split in (1, 2, 3):
    for part in ('train', 'test'):
      lines = [
          f'{egtea_clip(label, number)} {label + 1} {label + 7} 3 12 '
          for label in range(3)
          for number in range(1, 5)
          if (number == split) == (part == 'test')
      ]
      write_lines(root / lists / f'{part}_split{split}.txt', *lines)
  write_lines(
      root / lists / 'raw_annotations' / 'cls_label_index.csv',
      '# Action ID; Action Label; Verb Label; Noun Label(s)',
      *(
          f'{k}; {name}; {name.split()[0]}; {name.split()[1]}'
          for k, name in enumerate(EGTEA_CLASSES, 1)
      ),
  )
  return root
