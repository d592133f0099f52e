"""UCF-101: where its files lie, its official lists, and lists of others.

Source: https://www.crcv.ucf.edu/data/UCF101.php (videos and the lists
"for action recognition"); ViFi-CLIP, datasets_splits/ucf_splits.
"""

import dataclasses
import pathlib
import re

from data_pipelines.clip_lists import class_names, labels, list_files
from data_pipelines.datasets import collection
from data_pipelines.datasets.collection import Collection
from data_pipelines.stores import archive, file_tree
from evclip_jax.errors import UserError

SPLITS = (1, 2, 3)
CLASS_FILE = 'classInd.txt'
WANTED = (
    'UCF-101 needs a folder with UCF-101/<class>/*.avi and ucfTrainTestlist/ '
    'in it (--config.data.root=DIR).\n  Get UCF101.rar and '
    'UCF101TrainTestSplits-RecognitionTask.zip from '
    'https://www.crcv.ucf.edu/data/UCF101.php and unpack both there.'
)
_VIDEOS = (
    'UCF-101',
    'UCF-101-video',
    'UCF101',
    'ucf101_video/UCF-101-video',
    'ucf101_video/UCF-101',
    'UCF101/UCF-101',
    'videos',
    '.',
)
_LISTS = (
    'ucfTrainTestlist',
    'ucf101_video/ucfTrainTestlist',
    'UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist',
    'UCF101/ucfTrainTestlist',
    'splits',
    'lists',
    '.',
    # data.root may be the folder of the class folders itself.
    '../ucfTrainTestlist',
    '../UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist',
)
_CLIP_NAME = re.compile(r'v_(.+)_g\d+_c\d+', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the parts of the data set lie.

  Attributes:
    videos: the folder of the class folders.
    lists: the folder of the official lists; None if there is none.
  """

  videos: pathlib.Path
  lists: pathlib.Path | None


def find_layout(root: str) -> Layout:
  """Finds the videos and lists below a folder.

  Raises:
    UserError: no folder, or no videos where they usually lie.
  """
  base = file_tree.check_root(root, WANTED)
  videos = next(
      (
          base / place
          for place in _VIDEOS
          if file_tree.has_class_folders(base / place)
      ),
      None,
  )
  if videos is None:
    raise UserError(
        f'data.root={root} has no class folders with videos in it or in '
        f'{", ".join(_VIDEOS[:-1])}. {WANTED}'
    )
  found = next(
      (
          (base / place).resolve()
          for place in _LISTS
          if (base / place / CLASS_FILE).is_file()
          or any((base / place).glob('trainlist0?.txt'))
      ),
      None,
  )
  return Layout(videos.resolve(), found)


def read(data, split: int, report_folder: str | None = None) -> Collection:
  """The lists and classes of UCF-101.

  Without data.train_list and data.test_list the official lists of `split`
  are used. Lists of others may number the classes from 0 or from 1 and may
  name files without their folders.

  Args:
    data: config.data.
    split: 1, 2 or 3.
    report_folder: where the names of missing clips are written, if many.

  Raises:
    UserError: the data or lists are missing or do not fit (see `labels`).
  """
  if data.tfds_dir:
    layout, store = None, archive.Archive(data.tfds_dir)
  else:
    layout = find_layout(data.root)
    store = file_tree.FileTree(layout.videos, by_name=True)
  given = collection.read_given(data, store, data.root, report_folder)
  located = {x.name: x for x in given.all()}
  for name in ('train', 'test'):
    if name == 'train' and given.train or name == 'test' and given.tests:
      continue
    located[name] = _official(layout, store, name, split, report_folder)

  table = _table(data, layout, store, list(located.values()))
  clips = {
      name: labels.to_clips(x, table, class_of, _first_number(x, table))
      for name, x in located.items()
  }
  train, val = clips.pop('train'), clips.pop('val', None)
  return collection.build(store, table, train, val, clips)


def official_file(folder: pathlib.Path, name: str, split: int) -> pathlib.Path:
  """trainlist0N.txt or testlist0N.txt."""
  return folder / f'{name}list{split:02d}.txt'


def class_of(key: str) -> str:
  """The class of a clip: its folder's, unless the file itself says another."""
  folder = key.rsplit('/', 2)[-2] if '/' in key else ''
  match = _CLIP_NAME.match(key.rsplit('/', 1)[-1])
  own = match.group(1) if match else ''
  if own and class_names.same(own) != class_names.same(folder):
    return own
  # The folder's spelling: v_HandStandPushups_* lie in HandstandPushups.
  return folder


def _official(layout, store, name, split, report_folder) -> labels.Located:
  if split not in SPLITS:
    raise UserError(f'split={split}: UCF-101 has the splits 1, 2 and 3.')
  if layout is None:
    origin = f'{name}list{split:02d}.txt'
    keys = store.official(name, split)
    if not keys:
      raise UserError(
          f'{store} was built without {origin}. Give data.{name}_list, or '
          'build it again with the official lists.'
      )
    return collection.whole(name, origin, keys)
  file = layout.lists and official_file(layout.lists, name, split)
  if not file or not file.is_file():
    places = ', '.join(_LISTS[:5])
    raise UserError(
        f'the official {name}list{split:02d}.txt was not found near '
        f'{layout.videos} (in {layout.lists or places}). '
        f'Unpack the lists there, or give data.{name}_list.\n  '
        'Get UCF101TrainTestSplits-RecognitionTask.zip from '
        'https://www.crcv.ucf.edu/data/UCF101.php.'
    )
  listing = list_files.read(file, f'data.{name}_list')
  return labels.locate(name, listing, store, report_folder)


def _table(data, layout, store, located) -> labels.ClassTable:
  """The 101 classes by number, as far as anything tells them."""
  official = None
  if layout is None:
    official = labels.ClassTable.of(store.class_names, str(store))
  elif layout.lists and (layout.lists / CLASS_FILE).is_file():
    file = layout.lists / CLASS_FILE
    official = labels.ClassTable.of(class_names.read(file), CLASS_FILE)
  if not data.class_names:
    return official or labels.infer(located, [class_of])
  own = labels.ClassTable.from_file(data.class_names)
  shown = tuple(class_names.clean(n) for n in own.raw)
  if not official or all(official.label(n) is not None for n in own.raw):
    return dataclasses.replace(own, shown=shown)
  if len(own.raw) == len(official.raw):
    # Other words for the same classes.
    return dataclasses.replace(
        official, shown=shown, origin=own.origin, fixed=True
    )
  unknown = next(n for n in own.raw if official.label(n) is None)
  raise UserError(
      f'{data.class_names} (data.class_names) has {len(own.raw)} names, and '
      f'{unknown!r} is not a class of UCF-101. Give official names, or one '
      f'name for each of the {len(official.raw)} classes in their order.'
  )


def _first_number(located: labels.Located, table: labels.ClassTable) -> int:
  """Whether a list numbers classes from 0 or from 1, told by its folders.

  Raises:
    UserError: some numbers agree with neither.
  """
  known = {}
  numbered = []
  for item, key in located.pairs():
    if isinstance(item.label, int):
      name = class_of(key)
      if name not in known:
        known[name] = table.label(name)
      if known[name] is not None:
        numbered.append((item, name, known[name]))
  official = located.listing.name.startswith(('trainlist', 'testlist'))
  if not numbered:
    return int(official)
  ones = sum(item.label == label + 1 for item, _, label in numbered)
  first = int(ones > len(numbered) / 2)
  for item, name, label in numbered:
    in_range = first <= item.label < len(table.raw) + first
    if in_range and item.label != label + first:
      raise UserError(
          f'{located.listing.where(item)}: the label is {item.label}, but the '
          f'class {name!r} has the number {label + first} ({table.origin}).'
      )
  return first
