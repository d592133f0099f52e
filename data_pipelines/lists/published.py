"""The grammars of lists that other projects published, one function each.

EZ-CLIP writes `<frame folder> <number of frames> <label>`; CLIP-FSAR writes
`train12/12345` or `test3//videos/Class/clip.avi`. EV-CLIP's pickles are read by
`shots`. Paths in them are of the authors' machines, so clips are found by the
last parts of their paths.
"""

import collections
import re

from data_pipelines.errors import UserError
from data_pipelines.lists.items import Item, short

Lines = list[tuple[int, str]]

_FRAMES = re.compile(r'\s*(.*\S)\s+(\d+)\s+(\d+)\s*')
_EPISODE = re.compile(
    r'(train|val|test)(\d+)(?://(?P<path>.*\S)|/(?P<id>[^/.\s]+))'
)


def is_frame_list(lines: Lines) -> bool:
  """Whether lines are EZ-CLIP's: most of them end in two numbers."""
  # The plain form, with times in whole seconds, has tabs.
  found = sum(
      '\t' not in line and _FRAMES.fullmatch(line) is not None
      for _, line in lines
  )
  return 2 * found > len(lines)


def frame_list(path, lines: Lines) -> list[Item]:
  """EZ-CLIP's lists. The number of frames is not kept: files tell it.

  Source: EZ-CLIP, dataset_splits and datasets/, the record of a video.
  Differs: folders may have spaces in their names.
  """
  items = []
  for number, line in lines:
    match = _FRAMES.fullmatch(line)
    if not match or not int(match[2]):
      raise UserError(
          f'{path}, line {number}: wanted a folder of frames, their number and '
          f'a label, as in most lines of this list, found {short(line)}.'
      )
    folder = match[1].replace('\\', '/').rstrip('/')
    items.append(Item(folder, int(match[3]), None, None, number))
  return items


def is_episode_list(lines: Lines) -> bool:
  """Whether lines are CLIP-FSAR's: half of them at least."""
  # No other list has names without a suffix in folders such as train0.
  found = sum(_EPISODE.fullmatch(x.strip()) is not None for _, x in lines)
  return 2 * found >= len(lines)


def episode_list(path, lines: Lines) -> tuple[str, list[Item]]:
  """CLIP-FSAR's lists of one split, whose classes have numbers of their own.

  Args:
    path: the file, for messages.
    lines: (number, text).

  Returns:
    (split, items). Where a line has a path, the folder names the class; where
    it has a video id only, nothing does.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py, the two ways it splits a
    line.
  Differs: the line says which way, not the name of the data set.
  """
  matches = [_EPISODE.fullmatch(line.strip()) for _, line in lines]
  said = collections.Counter(match[1] for match in matches if match)
  split = said.most_common(1)[0][0]
  items = []
  for (number, line), match in zip(lines, matches, strict=True):
    if not match or match[1] != split:
      raise UserError(
          f'{path}, line {number}: wanted {split}<class>/<video id> or '
          f'{split}<class>//<path>, found {short(line)}.'
      )
    clip = match['id'] or match['path'].replace('\\', '/')
    folder = clip.rsplit('/', 2)[-2] if '/' in clip else ''
    item = Item(clip, int(match[2]), None, None, number, class_name=folder)
    items.append(item)
  return split, items
