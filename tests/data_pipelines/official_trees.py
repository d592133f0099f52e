"""Miniature official downloads of HMDB51, ARID and EGTEA Gaze+.

Each has 3 classes of 4 clips. In split N clip N of every class is tested on.
"""

import pathlib

from tests.data_pipelines import coded_clips

_AVI = next(f for f in coded_clips.FORMATS if f.name == 'mpeg4_avi')
_MP4 = coded_clips.FORMATS[0]

# Names as they are: each of these characters is in a real one.
HMDB_CLIPS = {
    'climb_stairs': [
        'Just_Say_NO_to_AQUA_DOTS!_climb_stairs_l_nm_np1_ba_med_0.avi',
        'Rocky_&_Co__climb_stairs_f_cm_np1_fr_med_1.avi',
        '#20_Steps_climb_stairs_u_nm_np1_fr_goo_2.avi',
        'up_and_down_climb_stairs_u_nm_np1_fr_goo_3.avi',
    ],
    'flic_flac': [
        'BHS___FlickFlack_[Tutorial]_flic_flac_f_cm_np1_le_med_0.avi',
        'turnles!!_flic_flac_f_cm_np1_le_med_5.avi',
        'Geena_und_die_Radschl_ge___;-)_flic_flac_f_cm_np1_ri_med_1.avi',
        'a flip, and another_flic_flac_f_cm_np1_ri_bad_2.avi',
    ],
    'sword': [
        "Zorro's_(Funny_Fight_Scene)_sword_f_cm_np2_le_goo_0.avi",
        'Duel_=_50%_sword_f_cm_np2_fr_med_2.avi',
        'draw_sword_and_fight_sword_f_cm_np2_fr_med_3.avi',
        'Mark_of_Zorro_-_Fight_!_sword_u_cm_np2_fr_goo_3.avi',
    ],
}
ARID_CLASSES = {0: 'Drink', 4: 'Push', 10: 'Wave'}
EGTEA_CLASSES = ('Inspect/Read recipe', 'Open fridge', 'Take bowl')
_SESSIONS = ('OP01-R01-PastaSalad', 'P02-R05-Cheeseburger')


def _write(path: pathlib.Path, real: bool, frames: int):
  path.parent.mkdir(parents=True, exist_ok=True)
  if real:
    form = _AVI if path.suffix == '.avi' else _MP4
    coded_clips.write(path, form, num_frames=frames)
  else:
    path.write_bytes(b'clip')


def make_hmdb(
    root: pathlib.Path,
    videos: str = 'videos',
    lists: str = 'test_train_splits',
    real: bool = False,
) -> pathlib.Path:
  """<videos>/<class>/<clip>.avi and <lists>/<class>_test_splitN.txt.

  In split N the clip after clip N is unused, the other two are trained on.
  """
  folder = root / lists
  folder.mkdir(parents=True, exist_ok=True)
  for name, clips in HMDB_CLIPS.items():
    for number, clip in enumerate(clips):
      _write(root / videos / name / clip, real, 20 + number)
    for split in (1, 2, 3):
      flags = {split - 1: 2, split % 4: 0}
      lines = [f'{c} {flags.get(k, 1)} \n' for k, c in enumerate(clips)]
      (folder / f'{name}_test_split{split}.txt').write_text(''.join(lines))
  return root


def hmdb_key(name: str, number: int) -> str:
  """Clip 1..4 of a class."""
  return f'{name}/{HMDB_CLIPS[name][number - 1]}'


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
  """Lists with tabs; in split N clip N is tested on, clip 4 is 'others'.

  Args:
    root: becomes data.root.
    videos, lists: folders below it.
    real: whether clips can be decoded.
    index: whether lists have a first column with a running number.
  """
  for name in ARID_CLASSES.values():
    for number in range(1, 5):
      _write(root / videos / arid_key(name, number), real, 20 + number)
  for split in (1, 2):
    rest = {'train': [3 - split, 3], 'test': [split]}
    rest['others' if split == 1 else 'other'] = [4]
    for part, numbers in rest.items():
      rows = [
          (str(label), arid_key(name, number))
          for label, name in ARID_CLASSES.items()
          for number in numbers
      ]
      if index:
        rows = [(str(k), *row) for k, row in enumerate(rows)]
      name = f'split_{split - 1}/split{split - 1}_{part}.txt'
      file = root / lists / name
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(''.join('\t'.join(row) + '\n' for row in rows))
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
    first: int = 1,
) -> pathlib.Path:
  """Lists of names and numbers; class names with ';' and leading spaces.

  Args:
    root: becomes data.root.
    videos, lists: folders below it.
    real: whether clips can be decoded.
    first: number of the first class in the table of names.
  """
  for label in range(3):
    for number in range(1, 5):
      _write(root / videos / egtea_key(label, number), real, 20 + number)
  for split in (1, 2, 3):
    for part in ('train', 'test'):
      lines = [
          f'{egtea_clip(label, number)} {label + 1} {label + 7} 3 12 \n'
          for label in range(3)
          for number in range(1, 5)
          if (number == split) == (part == 'test')
      ]
      file = root / lists / f'{part}_split{split}.txt'
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(''.join(lines))
  table = root / lists / 'raw_annotations' / 'cls_label_index.csv'
  table.parent.mkdir(parents=True, exist_ok=True)
  table.write_text(
      '# Action ID; Action Label; Verb Label; Noun Label(s)\n'
      + ''.join(
          f'{k}; {name}; {name.split()[0]}; {name.split()[1]}\n'
          for k, name in enumerate(EGTEA_CLASSES, first)
      )
  )
  return root


def write_lines(path: pathlib.Path, lines: list[str]) -> str:
  """A text file; its path as the config wants it."""
  path.write_text(''.join(line + '\n' for line in lines))
  return str(path)
