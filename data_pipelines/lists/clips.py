"""What a list of clips is: records, their order, their hash, their file form.

The plain form, which every list becomes inside and which runs write down:

  # evclip_jax clip list 1
  # name: train, 3 clips
  cooking/a clip.mp4<TAB>0
  films/day1.mp4<TAB>2<TAB>12.5<TAB>17
  films/day1.mp4<TAB>2<TAB>frames 120:240
"""

import collections
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterable

from data_pipelines.errors import UserError

HEADER = '# evclip_jax clip list 1'
# A further line of the head, of lists that are a few-shot selection.
SELECTED = '# selected: yes'


@dataclasses.dataclass(frozen=True)
class ClipRecord:
  """One clip of a list.

  Attributes:
    path: relative to the data set's folder, with '/'; absolute only for a
      clip outside of it.
    label: 0 .. K-1.
    start, end: seconds, for a piece of a longer film; None = from the
      beginning, to the end.
    first, stop: the same in frame numbers from 0, `stop` not included. A
      piece is given by seconds or by frame numbers.
  """

  path: str
  label: int
  start: float | None = None
  end: float | None = None
  first: int | None = None
  stop: int | None = None

  def __post_init__(self):
    if self.by_frames and not (self.start is None and self.end is None):
      raise ValueError(f'{self.path}: seconds or frame numbers, not both.')

  @property
  def by_frames(self) -> bool:
    """Whether it is a piece given by frame numbers."""
    return self.first is not None or self.stop is not None

  @property
  def key(self) -> str:
    """Names the clip: its path, with '@start-end' or '@first:stop'."""
    if self.by_frames:
      return f'{self.path}@{frame_range(self.first, self.stop)}'
    if self.start is None and self.end is None:
      return self.path
    return f'{self.path}@{seconds(self.start)}-{seconds(self.end)}'

  @property
  def line(self) -> str:
    """The clip's line in the plain form."""
    fields = [self.path, str(self.label)]
    if self.by_frames:
      fields += [f'frames {frame_range(self.first, self.stop)}']
    elif self.start is not None or self.end is not None:
      fields += [seconds(self.start), seconds(self.end)]
    return '\t'.join(fields)


@dataclasses.dataclass(frozen=True)
class ClipList:
  """Clips in a fixed order, under a name.

  Attributes:
    name: 'train', 'val', 'test' or a test list's own name.
    records: the clips. Their positions are what batches call 'index'.
    origin: where the list comes from, such as a file's name.
    classes: what its labels mean, as prompts say it, if they mean other
      classes than the training list's.
    missing: what the list named and the data lack (data.on_missing=skip).
    selected: whether it is a few-shot selection already.
  """

  name: str
  records: tuple[ClipRecord, ...]
  origin: str = ''
  classes: tuple[str, ...] = ()
  # A TFDS folder knows how many they are, but not what they were called.
  missing: tuple[str, ...] = dataclasses.field(default=(), compare=False)
  selected: bool = dataclasses.field(default=False, compare=False)

  @functools.cached_property
  def hash(self) -> str:
    """SHA-256 over the lines: the same clips, labels and order, or not."""
    text = ''.join(r.line + '\n' for r in self.records)
    return hashlib.sha256(text.encode()).hexdigest()

  def counts(self) -> dict[int, int]:
    """Clips per label, in order of first appearance."""
    return dict(collections.Counter(r.label for r in self.records))

  def replace(self, records: Iterable[ClipRecord]) -> 'ClipList':
    """The list with other records and the same name and origin."""
    return dataclasses.replace(self, records=tuple(records))

  def write(self, path: str | pathlib.Path):
    """Writes the plain form; `list_files.read` takes it back unchanged."""
    head = [
        HEADER,
        f'# name: {self.name}, {len(self.records)} clips',
        f'# from: {self.origin}',
        f'# sha256 of the lines below: {self.hash}',
    ]
    head += [SELECTED] if self.selected else []
    lines = head + [r.line for r in self.records]
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    partial.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    partial.replace(path)


def seconds(value: float | None) -> str:
  """Shortest decimal that reads back as the same number; '' for None."""
  if value is None:
    return ''
  return str(int(value)) if value == int(value) else repr(float(value))


def frame_range(first: int | None, stop: int | None) -> str:
  """'120:240'; nothing for None."""
  return ':'.join('' if n is None else str(n) for n in (first, stop))


def check_unique(clips: ClipList):
  """Raises UserError if a list holds a clip twice."""
  seen, twice = {}, []
  for record in clips.records:
    other = seen.setdefault(record.key, record)
    if other is not record:
      twice.append((other, record))
  if twice:
    one, other = twice[0]
    labels = f' with the labels {one.label} and {other.label}'
    raise UserError(
        f'the {clips.name} list ({clips.origin}) has {len(twice)} lines too '
        f'many: it holds {one.key!r} twice'
        + (labels if one.label != other.label else '')
        + '. Keep one line per clip.'
    )


def check_disjoint(train: ClipList, other: ClipList, advice: str):
  """Raises UserError if a clip of `train` is also in `other`.

  Two pieces of one film overlap if their times or frames do; one by seconds
  and one by frame numbers cannot be told apart and count as overlapping.
  """
  by_path = collections.defaultdict(list)
  for record in train.records:
    by_path[record.path].append(record)
  shared = []
  for record in other.records:
    double = next((r for r in by_path[record.path] if _meet(r, record)), None)
    if double is not None:
      shared.append((double, record))
  if shared:
    names = ' and '.join(dict.fromkeys(repr(r.key) for r in shared[0]))
    raise UserError(
        f'{len(shared)} of {len(other.records)} clips of the {other.name} '
        f'list ({other.origin}) are also in the {train.name} list '
        f'({train.origin}), the first is {names}.\n  {advice}'
    )


def _meet(one: ClipRecord, other: ClipRecord) -> bool:
  if one.by_frames != other.by_frames:
    return True
  (a, b), (c, d) = _span(one), _span(other)
  return a < d and c < b


def _span(record: ClipRecord) -> tuple[float, float]:
  start, end = record.start, record.end
  if record.by_frames:
    start, end = record.first, record.stop
  return start or 0, float('inf') if end is None else end
