"""Data sets with an official download: what all of them have in common.

A data set is a `Description`: where its files usually lie, how its lists and
its class names are read. `read` makes the lists of a run from it, either from
the files of a download or mirror or from a prepared TFDS folder;
`builders.plan` makes of the same description what is stored in such a folder.
"""

import dataclasses
import pathlib

from data_pipelines.datasets import collection
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.datasets.description import (
  Description,
  check_split,
  find_layout,
  list_key,
  official_listing,
)
from data_pipelines.errors import UserError
from data_pipelines.lists import (
  classes,
  locate,
  missing_clips,
  numbering,
  path_rule,
)
from data_pipelines.lists.items import Item, Listing
from data_pipelines.stores import tfds


def read(
    what: Description,
    data,
    split: int,
    report_folder: str | None = None,
    roles: tuple[str, ...] = ROLES,
) -> Collection:
  """The lists and classes of a data set.

  Lists that the config does not name are the official ones of `split`. (An
  official validation list is not used where both the training and the test
  lists are the user's.) Lists of others may number the classes from 0 or from
  1 and may name files without their folders.

  Args:
    what: the data set.
    data: config.data.
    split: which official split.
    report_folder: where the names of missing clips are written.
    roles: which official lists are wanted. Without 'train', the classes are
      all of the data set, and the clips of data.train_list may be missing.

  Raises:
    UserError: the data or lists are missing or do not fit (see `labels`).
  """
  if data.tfds_dir:
    layout = None
    check_split(what, split)
    store = tfds.TfdsStore(data.tfds_dir, what.archive_name, split)
  else:
    layout = find_layout(what, data.root, data.path_rule)
    store = what.open_store(layout.videos)
  located = {}
  with missing_clips.together() as attempt:
    with attempt():
      given = collection.read_given(
          data,
          store,
          data.root,
          report_folder,
          reader=what.read_given,
          roles=roles,
      )
      located |= {x.name: x for x in given.all()}
    for role in what.roles:
      if role not in roles or _is_given(role, data):
        continue
      with attempt():
        if layout is None:
          found = _stored_list(what, data, store, role, split)
        else:
          found = _official_list(
              what, data, layout, store, role, split, report_folder
          )
        if found is not None:
          located[role] = found
  # The order of the lists in messages and reports does not depend on which of
  # them are official.
  first = [role for role in ('train', 'val') if role in located]
  ordered = {role: located.pop(role) for role in first} | located

  table = _table(what, data, layout, store, list(ordered.values()))
  clips = {
      name: locate.to_clips(
          x,
          table,
          what.class_of,
          numbering.first(x, table, what.class_of),
          what.repeats,
      )
      for name, x in ordered.items()
  }
  train, val = clips.pop('train', None), clips.pop('val', None)
  return collection.build(store, table, train, val, clips)


def _is_given(role: str, data) -> bool:
  tests = bool(data.test_list or data.tests)
  if role == 'test':
    return tests
  if role == 'val' and not data.val_list:
    return bool(data.train_list) and tests
  return bool(data[f'{role}_list'])


def _official_list(
    what, data, layout, store, role, split, report_folder
) -> locate.Located | None:
  """The list of a download; None for a validation list that is not there."""
  check_split(what, split)
  listing = layout.lists and official_listing(what, layout.lists, role, split)
  if listing:
    rule = path_rule.parse(data.path_rule)
    listing = path_rule.rewrite(listing, rule)
    return locate.locate(role, listing, store, report_folder, data.on_missing)
  if role == 'val':
    return None
  places = ', '.join(p for p in what.list_places if not p.startswith('.'))
  raise UserError(
      f'the official {what.list_title(role, split)} was not found near '
      f'{layout.videos} (in {layout.lists or places}). Unpack the lists '
      f'there, or give {list_key(role)}.\n  {what.wanted}'
  )


def _stored_list(what, data, store, role, split) -> locate.Located | None:
  """The same from a TFDS folder."""
  clips = store.official(role)
  if clips is None:
    if role == 'val':
      return None
    raise UserError(
        f'{store} was built without {what.list_title(role, split)}. Give '
        f'{list_key(role)}, or build it again with the official lists.'
    )
  kept, gone = len(clips.records), len(clips.missing)
  if gone and data.on_missing == 'error':
    raise UserError(
        f'{store} was built from an incomplete download: it has {kept} of the '
        f'{kept + gone} clips of the official {role} list {split}. Give '
        f'{list_key(role)} with the clips there are, build it again, or leave '
        'them out: data.on_missing=skip.'
    )
  if gone:
    print(
        f'note: {store} lacks {gone} of the {kept + gone} clips of '
        f'{clips.origin}.'
    )
  items = tuple(
      Item(r.path, r.label, r.start, r.end, line, r.first, r.stop)
      for line, r in enumerate(clips.records, 1)
  )
  listing = Listing(
      pathlib.Path(clips.origin), list_key(role), items, first_number=0
  )
  return locate.Located(
      role, listing, tuple(r.path for r in clips.records), clips.missing
  )


def _table(what, data, layout, store, located) -> locate.ClassTable:
  """The classes by number, as far as anything tells them."""
  if layout is None:
    names = store.class_names
    official = locate.ClassTable.of(names, str(store)) if names else None
  else:
    official = what.read_classes(layout.lists)
  if official and (what.all_classes or all(x.name != 'train' for x in located)):
    official = dataclasses.replace(official, fixed=True)
  if not data.class_names or classes.is_per_list(data.class_names):
    return official or _infer(what, located)
  own = locate.ClassTable.from_file(data.class_names)
  shown = tuple(classes.clean(n) for n in own.raw)
  if not official or all(official.label(n) is not None for n in own.raw):
    return dataclasses.replace(own, shown=shown)
  if len(own.raw) == len(official.raw):
    # Other words for the same classes.
    return dataclasses.replace(
        official, shown=shown, origin=own.origin, fixed=True
    )
  unknown = next(n for n in own.raw if official.label(n) is None)
  raise UserError(
      f'{data.class_names} (data.class_names) has {len(own.raw)} names, and '
      f'{unknown!r} is not a class of {what.title}. Give official names, or '
      f'one name for each of the {len(official.raw)} classes in their order.'
  )


def _infer(what: Description, located) -> locate.ClassTable:
  try:
    return locate.infer(located, [what.class_of])
  except UserError as e:
    if not what.class_file:
      raise
    raise UserError(
        f'{what.class_file} with the class names of {what.title} was not '
        f'found beside the lists, and {e}'
    ) from e
