"""UCF-101: 101 classes, three official splits.

Source: https://www.crcv.ucf.edu/data/UCF101.php (videos and the lists
"for action recognition"); ViFi-CLIP, datasets_splits/ucf_splits.
"""

import dataclasses
import pathlib
import re

from data_pipelines.datasets.description import Description
from data_pipelines.lists import class_files, grammars, text
from data_pipelines.lists.classes import Classes, letters
from data_pipelines.lists.clips import Listing
from data_pipelines.lists.locate import folder_of

_CLASS_FILE = 'classInd.txt'
_CLIP_NAME = re.compile(r'v_(.+)_g\d+_c\d+', re.IGNORECASE)


def class_of(key: str) -> str:
  """Returns a clip's class: its folder, unless its file name tells another."""
  folder, match = folder_of(key), _CLIP_NAME.match(key.rsplit('/', 1)[-1])
  # v_HandStandPushups_* are in HandstandPushups, the spelling of the class.
  other = match and letters(match[1]) != letters(folder)
  return match[1] if other else folder


def _parse(file: pathlib.Path, head: str, key: str, lists) -> Listing | None:
  """Reads an official list: as any other, but its classes count from 1."""
  if not file.name.startswith(('trainlist', 'testlist')):
    return None
  return dataclasses.replace(grammars.read(file, key), first_number=1)


def _read_classes(folder: pathlib.Path | None) -> Classes | None:
  if not (file := text.first(folder, [_CLASS_FILE])):
    return None
  return Classes.of(class_files.read(file, gaps=True), _CLASS_FILE)


DESCRIPTION = Description(
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
    folders=('ucf101_video', 'UCF101'),
    video_places=(
        'UCF-101', 'UCF-101-video', 'videos', 'frames', 'rawframes', '.',
    ),  # fmt: skip
    list_places=(
        'ucfTrainTestlist',
        'UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist', 'splits',
        'lists', '.', '../ucfTrainTestlist',
        '../UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist',
    ),  # fmt: skip
    list_files=lambda role, split: (f'{role}list{split:02d}.txt',),
    read_classes=_read_classes,
    class_of=class_of,
    first_number=1,
    parse=_parse,
    class_files=(_CLASS_FILE,),
)
