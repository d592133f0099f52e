"""UCF-101: where its files lie, its official lists, and lists of others.

Source: https://www.crcv.ucf.edu/data/UCF101.php (videos and the lists
"for action recognition"); ViFi-CLIP, datasets_splits/ucf_splits.
"""

import dataclasses
import pathlib
import re

from data_pipelines.datasets import official
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import Description
from data_pipelines.lists import classes, grammars, locate
from data_pipelines.stores import files

_CLASS_FILE = 'classInd.txt'
_CLIP_NAME = re.compile(r'v_(.+)_g\d+_c\d+', re.IGNORECASE)


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes of UCF-101; see `official.read`."""
  return official.read(UCF101, data, split, report_folder, roles)


def class_of(key: str) -> str:
  """The class of a clip: its folder's, unless the file itself says another."""
  folder = key.rsplit('/', 2)[-2] if '/' in key else ''
  match = _CLIP_NAME.match(key.rsplit('/', 1)[-1])
  own = match.group(1) if match else ''
  if own and classes.same(own) != classes.same(folder):
    return own
  # The folder's spelling: v_HandStandPushups_* lie in HandstandPushups.
  return folder


def _has_lists(folder: pathlib.Path) -> bool:
  return (folder / _CLASS_FILE).is_file() or any(
      folder.glob('trainlist0?.txt')
  )


def _list_title(role: str, split: int) -> str:
  return f'{role}list{split:02d}.txt'


def _read_list(folder: pathlib.Path, role: str, split: int):
  file = folder / _list_title(role, split)
  return grammars.read(file, 'official list') if file.is_file() else None


def _read_given(file: str, key: str, root: str) -> grammars.Listing:
  listing = grammars.read(file, key, root)
  own = listing.name.startswith(('trainlist', 'testlist'))
  return dataclasses.replace(listing, first_number=1) if own else listing


def _read_classes(folder: pathlib.Path | None) -> locate.ClassTable | None:
  file = folder and folder / _CLASS_FILE
  if not file or not file.is_file():
    return None
  names = classes.read(file, gaps=True)
  return locate.ClassTable.of(names, _CLASS_FILE)


UCF101 = Description(
    name='ucf101',
    title='UCF-101',
    homepage='https://www.crcv.ucf.edu/data/UCF101.php',
    wanted=(
        'UCF-101 needs a folder with UCF-101/<class>/*.avi and '
        'ucfTrainTestlist/ in it (--config.data.root=DIR).\n  Get UCF101.rar '
        'and UCF101TrainTestSplits-RecognitionTask.zip from '
        'https://www.crcv.ucf.edu/data/UCF101.php and unpack both there.'
    ),
    splits=(1, 2, 3),
    roles=('train', 'test'),
    video_places=(
        'UCF-101',
        'UCF-101-video',
        'UCF101',
        'ucf101_video/UCF-101-video',
        'ucf101_video/UCF-101',
        'UCF101/UCF-101',
        'videos',
        'frames',
        'rawframes',
        '.',
    ),
    list_places=(
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
    ),
    has_lists=_has_lists,
    has_videos=files.has_clips,
    list_title=_list_title,
    read_list=_read_list,
    read_classes=_read_classes,
    class_of=class_of,
    first_number=1,
    read_given=_read_given,
)
