"""Makes a data set of its lists: numbers the classes and checks the lists."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, classes, grammars, labels, text
from data_pipelines.lists import clips as clip_lists
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import ClipList, Listing
from data_pipelines.lists.locate import ClassOf, path_rule, rewrite
from data_pipelines.stores.tfds import Store

# The uses of lists; all test lists have one role.
ROLES = ('train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class DataSet:
  """Holds a data set's lists before a few-shot selection.

  `train` are all clips that may be trained on (None if only scoring was asked
  for and nothing names them), `val` those to choose a checkpoint by, `tests`
  maps names to the lists to report on. `class_names` are K names in label
  order, as in prompts; `own_names` are those of lists whose labels mean other
  classes than the training list's.
  """

  store: Store
  train: ClipList | None
  val: ClipList | None
  tests: dict[str, ClipList]
  class_names: list[str]
  own_names: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def read_given(
    data,
    root: str,
    read: Callable[[pathlib.Path, str], Listing] = grammars.read,
    train_list: str = '',
) -> list[Listing]:
  """Reads the list files that the config names.

  Paths may be relative to `root`; `read` reads a list, given its file and
  config key.

  Raises:
    UserError: both data.test_list and data.tests are set, a test list is named
      'train' or 'val', or `grammars.read` refuses a list.
  """
  if data.test_list and data.tests:
    raise UserError(
        'data.test_list and data.tests both name test lists: use one of them.'
    )
  for name in {'train', 'val'}.intersection(data.tests):
    raise UserError(f'data.tests.{name}: give this test list another name.')
  files = {role: data[f'{role}_list'] for role in ROLES} | dict(data.tests)
  files['train'] = train_list or data.train_list
  rule, found = path_rule(data.path_rule), []
  per_list = data.class_scope == 'per_list'
  for role in filter(files.get, files):
    key = f'data.tests.{role}' if role in data.tests else f'data.{role}_list'
    listing = read(text.find(files[role], root), key)
    numbers = any(isinstance(i.label, int) for i in listing.items)
    if listing.split and numbers and not per_list:
      raise UserError(
          f'{listing.file} ({key}): CLIP-FSAR\'s lists number the classes of '
          f'each split separately, and this one is of {listing.split!r}: set '
          'data.class_scope=per_list.'
      )
    found.append(rewrite(dataclasses.replace(listing, role=role), rule))
  if class_files.is_per_list(data.class_names) and not per_list:
    raise UserError(
        f'data.class_names={data.class_names} has names for each list: set '
        'data.class_scope=per_list. Names for all lists are a text file with '
        'one per line.'
    )
  return found


def number(
    data,
    listings: Sequence[Listing],
    table: Callable[[list[Listing]], tuple[Classes, ClassOf]],
    class_of: ClassOf,
    repeats: bool = False,
) -> tuple[dict[str, ClipList], Classes | None]:
  """Turns the labels of all lists into class numbers.

  `table` finds the classes that lists share, and the function that tells a
  clip's class by its key. Lists named in the config have their own classes if
  data.class_scope is 'per_list'; there, `class_of` is that function.

  Returns:
    (lists by name, the shared classes or None).
  """
  own, shared = [], list(listings)
  if data.class_scope == 'per_list':
    names = class_files.read_per_list(data.class_names)
    own = [x for x in listings if x.key != 'data.root' and not x.official]
    shared = [x for x in listings if x not in own]
  clips, known = {}, None
  if shared:
    known, tell = table(shared)
    for x in labels.number(shared, known, tell, repeats):
      clips[x.name] = x
  for listing in own:
    its = labels.own_classes(listing, names, class_of)
    (found,) = labels.number([listing], its, class_of, repeats)
    clips[found.name] = classes.own(its, found)
  return {x.role: clips[x.role] for x in listings}, known


def assemble(
    store: Store,
    shared: Classes | None,
    lists: dict[str, ClipList],
    official: Sequence[str] = (),
) -> DataSet:
  """Makes the data set: renumbers the classes and refuses overlapping lists.

  `shared` are the classes of lists without their own; `official` names the
  lists that come with the data set.

  Raises:
    UserError: a clip to be scored is also trained on, or its class has no
      training clips (unless lists have their own classes).
  """
  if 'train' in lists and not lists['train'].records:
    raise UserError(f'there are no training clips in {lists["train"].origin}.')
  _check_apart(store, lists, official)
  if any(clips.classes for clips in lists.values()):
    lists = {name: classes.own(shared, x) for name, x in lists.items()}
    own = {name: list(clips.classes) for name, clips in lists.items()}
    names = own.pop('train', None) or own.get('val') or next(iter(own.values()))
  else:
    (names, lists), own = classes.compact(shared, lists), {}
  tests = {n: x for n, x in lists.items() if n not in ('train', 'val')}
  return DataSet(store, lists.get('train'), lists.get('val'), tests, names, own)


def _check_apart(store: Store, lists: dict[str, ClipList], official):
  """Refuses a clip in two lists, even under different names."""
  tests = [x for name, x in lists.items() if name not in ('train', 'val')]
  advice = {
      'train': 'Give lists of the same split, or shorten one of them.',
      'val': 'A test clip must not help to choose the checkpoint.',
  }
  train, val = lists.get('train'), lists.get('val')
  pairs = [(train, other) for other in [val, *tests] if train and other]
  pairs += [(val, other) for other in tests if val]
  for one, other in pairs:
    clip_lists.check_disjoint(one, other, advice[one.name])
  keys = [r.path for clips in lists.values() for r in clips.records]
  first = store.originals(keys) if pairs else {}
  _tell_two_classes(lists.values() if pairs else (), first)
  for one, other in pairs:
    if not (shared := clip_lists.overlaps(one, other, first.__getitem__)):
      continue
    text = (
        f'{len(shared)} of {len(other.records)} clips of the {other.name} list '
        f'({other.origin}) are the same files as clips of the {one.name} list '
        f'({one.origin}) under other names, such as {shared[0][1].path} and '
        f'{shared[0][0].path}.'
    )
    if {one.name, other.name} <= set(official):
      print(f'note: {text}')
    else:
      raise UserError(f'{text}\n  {advice[one.name]}')


def _tell_two_classes(lists: Iterable[ClipList], first: dict[str, str]):
  """Prints a note on files in two classes, even under different names."""
  known, twice = {}, []
  for clips in lists:
    for record in clips.records:
      same = dataclasses.replace(record, path=first[record.path], label=0)
      other = known.setdefault((clips.classes, same), record)
      if other.label != record.label:
        twice.append((other.path, record.path))
  if twice:
    print(
        f'note: {len(twice)} clips are the same files as clips of another '
        f'class, such as {twice[0][1]} and {twice[0][0]}.'
    )
