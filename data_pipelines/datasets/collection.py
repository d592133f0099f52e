"""What a data set module hands over, and how it reads the config's lists."""

import dataclasses
import pathlib
from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists import (
  class_table,
  grammars,
  locate,
  missing_clips,
  own_classes,
  path_rule,
)
from data_pipelines.lists import classes as class_names
from data_pipelines.lists.clips import ClipList, check_disjoint

# What lists are for; the test lists are one role.
ROLES = ('train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class Collection:
  """A data set with its lists, before a few-shot selection.

  Attributes:
    store: where the clips are.
    train: all clips that may be trained on; None where only scoring was asked
      for and nothing names them.
    val: clips to choose a checkpoint by, if any.
    tests: lists to report, by name.
    class_names: K names in label order, as prompts say them.
    own_names: the class names of lists whose labels mean other classes than
      the training clips', by name of the list.
  """

  store: locate.Store
  train: ClipList | None
  val: ClipList | None
  tests: dict[str, ClipList]
  class_names: list[str]
  own_names: dict[str, list[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Given:
  """Where the config's list files are read.

  Attributes:
    train, val: the lists named by data.train_list and data.val_list.
    tests: data.test_list as 'test', or data.tests by name.
  """

  train: locate.Located | None
  val: locate.Located | None
  tests: dict[str, locate.Located]

  def all(self) -> list[locate.Located]:
    """Every list given."""
    return [x for x in (self.train, self.val, *self.tests.values()) if x]


def read_given(
    data,
    store: locate.Store,
    root: str,
    report_folder: str | None,
    train_list: str = '',
    reader: Callable[[str, str, str], grammars.Listing] = grammars.read,
    roles: tuple[str, ...] = ROLES,
) -> Given:
  """Reads the list files that the config names and finds their clips.

  Args:
    data: config.data.
    store: where clips are.
    root: folder that list files may be relative to.
    report_folder: for the names of missing clips, or None.
    train_list: instead of data.train_list.
    reader: reads a list file from (file, config key, root).
    roles: without 'train', the training list only tells the classes: its clips
      may be missing.

  Raises:
    UserError: two kinds of test list, a test list named 'train' or 'val', or
      anything `list_files.read` and `labels.locate` refuse.
  """
  if data.test_list and data.tests:
    raise UserError(
        'data.test_list and data.tests both name test lists: use one of them.'
    )
  tests = {'test': data.test_list} if data.test_list else dict(data.tests)
  files = {'train': train_list or data.train_list, 'val': data.val_list}
  keys = {'train': 'data.train_list', 'val': 'data.val_list'}
  for name, file in tests.items():
    if name in ('train', 'val'):
      raise UserError(f'data.tests.{name}: give this test list another name.')
    files[name] = file
    keys[name] = 'data.test_list' if data.test_list else f'data.tests.{name}'
  rule = path_rule.parse(data.path_rule)
  found = {}
  with missing_clips.together() as attempt:
    for name, file in files.items():
      if not file:
        continue
      listing = path_rule.rewrite(reader(file, keys[name], root), rule)
      _check_scope(listing, data.class_scope)
      unread = name == 'train' and 'train' not in roles
      with attempt():
        found[name] = locate.locate(
            name,
            listing,
            store,
            report_folder,
            'keep' if unread else data.on_missing,
        )
  if data.class_scope == 'per_list':
    names = class_names.read_per_list(data.class_names)
    found = {n: own_classes.number(x, names) for n, x in found.items()}
  elif class_names.is_per_list(data.class_names):
    raise UserError(
        f'data.class_names={data.class_names} has names for each list: set '
        'data.class_scope=per_list.'
    )
  train, val = found.pop('train', None), found.pop('val', None)
  return Given(train, val, found)


def _check_scope(listing: grammars.Listing, scope: str):
  numbers = any(isinstance(i.label, int) for i in listing.items)
  if listing.split and numbers and scope != 'per_list':
    raise UserError(
        f'{listing.file} ({listing.key}): lists of CLIP-FSAR number their '
        f'classes anew for each split, and this one is of {listing.split!r}: '
        'set data.class_scope=per_list.'
    )


def whole(name: str, origin: str, keys: list[str]) -> locate.Located:
  """Clips of a folder as a list whose labels the folders tell."""
  items = tuple(grammars.Item(key, None, None, None, 0) for key in keys)
  listing = grammars.Listing(pathlib.Path(origin), 'data.root', items)
  return locate.Located(name, listing, tuple(keys))


def build(
    store: locate.Store,
    table: locate.ClassTable,
    train: ClipList | None,
    val: ClipList | None,
    tests: dict[str, ClipList],
) -> Collection:
  """Numbers the classes and refuses lists that overlap.

  Args:
    store: where clips are.
    table: the classes that the lists' labels refer to.
    train, val, tests: the lists; without `train` there is something to score.

  Raises:
    UserError: a clip to score is also trained on, or its class never is
      (unless lists have classes of their own).
  """
  if train is not None and not train.records:
    raise UserError(f'there are no training clips in {train.origin}.')
  others = ([val] if val else []) + list(tests.values())
  for other in others if train else ():
    check_disjoint(
        train, other, 'Give lists of one and the same split, or cut one list.'
    )
  if val:
    for test in tests.values():
      check_disjoint(
          val, test, 'A test clip must not help to choose the checkpoint.'
      )
  own_names = {}
  if any(clips.classes for clips in (train, *others) if clips):
    train = class_table.own(table, train) if train else None
    others = [class_table.own(table, x) for x in others]
    names = list((train or others[0]).classes)
    own_names = {clips.name: list(clips.classes) for clips in others}
  else:
    names, train, others = class_table.compact(table, train, others)
  val = others.pop(0) if val else None
  tests = dict(zip(tests, others, strict=True))
  return Collection(store, train, val, tests, names, own_names)
