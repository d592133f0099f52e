"""EPIC-Kitchens-100: pieces of long kitchen films, by verb, noun or action.

A piece has frame numbers, which hold for folders of pictures, and times, which
hold for films: the numbers count 60 or 50 pictures per second, at which the
published pictures were taken, whatever the film's own rate (30 to 90).

Source: https://epic-kitchens.github.io and the annotations at
https://github.com/epic-kitchens/epic-kitchens-100-annotations.
Differs: EV-CLIP released no loader for it; its selections name classes by the
free words of a line ("pick-up"), here they have the official name ("take").
"""

import dataclasses
import functools
import pathlib
import re

from data_pipelines.datasets import (
  epic_classes,
  epic_videos,
  official,
  official_files,
)
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import Description, find_lists
from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, selections
from data_pipelines.lists.items import Item, Listing

KINDS = epic_classes.KINDS
_HOMEPAGE = 'https://epic-kitchens.github.io'
_FILES = epic_classes.LISTS
_COLUMNS = (
    'participant_id',
    'video_id',
    'start_timestamp',
    'stop_timestamp',
    'start_frame',
    'stop_frame',
    *epic_classes.PAIR,
)
_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
_TIME = re.compile(r'(\d+):(\d\d):(\d\d(?:\.\d+)?)')
# Published pictures per second: of the earlier videos (P01_01), of the later
# ones (P01_101).
_RATES = {2: 60, 3: 50}


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes by data.label_kind; see `official.read`.

  The official validation list is the one to report on: the labels of the test
  list are not public.
  """
  return official.read(
      describe(data.label_kind), data, split, report_folder, roles
  )


@functools.cache
def describe(kind: str) -> Description:
  """The data set with the classes of one kind: 'verb', 'noun' or 'action'."""
  if kind not in KINDS:
    raise UserError(
        f'data.label_kind={kind!r}: use one of {", ".join(KINDS)}.'
    )
  places = (
      '.',
      'EPIC-KITCHENS',
      'EPIC_KITCHENS',
      'epic-kitchens-100',
      'epic',
  )
  below = ('epic-kitchens-100-annotations', 'annotations')
  lists = [f'{p}/{b}' for b in below for p in places]
  suffix = '' if kind == 'verb' else f'_{kind}'
  return Description(
      name=f'epic_kitchens100{suffix}',
      title='EPIC-Kitchens-100',
      homepage=_HOMEPAGE,
      wanted=(
          'EPIC-Kitchens-100 needs a folder with <Pxx>/rgb_frames/<video>/ '
          'frame_*.jpg or <Pxx>/videos/<video>.MP4, and with '
          f'{_FILES["train"]} and {_FILES["test"]} '
          '(--config.data.root=DIR).\n  Get the videos or RGB frames from '
          f'{_HOMEPAGE} and the lists from '
          'https://github.com/epic-kitchens/epic-kitchens-100-annotations.'
      ),
      splits=(1,),
      roles=('train', 'test'),
      video_places=places,
      list_places=(*places, *lists, '../annotations'),
      has_lists=lambda folder: (folder / _FILES['train']).is_file(),
      list_title=lambda role, split: _FILES[role],
      read_list=functools.partial(_read_list, kind),
      read_classes=functools.partial(epic_classes.read, kind),
      class_of=lambda key: '',
      read_given=functools.partial(_read_given, kind),
      has_videos=epic_videos.has_videos,
      open_store=epic_videos.Videos,
      class_file=epic_classes.file_name(kind),
      only_listed=True,
      all_classes=True,
      repeats=True,
  )


def _read_list(
    kind: str, folder: pathlib.Path, role: str, split: int
) -> Listing | None:
  file = folder / _FILES[role]
  if not file.is_file():
    return None
  return _parse(kind, file, f'data.{role}_list', folder)


def _read_given(kind: str, file: str, key: str, root: str) -> Listing:
  for path in (pathlib.Path(file).expanduser(), pathlib.Path(root) / file):
    if path.is_file():
      with open(path, 'rb') as opened:
        head = opened.readline()
      head = head.removeprefix(_BYTE_ORDER_MARK)
      if head.startswith(b'narration_id,'):
        return _parse(kind, path, key, find_lists(describe(kind), root))
      if selections.is_pickle(head) and kind != 'verb':
        raise UserError(
            f'{path} ({key}): the labels of EV-CLIP\'s selections are verbs, '
            f'and data.label_kind is {kind}: use data.label_kind=verb.'
        )
      break
  listing = grammars.read(file, key, root)
  items = tuple(_with_times(item) for item in listing.items)
  return dataclasses.replace(listing, items=items)


def _with_times(item: Item) -> Item:
  """A piece by numbers of published pictures may be read from the film.

  EV-CLIP's selections give such numbers only. Frame numbers of a film itself
  stay what they are.
  """
  name = item.path.rsplit('/', 1)[-1]
  rate = _RATES.get(len(name.partition('_')[2]))
  if not rate or name.endswith(epic_videos.FILMS) or item.first is None:
    return item
  if item.stop is None or item.start is not None or item.end is not None:
    return item
  return dataclasses.replace(
      item, start=(item.first + 1) / rate, end=item.stop / rate
  )


def _parse(
    kind: str, file: pathlib.Path, key: str, official_lists: pathlib.Path | None
) -> Listing:
  """A list in the official form (one line per piece)."""
  label = epic_classes.labeller(kind, official_lists, file, key)
  items = []
  for line, row in official_files.rows(file, _COLUMNS):
    pair = epic_classes.pair_of(file, line, row)
    try:
      items.append(
          Item(
              f'{row["participant_id"]}/rgb_frames/{row["video_id"]}',
              label(file, line, pair),
              _seconds(row['start_timestamp']),
              _seconds(row['stop_timestamp']),
              line,
              # Frame 0 is picture 1 (`epic_videos.Videos`); the last picture
              # is included.
              max(int(row['start_frame']) - 1, 0),
              int(row['stop_frame']),
          )
      )
    except (ValueError, AttributeError) as e:
      raise UserError(
          f'{file}, line {line}: wanted the columns of {_FILES["train"]} '
          f'({type(e).__name__}: {e}).'
      ) from e
  if not items:
    raise UserError(f'the list {file} ({key}) holds no clips.')
  return Listing(file, key, tuple(items), first_number=0)


def _seconds(text: str) -> float:
  """'00:01:02.34' in seconds."""
  hours, minutes, seconds = _TIME.fullmatch(text.strip()).groups()
  return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 6)
