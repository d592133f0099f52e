"""Miniature data sets of small clips in the layouts that people have."""

import pathlib

import ml_collections

from data_pipelines.loaders import open_data
from evclip_jax.config import schema
from tests.data_pipelines import coded_clips

CLASSES = ('ApplyEyeMakeup', 'HandstandPushups', 'YoYo')
# UCF-101's own spelling: this class's files are called otherwise.
_FILE_NAMES = {'HandstandPushups': 'HandStandPushups'}
_FORMS = {
    '.avi': coded_clips.BY_NAME['xvid_tag_b_avi'],
    '.mp4': coded_clips.FORMATS[0],
}


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


def open_sets(root, seed=1, split=1, run=None, only=False, **values):
  """What `open_data` makes of config.data; `only`: without training clips."""
  data, cache = data_config(root=str(root), **values), root.parent / 'cache'
  return open_data.open_data(data, seed, split, run, str(cache), only)


def write_lines(path: pathlib.Path, *lines: str) -> str:
  """A text file; its path as the config wants it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(''.join(line + '\n' for line in lines))
  return str(path)


def write_clips(root: pathlib.Path, *names: str) -> pathlib.Path:
  """Files of 4 bytes."""
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'clip')
  return root


def make_folder(root: pathlib.Path, counts: dict[str, int]) -> pathlib.Path:
  """DIR/<class>/<number>.mp4 with files of 4 bytes."""
  for name in counts:
    (root / name).mkdir(parents=True, exist_ok=True)
  clips = (f'{name}/{k}.mp4' for name, n in counts.items() for k in range(n))
  return write_clips(root, *clips)


def write_numbered(folder: pathlib.Path, key, classes, real: bool):
  """Clips 1..4 of each class; `real` ones can be decoded, none is a copy."""
  for k, name in enumerate(classes):
    for number in range(1, 5):
      path = write_clips(folder, key(name, number)) / key(name, number)
      if real:
        coded_clips.write(path, _FORMS[path.suffix], 20 + 8 * k + number)


def clip_key(class_name: str, group: int) -> str:
  """Class/v_Class_g01_c01.avi."""
  name = _FILE_NAMES.get(class_name, class_name)
  return f'{class_name}/v_{name}_g{group:02d}_c01.avi'


def make_ucf(
    root: pathlib.Path,
    videos: str = 'UCF-101',
    lists: str = 'ucfTrainTestlist',
    real: bool = True,
) -> pathlib.Path:
  """UCF-101 with 3 classes of 4 groups; group N is the test set of split N.

  Folders lie below `root`; without a folder of `lists` there are none, and
  clips that are not `real` have 4 bytes.
  """
  write_numbered(root / videos, clip_key, CLASSES, real)
  if lists:
    # Real files have Windows line ends here and there.
    lines = [f'{number} {name}\r' for number, name in enumerate(CLASSES, 1)]
    write_lines(root / lists / 'classInd.txt', *lines)
    clips = [
        (clip_key(name, group), number, group)
        for number, name in enumerate(CLASSES, 1)
        for group in range(1, 5)
    ]
    for split in (1, 2, 3):
      train = [f'{key} {number}' for key, number, g in clips if g != split]
      test = [key for key, _, g in clips if g == split]
      write_lines(root / lists / f'trainlist0{split}.txt', *train)
      write_lines(root / lists / f'testlist0{split}.txt', *test)
  return root


def write_vifi(path: pathlib.Path, groups, classes=CLASSES) -> str:
  """A ViFi-CLIP list: file names without folders, classes from 0."""
  return write_lines(path, *(
      f'{clip_key(name, group).split("/")[1]} {CLASSES.index(name)}'
      for name in classes
      for group in groups
  ))  # fmt: skip
