"""Reads the user's own clips: DIR/<class>/<clip>, or lists of clips.

Without a list, the folders are the classes, in alphabetical order. A folder
that holds only `train`, `val` and `test` is split accordingly. If nothing says
what to test on, a fixed part of every class is held out.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

from data_pipelines.datasets import dataset
from data_pipelines.datasets.dataset import ROLES, DataSet
from data_pipelines.errors import UserError
from data_pipelines.lists import class_files, labels
from data_pipelines.lists import classes as class_names
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import ClipList, Item, Listing
from data_pipelines.lists.locate import ClassOf, folder_of, locate
from data_pipelines.stores import files

_WANTED = (
    'Set --config.data.root to a folder with one folder of videos per class, '
    'or --config.data.train_list to a CSV with the columns path,label.'
)
_SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation'),
    'test': ('test', 'testing'),
}
# One clip in this many is held out if nothing says what to test on.
_HELD_OUT = 5


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> DataSet:
  """Reads the lists and classes of a folder, or of a CSV.

  data.root is the folder, or a CSV or TSV of all clips. Paths in a list are
  relative to data.root, or to the list itself if data.root is ''. Arguments are
  as for `datasets.read`; `split` (1, 2, 3, ...) chooses which clips are held
  out, if any are.

  Raises:
    UserError: no clips, or lists that do not fit the folder or each other.
  """
  if data.tfds_dir:
    raise UserError(
        f'data.tfds_dir={data.tfds_dir}: your own clips are read from their '
        'files (data.root).'
    )
  root, train_list = _root(data)
  store = files.FileTree(root)
  parts = {} if train_list else _parts(store)
  # The class may also be the last folder, as in videos/cooking/a.mp4.
  place = bool(parts)
  class_ofs = [lambda key: [*key.split('/')[:-1], '', ''][place], folder_of]
  listings = dataset.read_given(data, str(root), train_list=train_list)
  listings = locate(listings, store, folder_of, data, report_folder, roles)
  given = {listing.role for listing in listings}
  tests = given - {'train', 'val'}
  if not listings:
    class_ofs.pop()
  if parts:
    deep = [key for key in store.keys if key.count('/') > 1]
    folders = {
        name: [key for key in deep if key.startswith(f'{part}/')]
        for name, part in parts.items()
        if name != 'test' or not tests
    }
  else:
    needed = 'train' in roles or not tests
    pool = [] if train_list else _pool(store, listings, needed)
    folders = {'train': pool} if pool else {}
  wholes = []
  for name, keys in folders.items():
    if name not in given:
      # Without labels: the folders tell the classes.
      items = tuple(Item(key, clip=key) for key in keys)
      part = root / parts.get(name, '')
      wholes.append(Listing(part, 'data.root', items, name))
  _check_folders(store, parts, wholes)

  def table(listings):
    return _classes(data.class_names, listings, class_ofs)

  clips, classes = dataset.number(data, wholes + listings, table, folder_of)
  if clips.keys() == {'train', 'val'} and 'val' not in given:
    # A folder with train and val only: report on val.
    clips['test'] = dataclasses.replace(clips.pop('val'), name='test')
  if not clips.keys() - {'train', 'val'}:
    copies = store.originals([r.path for r in clips['train'].records])
    how = data.shots, split, copies.__getitem__
    train, test = hold_out(clips['train'], *how)
    clips |= {'train': train} | ({'test': test} if test.records else {})
  return dataset.assemble(store, classes, clips)


def hold_out(
    pool: ClipList, shots: int, split: int, video: Callable[[str], str] = str
) -> tuple[ClipList, ClipList]:
  """Splits clips into training and test by a fixed rule, not by the seed.

  One clip in five of every class is held out (at least one), in the order of
  SHA-256 of '<split>/<path>', unless fewer than `shots` (or 1) training clips
  of a class would be left. Each split (1, 2, 3, ...) holds out other clips.
  Pieces and copies of a video stay together: `video` maps a path to the one
  that stands for all copies of its video.

  Returns:
    (training list, test list), both in the order of the pool.
  """

  def rank(path):
    name = f'{split}/{path}'.encode(errors='surrogateescape')
    return hashlib.sha256(name).digest()

  left = pool.counts()
  wanted = {label: max(1, n // _HELD_OUT) for label, n in left.items()}
  wanted, held = collections.Counter(wanted), set()
  videos = collections.defaultdict(collections.Counter)
  for record in pool.records:
    videos[video(record.path)][record.label] += 1
  for path in sorted(videos, key=rank):
    pieces = videos[path]
    if any(wanted[k] > 0 for k in pieces) and all(
        left[k] - n >= max(shots, 1) for k, n in pieces.items()
    ):
      held.add(path)
      left.subtract(pieces)
      wanted.subtract(pieces)
  origin = f'1 in {_HELD_OUT} clips of {pool.origin}, split {split}'
  test = dataclasses.replace(pool, name='test', origin=origin)
  return (
      pool.replace(r for r in pool.records if video(r.path) not in held),
      test.replace(r for r in pool.records if video(r.path) in held),
  )


def _root(data) -> tuple[pathlib.Path, str]:
  """Returns (folder to which paths are relative, training list or '')."""
  root, train_list = data.root, data.train_list
  if root and pathlib.Path(root).expanduser().is_file():
    if train_list:
      raise UserError(
          f'data.root={root} and data.train_list={train_list} are both files: '
          'data.root must be the folder that the paths are relative to.'
      )
    root, train_list = '', str(pathlib.Path(root).expanduser())
  if not root and train_list:
    return pathlib.Path(train_list).expanduser().absolute().parent, train_list
  return files.check_root(root, _WANTED), train_list


def _parts(store: files.FileTree) -> dict[str, str]:
  """Returns {'train': folder, ...} if only folders of splits hold clips."""
  folders = sorted({key.split('/')[0] for key in store.keys if '/' in key})
  parts = {
      split: folder
      for split, names in _SPLITS.items()
      for folder in folders
      if folder.lower() in names
  }
  whole = 'train' in parts and len(parts) > 1
  return parts if whole and len(parts) == len(folders) else {}


def _pool(
    store: files.FileTree, listings: Sequence[Listing], needed: bool
) -> list[str]:
  scored = {item.clip for listing in listings for item in listing.items}
  keys = [k for k in store.keys if '/' in k and k not in scored]
  if not keys and needed:
    what = 'clips but those to score' if scored else 'folders of videos'
    raise UserError(f'data.root={store} has no {what} in it. {_WANTED}')
  return keys


def _check_folders(store: files.FileTree, parts, wholes: Sequence[Listing]):
  """Prints notes on unused files; refuses two links to the same folder."""
  for listing in wholes:
    part = parts.get(listing.role, '')
    top = store.root / part
    if unused := store.unused(part):
      print(
          f'note: {len(unused)} files in {top} are not recognised as videos '
          f'and not used, such as {unused[0]}.'
      )
    if bare := [k for k in store.keys if k.rpartition('/')[0] == part]:
      print(
          f'note: {len(bare)} videos are in {top} itself, not in a class '
          f'folder, and are not used, such as {bare[0]}.'
      )
    there = {item.clip.split('/')[bool(part)] for item in listing.items}
    names, real = files.folders(top), {}
    for name in filter(there.__contains__, names):
      other = real.setdefault(os.path.realpath(top / name), name)
      if other != name:
        raise UserError(
            f'{top}: the class folders {other!r} and {name!r} are the same '
            'folder. Remove one of the links.'
        )
    if empty := [name for name in names if name not in there]:
      shown = ', '.join(map(repr, empty[:5])) + ', ...' * (len(empty) > 5)
      print(
          f'note: {len(empty)} folders in {top} hold no videos and are not '
          f'classes: {shown}.'
      )


def _classes(
    names: str, listings: Sequence[Listing], class_ofs: Sequence[ClassOf]
) -> tuple[Classes, ClassOf]:
  """Finds the classes, and the function that tells a clip's class."""
  # Names for each list are for the user's lists only, not for folders.
  given = names and not class_files.is_per_list(names)
  if given:
    table = Classes.given(class_files.read(names), names)
  else:
    table = labels.infer(listings, class_ofs)
  items = [item for listing in listings for item in listing.items]
  bare = [item.clip for item in items if item.label is None]
  numbered = [item.clip for item in items if isinstance(item.label, int)]
  for candidate in class_ofs:
    folders = {candidate(key) for key in bare or numbered}
    known = class_names.match(sorted(folders), table.raw)
    if bare and len(known) == len(folders) or not bare and known:
      return table, candidate
  if bare and given:
    table = _by_position(table, sorted({class_ofs[0](key) for key in bare}))
  return table, class_ofs[0]


def _by_position(table: Classes, folders: list[str]) -> Classes:
  """Names unknown folders by order: the first name is the first folder's."""
  known = class_names.match(folders, table.raw)
  if not known and len(folders) == len(table.raw):
    return dataclasses.replace(table, raw=tuple(folders))
  unknown = next(name for name in folders if name not in known)
  raise UserError(
      f'{table.origin} (data.class_names) does not name the folder '
      f'{unknown!r}. Name all {len(folders)} class folders as they are '
      'called, or write one new name per folder in alphabetical order.'
  )
