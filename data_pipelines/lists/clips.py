"""Defines lists of clips: lines, records, order, hash and file format.

A line of a list file is an `Item`; once its clip is found and its class has a
number, it becomes a `ClipRecord` of a `ClipList`. The plain form, in which runs
write their lists:

  # evclip_jax clip list 1
  # name: train, 3 clips
  cooking/a clip.mp4<TAB>0
  videos/day1.mp4<TAB>2<TAB>12.5<TAB>17
  videos/day1.mp4<TAB>2<TAB>frames 120:240
"""

import collections
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Mapping

from data_pipelines import whole_file
from data_pipelines.errors import UserError

HEADER = '# evclip_jax clip list 1'
# Another header line, of lists that are a few-shot selection.
SELECTED = '# selected: yes'


@dataclasses.dataclass(frozen=True)
class Item:
  """Holds one line of a list.

  `path` is as written, with '/' for '\\'; `label` a number, a class name, or
  None if the list has no labels. `start` and `end` are seconds, `first` and
  `stop` frame numbers (see `ClipRecord`). `line` is the line number from 1; 0 =
  from no file. `class_name` is the class name that the list gives besides the
  number, `clip` the key of the clip in the data once it is found (`locate`).
  """

  path: str
  label: int | str | None = None
  start: float | None = None
  end: float | None = None
  line: int = 0
  first: int | None = None
  stop: int | None = None
  class_name: str = ''
  clip: str = ''


@dataclasses.dataclass(frozen=True)
class Listing:
  """Holds a list file that has been read.

  Attributes:
    key: the config key that names it, for messages.
    role: its use: 'train', 'val', or a test list's name.
    first_number: the number of its first class, if nothing else tells.
    by_name: whether paths are of another machine or lack suffixes, so that
      clips are found by the end of their paths.
    split: 'train', 'val' or 'test', if the grammar tells.
    selected: whether it is a few-shot selection already (see `few_shot`).
    official: whether it is the data set's own list, not one of the config.
    missing: paths in the list that are not in the data.
  """

  file: pathlib.Path
  key: str
  items: tuple[Item, ...]
  role: str = ''
  first_number: int = 0
  by_name: bool = False
  split: str = ''
  selected: bool = False
  official: bool = False
  missing: tuple[str, ...] = ()

  def where(self, item: Item) -> str:
    """Returns 'list.txt, line 3', for messages."""
    if not item.line:
      return item.clip or str(self.file)
    return f'{self.file}, line {item.line}'


@dataclasses.dataclass(frozen=True)
class ClipRecord:
  """Holds one clip of a list, with a label of 0 .. K-1.

  `path` is relative to the data set's folder, with '/'; absolute only for a
  clip outside of it. A piece of a longer video is given in seconds, `start` and
  `end`, or by frame numbers from 0, `first` and `stop` (exclusive); None = from
  the beginning, or to the end.
  """

  path: str
  label: int
  start: float | None = None
  end: float | None = None
  first: int | None = None
  stop: int | None = None

  @property
  def by_frames(self) -> bool:
    """Tells whether it is a piece given by frame numbers."""
    return self.first is not None or self.stop is not None

  @property
  def _piece(self) -> list[str]:
    """Both ends as text; [] for a whole video."""
    ends = (self.first, self.stop) if self.by_frames else (self.start, self.end)
    return [] if ends == (None, None) else list(map(_shown, ends))

  @property
  def key(self) -> str:
    """Returns the clip's name: its path, with '@start-end' or '@first:stop'."""
    piece = (':' if self.by_frames else '-').join(self._piece)
    return f'{self.path}@{piece}' if piece else self.path

  @property
  def line(self) -> str:
    """Returns the clip's line in the plain form."""
    piece = self._piece
    if self.by_frames:
      piece = ['frames ' + ':'.join(piece)]
    return '\t'.join([self.path, str(self.label), *piece])


@dataclasses.dataclass(frozen=True)
class ClipList:
  """Holds clips in a fixed order.

  `name` is 'train', 'val', 'test' or that of another test list; positions in
  `records` are the 'index' of batches; `origin` says where the list comes from,
  such as a file's name. `classes` are the names, as in prompts, of the list's
  own classes, if it has others than the training list. `missing` are listed
  paths that are not in the data, `selected` tells whether it is a few-shot
  selection.
  """

  name: str
  records: tuple[ClipRecord, ...]
  origin: str = ''
  classes: tuple[str, ...] = ()
  missing: tuple[str, ...] = dataclasses.field(default=(), compare=False)
  selected: bool = dataclasses.field(default=False, compare=False)

  @functools.cached_property
  def hash(self) -> str:
    """Returns the SHA-256 of the lines: of clips, labels and their order."""
    text = ''.join(r.line + '\n' for r in self.records)
    return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()

  def counts(self) -> collections.Counter[int]:
    """Counts the clips of each label, in order of first appearance."""
    return collections.Counter(r.label for r in self.records)

  def replace(self, records: Iterable[ClipRecord]) -> 'ClipList':
    """Returns the list with these records instead."""
    return dataclasses.replace(self, records=tuple(records))

  def numbered(self, new: Mapping[int, int]) -> 'ClipList':
    """Replaces labels, old -> new; drops the clips of other labels."""
    return self.replace(
        dataclasses.replace(r, label=new[r.label])
        for r in self.records
        if r.label in new
    )

  def write(self, path: str | pathlib.Path):
    """Writes the plain form, which `grammars.read` reads back unchanged."""
    lines = [
        HEADER,
        f'# name: {self.name}, {len(self.records)} clips',
        f'# from: {self.origin}',
        f'# sha256 of the lines below: {self.hash}',
        *([SELECTED] if self.selected else []),
        *(r.line for r in self.records),
    ]
    whole_file.write(path, '\n'.join(lines) + '\n')


def _shown(value: float | None) -> str:
  """Formats a number as the shortest decimal that reads back the same."""
  if value is None:
    return ''
  return str(int(value)) if value == int(value) else repr(float(value))


def without_repeats(clips: ClipList) -> ClipList:
  """Removes lines that repeat another one's clip and class.

  Raises:
    UserError: a clip is there twice with two classes.
  """
  kept = {}
  for record in clips.records:
    other = kept.setdefault(record.key, record)
    if other.label != record.label:
      raise UserError(
          f'the {clips.name} list ({clips.origin}) holds {record.key!r} twice, '
          f'with the labels {other.label} and {record.label}. Keep the right '
          'line.'
      )
  if twice := len(clips.records) - len(kept):
    print(
        f'note: {twice} lines of the {clips.name} list ({clips.origin}) repeat '
        'another line and are ignored.'
    )
    clips = clips.replace(kept.values())
  return clips


def check_disjoint(train: ClipList, other: ClipList, advice: str):
  """Raises UserError if a clip of `train` is also in `other`."""
  if shared := overlaps(train, other):
    names = ' and '.join(dict.fromkeys(repr(r.key) for r in shared[0]))
    raise UserError(
        f'{len(shared)} of {len(other.records)} clips of the {other.name} '
        f'list ({other.origin}) are also in the {train.name} list '
        f'({train.origin}), the first is {names}.\n  {advice}'
    )


def overlaps(
    train: ClipList, other: ClipList, video: Callable[[str], str] = str
) -> list[tuple[ClipRecord, ClipRecord]]:
  """Returns pairs (clip of `train`, clip of `other`) that overlap.

  Two pieces of one video overlap if their times or frames do; a piece in
  seconds and one by frame numbers cannot be compared and count as overlapping.
  `video` maps a path to the one that stands for all copies of its video.
  """
  by_video, out = collections.defaultdict(list), []
  for record in train.records:
    by_video[video(record.path)].append(record)
  for record in other.records:
    same = by_video[video(record.path)]
    if double := next((r for r in same if _meet(r, record)), None):
      out.append((double, record))
  return out


def _meet(one: ClipRecord, other: ClipRecord) -> bool:
  (a, b), (c, d) = (
      (x.start or x.first or 0, x.end or x.stop or float('inf'))
      for x in (one, other)
  )
  return one.by_frames != other.by_frames or a < d and c < b
