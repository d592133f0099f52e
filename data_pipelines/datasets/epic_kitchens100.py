"""EPIC-Kitchens-100: pieces of long kitchen videos, by verb, noun or action.

A piece has frame numbers, which hold for folders of images, and times, which
hold for videos: the numbers count 60 or 50 images per second, at which the
published images were taken, whatever the video's own rate (30 to 90).

Source: https://epic-kitchens.github.io and the annotations at
https://github.com/epic-kitchens/epic-kitchens-100-annotations.
Differs: EV-CLIP released no loader for it; its selections name classes by the
free words of a line ("pick-up"), here they have the official name ("take").
"""

import dataclasses
import functools
import pathlib
import re

from data_pipelines.datasets import epic_classes
from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, selections, text
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.stores import files

KINDS = epic_classes.KINDS
_HOMEPAGE = 'https://epic-kitchens.github.io'
_FILES = epic_classes.LISTS
_COLUMNS = (
    *('participant_id', 'video_id', 'start_timestamp', 'stop_timestamp'),
    *('start_frame', 'stop_frame', *epic_classes.PAIR),
)
_SUFFIXES = ('.MP4', '.mp4')
_PARTICIPANT = re.compile(r'P\d\d')
_VIDEO = re.compile(r'P\d\d_\d{2,3}\.mp4', re.IGNORECASE)
_TIME = re.compile(r'(\d+):(\d\d):(\d\d(?:\.\d+)?)')
# Published images per second: of the earlier videos (P01_01), of the later
# ones (P01_101).
_RATES = {2: 60, 3: 50}


class Videos(files.FileTree):
  """The videos, as folders of images or as files.

  Lists mean a video by the last part of a path, such as 'P01_01'; images are
  taken where there are both. A list's frame 0 is image 1, whatever image a
  folder begins with.
  """

  counts_from = 1

  def __init__(self, root: pathlib.Path):
    super().__init__(root)
    self._known: dict[str, str | None] = {}

  def find(self, path: str) -> str | None:
    """Returns the key of a video, or None.

    Raises:
      UserError: its images are there, but in a tar file.
    """
    # A list of one's own may want the file, or know another place.
    if path not in self._known:
      self._known[path] = super().find(path)
    if self._known[path]:
      return self._known[path]
    video = path.rstrip('/').rsplit('/', 1)[-1]
    if pathlib.PurePosixPath(video).suffix in _SUFFIXES:
      video = pathlib.PurePosixPath(video).stem
    if not self._known.get(video):
      self._known[video] = self._look(video)
    return self._known[video]

  def find_by_name(self, path: str) -> str | None:
    """Returns the same: a video's name is enough."""
    return self.find(path)

  def _look(self, video: str) -> str | None:
    frames = f'{video[:3]}/rgb_frames/{video}'
    places = (f'{video[:3]}/videos/', f'{video[:3]}/', '')
    videos = [f'{p}{video}{s}' for p in places for s in _SUFFIXES]
    for key in (frames, *videos):
      found = super().find(key)
      if found:
        return found
    tar = pathlib.Path(self.root) / f'{frames}.tar'
    if tar.is_file():
      raise UserError(
          f'{tar} is not unpacked. Unpack it into a folder of its name: '
          f'mkdir {tar.with_suffix("")} && tar -xf {tar} -C '
          f'{tar.with_suffix("")}'
      )
    return None


def _has_videos(folder: pathlib.Path) -> bool:
  """Whether a folder holds participants' folders with videos, or videos."""
  return any(
      (folder / name / part).is_dir()
      for name in files.folders(folder)
      if _PARTICIPANT.fullmatch(name)
      for part in ('rgb_frames', 'videos')
  ) or any(_VIDEO.fullmatch(path.name) for path in folder.iterdir())


@functools.cache
def describe(kind: str) -> Description:
  """Returns the data set with the classes of a kind (`KINDS`)."""
  if kind not in KINDS:
    raise UserError(
        f'data.label_kind={kind!r}: use one of {", ".join(KINDS)}.'
    )
  places = '.', 'EPIC-KITCHENS', 'EPIC_KITCHENS', 'epic-kitchens-100', 'epic'
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
      list_files=lambda role, split: (_FILES[role],),
      read_classes=functools.partial(epic_classes.read, kind),
      class_of=lambda key: '',
      parse=functools.partial(_parse, kind),
      has_videos=_has_videos,
      open_store=Videos,
      class_files=epic_classes.file_names(kind),
      only_listed=True,
      all_classes=True,
      repeats=True,
  )


def _parse(
    kind: str, file: pathlib.Path, head: str, key: str, lists
) -> Listing | None:
  """An official list, or any other, whose pieces get times."""
  if head.startswith('narration_id,'):
    return _official(kind, file, key, lists)
  with open(file, 'rb') as opened:
    is_pickle = selections.is_pickle(opened.read(1))
  if is_pickle and kind != 'verb':
    raise UserError(
        f'{file} ({key}): the labels of EV-CLIP\'s selections are verbs, '
        f'and data.label_kind is {kind}: use data.label_kind=verb.'
    )
  listing = grammars.read(file, key)
  items = tuple(_with_times(item) for item in listing.items)
  return dataclasses.replace(listing, items=items)


def _with_times(item: Item) -> Item:
  """Adds times, where a piece has the numbers of published images only."""
  name = item.path.rsplit('/', 1)[-1]
  rate = _RATES.get(len(name.partition('_')[2]))
  if not rate or name.endswith(_SUFFIXES) or item.first is None:
    return item
  if item.stop is None or item.start is not None or item.end is not None:
    return item
  return dataclasses.replace(
      item, start=(item.first + 1) / rate, end=item.stop / rate
  )


def _official(kind: str, file: pathlib.Path, key: str, lists) -> Listing:
  """A list in the official form (one line per piece)."""
  label = epic_classes.labeller(kind, lists, file, key)
  items = []
  for line, row in text.rows(file, _COLUMNS):
    pair = epic_classes.pair_of(file, line, row)
    try:
      items.append(
          Item(
              f'{row["participant_id"]}/rgb_frames/{row["video_id"]}',
              label(file, line, pair),
              _seconds(row['start_timestamp']),
              _seconds(row['stop_timestamp']),
              line,
              # Frame 0 is image 1 (`Videos`); the last image is included.
              max(int(row['start_frame']) - 1, 0),
              int(row['stop_frame']),
          )
      )
    except (ValueError, AttributeError) as e:
      raise UserError(
          f'{file}, line {line}: wanted the columns of {_FILES["train"]} '
          f'({type(e).__name__}: {e}).'
      ) from e
  return grammars.listing(file, key, items, first_number=0)


def _seconds(time: str) -> float:
  hours, minutes, seconds = _TIME.fullmatch(time.strip()).groups()
  return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 6)
