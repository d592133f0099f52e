"""Kinetics-400, -600, -700 and -100: actions in ten seconds of YouTube videos.

The lists in the folder decide which of them it is. Clips that have vanished
from YouTube are common: see data.on_missing.

Source: the official lists (label, youtube_id, time_start, time_end, split);
EV-CLIP, dassl/data/datasets/kinetics400.py for the layout of folders.
Differs: clips are in the list's order, not that of a Python set, and unreadable
clips are not dropped silently (data.on_broken).
"""

import collections
import functools
import pathlib
import re

from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, grammars, text
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.lists.locate import folder_of
from data_pipelines.stores import files

_HOMEPAGE = 'https://github.com/cvdfoundation/kinetics-dataset'
_KINDS = 400, 600, 700
_WORDS = {'train': ('train',), 'test': ('val', 'validate', 'validation')}
_STEMS = ('', 'kinetics_') + tuple(
    f'kinetics{mark}{n}_' for n in _KINDS for mark in ('_', '-', '')
)
_ENDINGS = '.csv', '.txt', '_list_videos.txt'
_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end')
_CLASS_FILES = tuple(f'kinetics_{n}_labels.csv' for n in _KINDS)
_ID = 11
# Folders of images are named like their clips.
_FRAMES = r'[\w-]{11}(_\d+_\d+)?'
_REPLACEMENT = 'replacement'
# Folders with such names are not classes.
_NO_CLASS = re.compile(
    r'(.*(frames|videos)_)?(train|val|validate|validation|test)(_\d+)?|'
    r'replacement.*|videos?|k\d00|(raw)?frames|'
    r'kinetics.*',
    re.IGNORECASE,
)


def class_of(key: str) -> str:
  """Returns the class folder of a clip, or ''."""
  folder = folder_of(key)
  return '' if _NO_CLASS.fullmatch(folder) else folder


class Videos(files.FileTree):
  """Finds clips by the YouTube id in their names.

  Names are `<id>_<start>_<end>.mp4` or a bare `<id>.mkv`, with or without class
  folders. Official replacements of corrupted clips are preferred.
  """

  def find(self, path: str, by_name: bool = True) -> str | None:
    """Returns the key of the clip that a list means by `path`, or None.

    The YouTube id is enough, whatever `by_name` says.

    Raises:
      UserError: several clips could be meant.
    """
    if '/' in path and (exact := super().find(path)):
      return exact
    wanted = _clip(path)
    found = self._by_id.get(wanted[0], [])
    if len(wanted) > 1:
      # Another time range of the same video is another clip.
      same = wanted, wanted[:1]
      found = [k for k in found if _clip(k) in same or _REPLACEMENT in k]
    for prefers in (
        lambda k: _REPLACEMENT in k,
        lambda k: k.endswith('/' + path),
        lambda k: _clip(k) == wanted,
    ):
      found = [k for k in found if prefers(k)] or found
    if len({_stem(k) for k in found}) > 1:
      raise UserError(
          f'a list names {path!r}, which could be {found[0]!r} or '
          f'{found[1]!r}. Write the path relative to data.root.'
      )
    return found[0] if found else None

  @functools.cached_property
  def _by_id(self) -> dict[str, list[str]]:
    out = collections.defaultdict(list)
    for key in self.keys:
      out[_stem(key)[:_ID]].append(key)
    return out


def _stem(path: str) -> str:
  return files.stem(path.rsplit('/', 1)[-1])


def _clip(path: str) -> tuple[str | int, ...]:
  """(YouTube id, start, end), as far as the file name has them."""
  stem = _stem(path)
  return stem[:_ID], *map(int, re.findall('[0-9]+', stem[_ID:]))


def _list_files(role: str, _: int = 1) -> list[str]:
  return [
      f'{stem}{word}{ending}'
      for ending in _ENDINGS
      for stem in _STEMS
      for word in _WORDS[role]
  ]


def _parse(file: pathlib.Path, head: str, key: str, lists) -> Listing | None:
  """Reads an official list: a CSV with a header, one line per clip."""
  columns = {cell.strip(' "\n') for cell in head.split(',')}
  if 'youtube_id' not in columns:
    return None
  if 'label' not in columns:
    raise UserError(
        f'{file} ({key}) has no labels: those of the official test list are '
        'not in it. Score the validation list (val.csv, the default), or give '
        'a list with the column label.'
    )
  items = []
  for line, row in text.rows(file, _COLUMNS):
    try:
      start, end = (int(float(row[c])) for c in _COLUMNS[2:])
    except (ValueError, OverflowError) as e:
      raise UserError(
          f'{file} ({key}), line {line}: wanted times in seconds, '
          f'found {row["time_start"]!r} and {row["time_end"]!r}.'
      ) from e
    if not row['label']:
      raise UserError(
          f'{file} ({key}), line {line}: the clip has no label. Score the '
          'validation list (val.csv), or give a list with labels.'
      )
    name = f'{row["youtube_id"]}_{start:06d}_{end:06d}.mp4'
    items.append(Item(name, row['label'], line=line))
  return grammars.listing(file, key, items)


def _read_classes(folder: pathlib.Path | None) -> Classes | None:
  """Reads the file of numbered names, else sorts the names in the lists."""
  if file := text.first(folder, _CLASS_FILES):
    return Classes.of(class_files.read(file), file.name)
  names = set()
  for role in _WORDS:
    file = text.first(folder, _list_files(role))
    if file and (columns := text.lines(file)):
      listing = _parse(file, columns[0][1], f'data.{role}_list', folder)
      names |= {i.label for i in listing.items} if listing else set()
  if not names:
    return None
  return Classes.of(sorted(names), 'the names in the lists, sorted')


DESCRIPTION = Description(
    name='kinetics',
    title='Kinetics',
    homepage=_HOMEPAGE,
    wanted=(
        'Kinetics needs a folder with <youtube id>_<start>_<end>.mp4 in it or '
        'in its folders, and annotations/ with train.csv and val.csv '
        '(--config.data.root=DIR).\n  Get both from '
        f'{_HOMEPAGE}, or from a mirror.'
    ),
    splits=(1,),
    roles=('train', 'test'),
    folders=tuple(
        f'{name}{n}'
        for name in ('k', 'kinetics', 'kinetics-dataset/k')
        for n in _KINDS
    ),
    video_places=('.', 'videos', 'frames', 'rawframes'),
    list_places=('annotations', '.', '../annotations'),
    list_files=_list_files,
    read_classes=_read_classes,
    class_of=class_of,
    parse=_parse,
    # As deep as train/<class>/<clip>.
    has_videos=functools.partial(
        files.has_clips, first=0, last=2, frames=_FRAMES
    ),
    open_store=Videos,
    class_files=_CLASS_FILES,
    only_listed=True,
    all_classes=True,
)
