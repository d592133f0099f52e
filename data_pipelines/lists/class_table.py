"""The classes of a run in label order, and which of them are kept."""

import dataclasses
from collections.abc import Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import classes
from data_pipelines.lists.clips import ClipList


@dataclasses.dataclass(frozen=True)
class ClassTable:
  """Classes in label order.

  Attributes:
    raw: names as folders and lists write them; '' for a number that no clip
      has or nothing names.
    shown: names as prompts say them.
    origin: where the order comes from.
    fixed: the user gave the classes: all stay, with or without clips.
  """

  raw: tuple[str, ...]
  shown: tuple[str, ...]
  origin: str
  fixed: bool = False

  @classmethod
  def of(cls, raw: Sequence[str], origin: str) -> 'ClassTable':
    """A table whose prompts are the cleaned names."""
    shown = tuple(classes.clean(n) for n in raw)
    return cls(tuple(raw), shown, origin)

  @classmethod
  def from_file(cls, path: str) -> 'ClassTable':
    """The table the user wrote (data.class_names), names left as they are."""
    names = tuple(classes.read(path))
    return cls(names, names, str(path), fixed=True)

  def label(self, name: str) -> int | None:
    """The number of a class by its name, however it is spelt, or None."""
    if name and name in self.raw:
      return self.raw.index(name)
    wanted = classes.same(name)
    for label, raw in enumerate(self.raw):
      if raw and classes.same(raw) == wanted:
        return label
    return None


def compact(
    table: ClassTable, train: ClipList | None, others: Sequence[ClipList]
) -> tuple[list[str], ClipList | None, list[ClipList]]:
  """Keeps the classes that have training clips and numbers them anew.

  A table that the user gave stays as it is, but for numbers without a name.

  Args:
    table: the classes that labels refer to.
    train: the training list; None keeps the classes that `others` have.
    others: the lists to score.

  Returns:
    (names as prompts say them, training list, other lists).

  Raises:
    UserError: clips to score of a class that has no training clip, or no name.
  """
  used = {k for clips in [train] if clips for k in clips.counts()}
  if table.fixed:
    used |= {k for k, name in enumerate(table.raw) if name}
  elif train is None:
    used = {k for clips in others for k in clips.counts()}
  for clips in others:
    strange = [r for r in clips.records if r.label not in used]
    if strange and table.fixed:
      raise UserError(
          f'the {clips.name} list ({clips.origin}) has {len(strange)} clips of '
          f'classes without a name in {table.origin}, such as number '
          f'{strange[0].label} (from 0) of {strange[0].path}. Complete the '
          'names, or cut that list.'
      )
    if strange:
      names = sorted({table.raw[r.label] or str(r.label) for r in strange})
      raise UserError(
          f'the {clips.name} list ({clips.origin}) has {len(strange)} clips of '
          f'{len(names)} classes without a training clip, such as '
          f'{names[0]!r}. Cut that list, add training clips, or name all '
          'classes (data.class_names).'
      )
  order = sorted(used)
  new = {old: k for k, old in enumerate(order)}
  names = [table.shown[old] or f'class {old}' for old in order]
  classes.check_distinct(names, table.origin)

  def renumber(clips):
    return clips.replace(
        dataclasses.replace(r, label=new[r.label]) for r in clips.records
    )

  train = renumber(train) if train else None
  return names, train, [renumber(c) for c in others]


def own(table: ClassTable, clips: ClipList) -> ClipList:
  """A list beside others with classes of their own: it gets its own, too.

  Args:
    table: the classes its labels refer to, if it has none of its own.
    clips: the list.

  Returns:
    The list with `classes`: those it has clips of.
  """
  if clips.classes:
    return clips
  names, alone, _ = compact(table, clips, [])
  return dataclasses.replace(alone, classes=tuple(names))
