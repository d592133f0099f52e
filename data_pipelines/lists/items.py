"""What a list file says, before anyone knows which clips and classes it means.
"""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Item:
  """One line of a list.

  Attributes:
    path: as written, with '/' for '\\'.
    label: a number, a class name, or None where the list has none.
    start, end: seconds or None.
    line: its number in the file, from 1.
    first, stop: frame numbers from 0 instead of seconds, or None.
    class_name: what the list calls the class beside its number; '' if it
      does not.
  """

  path: str
  label: int | str | None
  start: float | None
  end: float | None
  line: int
  first: int | None = None
  stop: int | None = None
  class_name: str = ''


@dataclasses.dataclass(frozen=True)
class Listing:
  """A list file that has been read.

  Attributes:
    file: where it was.
    key: the config key that named it, for messages.
    items: its lines in order.
    first_number: the number of its first class, where the grammar says it.
    by_name: its paths are of somebody else's machine or lack suffixes: a clip
      is found by the last parts of its path.
    split: 'train', 'val' or 'test', where the grammar says it.
    classes: the names of its own classes in its own numbering, if it does not
      share those of the training list (data.class_scope); labels are then
      positions in it.
    selected: it is a few-shot selection already (see `few_shot`).
  """

  file: pathlib.Path
  key: str
  items: tuple[Item, ...]
  first_number: int | None = None
  by_name: bool = False
  split: str = ''
  classes: tuple[str, ...] = ()
  selected: bool = False

  @property
  def name(self) -> str:
    """The file's own name, without its folder."""
    return self.file.name

  def where(self, item: Item) -> str:
    """'list.txt, line 3', for messages."""
    return f'{self.file}, line {item.line}'


def short(line: str) -> str:
  """A line as messages show it."""
  text = line.strip()
  return repr(text if len(text) <= 80 else text[:77] + '...')
