"""What a list of clips is: lines, records, their order, hash and file form.

A line of a list file is an `Item`; where its clip is found and its class has a
number it becomes a `ClipRecord` of a `ClipList`. The plain form, which runs
write down:

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
# A further line of the head, of lists that are a few-shot selection.
SELECTED = '# selected: yes'


@dataclasses.dataclass(frozen=True)
class Item:
  """One line of a list.

  `path` is as written, with '/' for '\\'; `label` a number, a class name, or
  None where the list has none. `start` and `end` are seconds, `first` and
  `stop` frame numbers instead (`ClipRecord`). `line` is its number in the file,
  from 1; 0 = of no file. `class_name` is what the list calls the class beside
  its number, `clip` the key of its clip in the data, once it is found
  (`locate`).
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
  """A list file that has been read.

  Attributes:
    key: the config key that named it, for messages.
    role: what it is for: 'train', 'val', or a test list's name.
    first_number: the number of its first class, where the grammar says it.
    by_name: its paths are of somebody else's machine or lack suffixes: a clip
      is found by the last parts of its path.
    split: 'train', 'val' or 'test', where the grammar says it.
    selected: it is a few-shot selection already (see `few_shot`).
    official: it is the data set's own list, not one of the config.
    missing: what it named and the data lack.
  """

  file: pathlib.Path
  key: str
  items: tuple[Item, ...]
  role: str = ''
  first_number: int | None = None
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
  """One clip of a list, with a label of 0 .. K-1.

  `path` is relative to the data set's folder, with '/'; absolute only for a
  clip outside of it. A piece of a longer video is given by seconds, `start` and
  `end`, or by frame numbers from 0, `first` and `stop`, which is not included;
  None = from the beginning, to the end.
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
    """Its ends as texts; [] for a whole clip."""
    ends = (self.first, self.stop) if self.by_frames else (self.start, self.end)
    return [] if ends == (None, None) else list(map(_shown, ends))

  @property
  def key(self) -> str:
    """Names the clip: its path, with '@start-end' or '@first:stop'."""
    piece = (':' if self.by_frames else '-').join(self._piece)
    return f'{self.path}@{piece}' if piece else self.path

  @property
  def line(self) -> str:
    """The clip's line in the plain form."""
    piece = self._piece
    if self.by_frames:
      piece = ['frames ' + ':'.join(piece)]
    return '\t'.join([self.path, str(self.label), *piece])


@dataclasses.dataclass(frozen=True)
class ClipList:
  """Clips in a fixed order, under a name.

  `name` is 'train', 'val', 'test' or a test list's own; the positions of
  `records` are what batches call 'index'; `origin` is where they come from,
  such as a file's name. `classes` are what the labels mean, as prompts say it,
  if they mean other classes than the training list's. `missing` is what the
  list named and the data lack, `selected` whether it is a few-shot selection
  already.
  """

  name: str
  records: tuple[ClipRecord, ...]
  origin: str = ''
  classes: tuple[str, ...] = ()
  missing: tuple[str, ...] = dataclasses.field(default=(), compare=False)
  selected: bool = dataclasses.field(default=False, compare=False)

  @functools.cached_property
  def hash(self) -> str:
    """SHA-256 over the lines: the same clips, labels and order, or not."""
    text = ''.join(r.line + '\n' for r in self.records)
    return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()

  def counts(self) -> dict[int, int]:
    """Returns the clips per label, in order of first appearance."""
    return dict(collections.Counter(r.label for r in self.records))

  def replace(self, records: Iterable[ClipRecord]) -> 'ClipList':
    """Returns the list with other records, the same name and origin."""
    return dataclasses.replace(self, records=tuple(records))

  def numbered(self, new: Mapping[int, int]) -> 'ClipList':
    """Returns the list with new labels, without clips of other labels."""
    return self.replace(
        dataclasses.replace(r, label=new[r.label])
        for r in self.records
        if r.label in new
    )

  def write(self, path: str | pathlib.Path):
    """Writes the plain form; `grammars.read` takes it back unchanged."""
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
  """The shortest decimal that reads back the same; '' for None."""
  if value is None:
    return ''
  return str(int(value)) if value == int(value) else repr(float(value))


def without_repeats(clips: ClipList) -> ClipList:
  """Returns the list with lines that say the same clip and class once.

  Raises:
    UserError: a clip is there twice with two classes.
  """
  kept = {}
  for record in clips.records:
    other = kept.setdefault(record.key, record)
    if other.label != record.label:
      raise UserError(
          f'the {clips.name} list ({clips.origin}) holds {record.key!r} twice, '
          f'with the labels {other.label} and {record.label}. Keep the line '
          'that is right.'
      )
  if twice := len(clips.records) - len(kept):
    print(
        f'note: {twice} lines of the {clips.name} list ({clips.origin}) repeat '
        'another one and count once.'
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
  """Returns the clips of `other` that are in `train`, behind these.

  Two pieces of one video overlap if their times or frames do; one by seconds
  and one by frame numbers cannot be told apart and count as overlapping.
  `video` tells what stands for all copies of the video at a path.
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
