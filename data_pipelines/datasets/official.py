"""Reads any data set with an official download, as its `Description` says.

Its clips are the files of a download or mirror, or in a TFDS folder that
`data_pipelines.build` made.
"""

import dataclasses
import pathlib

from data_pipelines.datasets import dataset, description
from data_pipelines.datasets.dataset import ROLES, DataSet
from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, labels, locate
from data_pipelines.lists import classes as class_names
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Item, Listing
from data_pipelines.stores import tfds


def read(
    what: Description,
    data,
    split: int,
    report_folder: str | None = None,
    roles: tuple[str, ...] = ROLES,
) -> DataSet:
  """Reads the lists and classes of a data set.

  Lists that the config does not name are the official ones of `split`. (The
  official validation list is not used if both training and test lists are the
  user's.) The user's lists may number the classes in any way and may name files
  without their folders. Arguments are as for `datasets.read`; without the role
  'train', all classes of the data set are kept.

  Raises:
    UserError: the data or lists are missing or do not fit.
  """
  if data.tfds_dir:
    description.check_split(what, split)
    store = tfds.TfdsStore(data.tfds_dir, what.archive_name, split)
  else:
    videos = description.find_videos(what, data.root, data.path_rule)
    store = what.open_store(videos)
  folder = description.find_lists(what, data.root)
  found = dataset.read_given(
      data,
      data.root,
      lambda file, key: description.open_list(what, file, key, folder),
  )
  given = {listing.role for listing in found}
  for role in what.roles:
    if role in roles and not _is_given(role, data):
      where = what, data, store, role, split
      if data.tfds_dir:
        listing = _stored_list(*where)
      else:
        listing = _official_list(*where, folder)
      found += [listing] if listing else []
  # In messages and reports, official lists are in the same order as others.
  found.sort(key=lambda x: ('train', 'val', x.role).index(x.role))
  found = locate.locate(found, store, what.class_of, data, report_folder, roles)
  trained = any(x.role == 'train' for x in found)

  def table(listings):
    classes = _table(what, data, folder, store, listings, trained)
    untrained = what.untrained_classes
    return dataclasses.replace(classes, untrained=untrained), what.class_of

  how = what.class_of, what.repeats
  lists, classes = dataset.number(data, found, table, *how)
  official = [name for name in lists if name not in given]
  return dataset.assemble(store, classes, lists, official)


def _is_given(role: str, data) -> bool:
  tests = bool(data.test_list or data.tests)
  if role == 'test':
    return tests
  unused = role == 'val' and data.train_list and tests
  return bool(data[f'{role}_list'] or unused)


def _official_list(what, data, store, role, split, folder) -> Listing | None:
  """Reads a list of a download; None if it is a missing validation list."""
  description.check_split(what, split)
  listing = folder and description.official_listing(what, folder, role, split)
  if listing:
    return locate.rewrite(listing, locate.path_rule(data.path_rule))
  if role == 'val':
    title = what.list_title(role, split)
    print(f'note: there is no {title} to choose a checkpoint by.')
    return None
  places = ', '.join(p for p in what.list_places if not p.startswith('.'))
  raise UserError(
      f'the official {what.list_title(role, split)} was not found near '
      f'{store} (in {folder or places}). Unpack the lists '
      f'there, or give data.{role}_list.\n  {what.wanted}'
  )


def _stored_list(what, data, store, role, split) -> Listing | None:
  if role == 'val' and role not in store.lists:
    return None
  if role not in store.lists:
    raise UserError(
        f'{store} was built without {what.list_title(role, split)}. Give '
        f'data.{role}_list, or build it again with the official lists.'
    )
  clips = store.lists[role]
  items = [Item(**vars(r), clip=r.path) for r in clips.records]
  # Clips that the download lacked; `locate` decides on them.
  items += [Item(path) for path in clips.missing]
  file, key = pathlib.Path(clips.origin), f'data.{role}_list'
  return Listing(file, key, tuple(items), role, official=True)


def _table(what, data, folder, store, listings, trained) -> Classes:
  """Finds the classes in label order from config, data set or lists."""
  if data.tfds_dir:
    names = store.class_names
    official = Classes.of(names, str(store)) if names else None
  else:
    official = what.read_classes(folder)
  if official and (what.all_classes or not trained):
    official = dataclasses.replace(official, fixed=True)
  if not data.class_names or class_files.is_per_list(data.class_names):
    return official or infer(what, listings)
  names = class_files.read(data.class_names)
  own = Classes.of(names, data.class_names, fixed=True)
  if not official:
    return own
  known = class_names.match(names, official.raw)
  unknown = [n for n in names if n not in known]
  if not unknown:
    # The user's order of (some of) the official classes.
    raw = tuple(official.raw[known[n]] for n in names)
    return dataclasses.replace(own, raw=raw)
  if len(names) == len(official.raw):
    # Other names for the same classes, in the official order.
    return dataclasses.replace(own, raw=official.raw)
  raise UserError(
      f'{data.class_names} (data.class_names) has {len(names)} names, and '
      f'{unknown[0]!r} is not a class of {what.title}. Give official names, or '
      f'one name for each of the {len(official.raw)} classes in their order.'
  )


def infer(what: Description, listings) -> Classes:
  """Infers the classes from the lists, if no file of the data set has them."""
  try:
    return labels.infer(listings, [what.class_of])
  except UserError as e:
    if not what.class_files:
      raise
    raise UserError(
        f'{what.class_files[0]} with the class names of {what.title} was not '
        f'found beside the lists, and {e}'
    ) from e
