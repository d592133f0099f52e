"""EPIC-Kitchens-100: pieces of long kitchen videos, by verb, noun or action.

A piece has frame numbers, for folders of images, and times, for videos. The
numbers count images at the rate at which the published ones were extracted, 60
or 50 per second, whatever the video's own rate (30 to 90).

Source: https://epic-kitchens.github.io and the annotations at
https://github.com/epic-kitchens/epic-kitchens-100-annotations.
Differs: EV-CLIP released no loader for it; its selections name classes by the
free words of an annotation ("pick-up"), not by the official name ("take").
"""

import dataclasses
import functools
import pathlib
import re

from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, selections, text
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.stores import files

KINDS = ('verb', 'noun', 'action')
_HOMEPAGE = 'https://epic-kitchens.github.io'
_FILES = {'train': 'EPIC_100_train.csv', 'test': 'EPIC_100_validation.csv'}
_PAIR = ('verb_class', 'noun_class')
_COLUMNS = (
    *('participant_id', 'video_id', 'start_timestamp', 'stop_timestamp'),
    *('start_frame', 'stop_frame', *_PAIR),
)
_SUFFIXES = ('.MP4', '.mp4')
_PARTICIPANT = re.compile(r'P\d\d')
_VIDEO = re.compile(r'P\d\d_\d{2,3}\.mp4', re.IGNORECASE)
_TIME = re.compile(r'(\d+):(\d\d):(\d\d(?:\.\d+)?)')
# Digits of a video's number -> published images per second: of the earlier
# videos (P01_01), of the later ones (P01_101).
_RATES = {2: 60, 3: 50}


class Videos(files.FileTree):
  """Finds videos as folders of images or else as files.

  Lists name a video by the last part of a path, such as 'P01_01'. A list's
  frame 0 is image 1, whatever image a folder begins with.
  """

  counts_from = 1

  @functools.cache  # noqa: B019
  def find(self, path: str, by_name: bool = True) -> str | None:
    """Returns the key of a video, or None; its name is enough.

    Raises:
      UserError: its images are still in a tar file.
    """
    # `path` itself comes first: a user's list may mean the file, or a file in
    # another place.
    video = pathlib.PurePosixPath(path)
    video = video.stem if video.suffix in _SUFFIXES else video.name
    frames = f'{video[:3]}/rgb_frames/{video}'
    places = (f'{video[:3]}/videos/', f'{video[:3]}/', '')
    videos = (f'{p}{video}{s}' for p in places for s in _SUFFIXES)
    for key in (path, frames, *videos):
      if found := super().find(key):
        return found
    tar = self.root / f'{frames}.tar'
    if tar.is_file():
      folder = tar.with_suffix('')
      raise UserError(
          f'{tar} is not unpacked. Unpack it into a folder of the same name: '
          f'mkdir {folder} && tar -xf {tar} -C {folder}'
      )
    return None


def _has_videos(folder: pathlib.Path) -> bool:
  """Tells whether a folder, or participants' folders in it, hold videos."""
  return any(
      (folder / name / part).is_dir()
      for name in files.folders(folder)
      if _PARTICIPANT.fullmatch(name)
      for part in ('rgb_frames', 'videos')
  ) or any(_VIDEO.fullmatch(path.name) for path in folder.iterdir())


@functools.cache
def describe(kind: str) -> Description:
  """Describes the data set with classes of one of `KINDS`."""
  if kind not in KINDS:
    raise UserError(f'data.label_kind={kind!r}: use one of {", ".join(KINDS)}.')
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
      folders=('EPIC-KITCHENS', 'EPIC_KITCHENS', 'epic-kitchens-100', 'epic'),
      video_places=('.',),
      list_places=(
          '.', 'epic-kitchens-100-annotations', 'annotations', '../annotations',
      ),  # fmt: skip
      list_files=lambda role, split: (_FILES[role],),
      read_classes=functools.partial(_read_classes, kind),
      parse=functools.partial(_parse, kind),
      has_videos=_has_videos,
      open_store=Videos,
      class_files=_class_files(kind),
      only_listed=True,
      all_classes=True,
      repeats=True,
  )


def _parse(
    kind: str, file: pathlib.Path, head: str, key: str, lists
) -> Listing | None:
  """Reads an official list, or any other and adds times to its pieces."""
  if head.startswith('narration_id,'):
    return _official(kind, file, key, lists)
  if kind != 'verb' and selections.is_pickle(file.read_bytes()):
    raise UserError(
        f'{file} ({key}): the labels of EV-CLIP\'s selections are verbs, '
        f'and data.label_kind is {kind}: use data.label_kind=verb.'
    )
  listing = grammars.read(file, key)
  items = tuple(_with_times(item) for item in listing.items)
  return dataclasses.replace(listing, items=items)


def _with_times(item: Item) -> Item:
  """Adds times to a piece that has only numbers of published images."""
  name = item.path.rsplit('/', 1)[-1]
  rate = _RATES.get(len(name.partition('_')[2]))
  if not rate or name.endswith(_SUFFIXES) or item.first is None:
    return item
  if item.stop is None or (item.start, item.end) != (None, None):
    return item
  times = (item.first + 1) / rate, item.stop / rate
  return dataclasses.replace(item, start=times[0], end=times[1])


def _official(kind: str, file: pathlib.Path, key: str, lists) -> Listing:
  """Reads a list in the official format (one line per piece)."""
  folders = (lists, file.parent) if kind == 'action' else ()
  names, items = _pair_names(folders), []
  if folders and not names:
    raise UserError(
        f'{file} ({key}): to read actions (data.label_kind=action), put '
        f'{" and ".join(_class_files(kind))} beside it, or set data.root to '
        'the folder with the official lists.'
    )
  for line, row in text.rows(file, _COLUMNS):
    pair = _pair(file, line, row)
    if names:
      # By name: a TFDS folder stores names, not pairs of numbers.
      label = _action(names, pair, file, line)
    else:
      label = pair[KINDS.index(kind)]
    path = f'{row["participant_id"]}/rgb_frames/{row["video_id"]}'
    try:
      times = map(_seconds, (row['start_timestamp'], row['stop_timestamp']))
      # Frame 0 is image 1 (`Videos`); the last image is included.
      first, stop = max(int(row['start_frame']) - 1, 0), int(row['stop_frame'])
      items.append(Item(path, label, *times, line, first, stop))
    except (ValueError, AttributeError) as e:
      raise UserError(
          f'{file}, line {line}: wanted the columns of {_FILES["train"]} '
          f'({type(e).__name__}: {e}).'
      ) from e
  return grammars.listing(file, key, items)


def _seconds(time: str) -> float:
  hours, minutes, seconds = _TIME.fullmatch(time.strip()).groups()
  return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 6)


def _class_files(kind: str) -> tuple[str, ...]:
  """The files that name the classes of a kind; actions need two."""
  kinds = ('verb', 'noun') if kind == 'action' else (kind,)
  return tuple(f'EPIC_100_{kind}_classes.csv' for kind in kinds)


def _read_classes(kind: str, folder: pathlib.Path | None) -> Classes | None:
  """Reads the classes in label order, by official names (column `key`)."""
  if folder is None:
    return None
  if kind != 'action':
    names, origin = _names(folder, kind), _class_files(kind)[0]
  else:
    names = _actions(folder)
    origin = 'the pairs of verb and noun in the official lists, by number'
  return Classes.of(names, origin) if names else None


def _pair_names(folders) -> tuple[list[str], list[str]] | None:
  """Reads (verbs, nouns) from the first folder that has both files."""
  for folder in filter(None, folders):
    verbs, nouns = _names(folder, 'verb'), _names(folder, 'noun')
    if verbs and nouns:
      return verbs, nouns
  return None


def _pair(file: pathlib.Path, line: int, row: dict) -> tuple[int, int]:
  """Reads the numbers of verb and noun in a row."""
  cells = [row[column] for column in _PAIR]
  if not all(c.isdecimal() for c in cells):
    raise UserError(
        f'{file}, line {line}: wanted numbers from 0 as {" and ".join(_PAIR)}, '
        f'found {" and ".join(map(repr, cells))}.'
    )
  return tuple(map(int, cells))


def _action(names, pair, file: pathlib.Path, line: int) -> str:
  (verbs, nouns), (verb, noun) = names, pair
  if verb >= len(verbs) or noun >= len(nouns):
    raise UserError(
        f'{file}, line {line}: wanted a verb of 0..{len(verbs) - 1} and a '
        f'noun of 0..{len(nouns) - 1}, found {verb} and {noun}.'
    )
  return f'{verbs[verb]} {nouns[noun]}'


def _names(folder: pathlib.Path, kind: str) -> list[str]:
  """Reads the names of verbs or nouns in label order; [] without a file."""
  (file,), found = (folder / name for name in _class_files(kind)), []
  for line, row in text.rows(file, ('id', 'key')) if file.is_file() else ():
    if row['id'] != str(len(found)) or not row['key']:
      raise UserError(
          f'{file}, line {line}: wanted the columns id and key with ids '
          f'0, 1, 2, ..., found {row["id"]!r} and {row["key"]!r}.'
      )
    found.append(row['key'])
  return found


def _actions(folder: pathlib.Path) -> list[str]:
  """Reads the names of the pairs in the official lists, sorted by numbers."""
  found, names = {}, _pair_names([folder])
  for file in (folder / name for name in _FILES.values() if names):
    for line, row in text.rows(file, _PAIR) if file.is_file() else ():
      pair = _pair(file, line, row)
      found[pair] = _action(names, pair, file, line)
  return [found[pair] for pair in sorted(found)]
