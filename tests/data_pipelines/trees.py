"""Miniature data sets of small clips in the layouts that people have."""

import pathlib

import ml_collections

from evclip_jax.config import schema
from tests.data_pipelines import coded_clips

CLASSES = ('ApplyEyeMakeup', 'HandstandPushups', 'YoYo')
# UCF-101's own spelling: this class's files are called otherwise.
_FILE_NAMES = {'HandstandPushups': 'HandStandPushups'}
GROUPS = 4
_AVI = next(f for f in coded_clips.FORMATS if f.name == 'xvid_tag_b_avi')


def data_config(**values) -> ml_collections.ConfigDict:
  """config.data with other values, locked as in a run."""
  data = schema.base().data
  # Small frames: tests count and compare, they do not look.
  data.update(resize_height=48, resize_width=64, crop_pixels=32, workers=1)
  if values.get('on_missing') == 'skip':
    # These trees are so small that a clip or two are most of a list.
    data.most_missing = 1.0
  data.update(values)
  return data.lock()


def clip_key(class_name: str, group: int, clip: int = 1) -> str:
  """Class/v_Class_g01_c01.avi."""
  name = _FILE_NAMES.get(class_name, class_name)
  return f'{class_name}/v_{name}_g{group:02d}_c{clip:02d}.avi'


def make_ucf(
    root: pathlib.Path,
    videos: str = 'UCF-101',
    lists: str = 'ucfTrainTestlist',
    real: bool = True,
) -> pathlib.Path:
  """UCF-101 with 3 classes of 4 groups; group 1 is the test set of split 1.

  Args:
    root: becomes data.root.
    videos: where the class folders go, below root.
    lists: where the official lists go; '' = none.
    real: False writes files of 4 bytes, for tests that decode nothing.
  """
  for number, name in enumerate(CLASSES):
    for group in range(1, GROUPS + 1):
      path = root / videos / clip_key(name, group)
      path.parent.mkdir(parents=True, exist_ok=True)
      if real:
        coded_clips.write(path, _AVI, num_frames=20 + 8 * number + group)
      else:
        path.write_bytes(b'RIFF')
  if lists:
    folder = root / lists
    folder.mkdir(parents=True, exist_ok=True)
    # Real files have Windows line ends here and there.
    lines = [f'{number} {name}\r\n' for number, name in enumerate(CLASSES, 1)]
    (folder / 'classInd.txt').write_bytes(''.join(lines).encode())
    for split in (1, 2, 3):
      write_official(folder, split)
  return root


def write_official(folder: pathlib.Path, split: int):
  """trainlist0N.txt and testlist0N.txt: group N is the test set."""
  train, test = [], []
  for number, name in enumerate(CLASSES, 1):
    for group in range(1, GROUPS + 1):
      key = clip_key(name, group)
      if group == split:
        test.append(key)
      else:
        train.append(f'{key} {number}')
  (folder / f'trainlist0{split}.txt').write_text('\n'.join(train) + '\n')
  (folder / f'testlist0{split}.txt').write_text('\n'.join(test) + '\n')


def write_vifi(path: pathlib.Path, groups, classes=CLASSES) -> str:
  """A ViFi-CLIP list: file names without folders, classes from 0."""
  lines = [
      f'{clip_key(name, group).split("/")[1]} {CLASSES.index(name)}'
      for name in classes
      for group in groups
  ]
  path.write_text('\n'.join(lines) + '\n')
  return str(path)


def make_folder(root: pathlib.Path, counts: dict[str, int]) -> pathlib.Path:
  """DIR/<class>/<number>.mp4 with files of 4 bytes."""
  for name, count in counts.items():
    (root / name).mkdir(parents=True, exist_ok=True)
    for k in range(count):
      (root / name / f'{k}.mp4').write_bytes(b'clip')
  return root
