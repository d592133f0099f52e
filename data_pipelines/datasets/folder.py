"""Clips of one's own: DIR/<class>/<clip>, or lists of clips.

Where there is no list, the folders are the classes, in alphabetical order. A
folder with only `train`, `val` and `test` in it is split by them. Where nothing
says what to test on, a fixed part of every class is held out (`hold_out`).
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable

from data_pipelines.datasets import collection
from data_pipelines.datasets.collection import ROLES, Collection
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, locate
from data_pipelines.lists.clips import ClipList
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
# One clip in so many is held out where nothing else says what to test on.
_HELD_OUT = 5


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> Collection:
  """The lists and classes of a folder, or of a CSV.

  Args:
    data: config.data. root is the folder, or a CSV or TSV of all clips; a
      list's paths are relative to root, or to the list where root is ''.
    split: which clips are held out (1, 2, 3, ...), if any are.
    report_folder: where the names of missing clips are written.
    roles: as in `official.read`; folders give the clips of every role.

  Raises:
    UserError: no clips, or lists that do not fit (see `labels`).
  """
  if data.tfds_dir:
    raise UserError(
        f'data.tfds_dir={data.tfds_dir}: clips of one\'s own are read from '
        'their files (data.root).'
    )
  root, train_list = _root(data)
  store = files.FileTree(root)
  given = collection.read_given(
      data, store, str(root), report_folder, train_list, roles=roles
  )

  parts = {} if given.train else _parts(root)
  if parts:
    class_of = _component(1)
    folders = {n: _below(store, folder) for n, folder in parts.items()}
    if given.tests:
      folders.pop('test', None)
  else:
    class_of = _component(0)
    needed = 'train' in roles or not given.tests
    pool = {} if given.train else {'train': _pool(store, given, needed)}
    folders = {name: keys for name, keys in pool.items() if keys}
  located = {
      name: collection.whole(name, str(root / parts.get(name, '')), keys)
      for name, keys in folders.items()
  }
  located |= {x.name: x for x in given.all()}
  # A list may give paths such as videos/cooking/a.mp4.
  class_ofs = [class_of, _parent] if given.all() else [class_of]
  table, class_of = _classes(data, list(located.values()), class_ofs)
  clips = {n: locate.to_clips(x, table, class_of) for n, x in located.items()}

  train, val = clips.pop('train', None), clips.pop('val', None)
  if not clips and val and not given.val:
    # A folder with train and val only: nothing is left to report on but val.
    clips, val = {'test': dataclasses.replace(val, name='test')}, None
  if not clips:
    train, test = hold_out(train, data.shots, split)
    clips = {'test': test} if test.records else {}
  return collection.build(store, table, train, val, clips)


def hold_out(
    pool: ClipList, shots: int, split: int
) -> tuple[ClipList, ClipList]:
  """Splits clips into training and test by a fixed rule, not by the seed.

  One clip in five of every class is held out (at least one), in the order of
  SHA-256 of '<split>/<path>', unless fewer than `shots` (or 1) training clips
  of a class would be left. Pieces of one film stay together.

  Args:
    pool: all clips.
    shots: data.shots.
    split: 1, 2, 3, ...; each holds out other clips.

  Returns:
    (training list, test list), both in the order of the pool.
  """
  left = pool.counts()
  wanted = {label: max(1, n // _HELD_OUT) for label, n in left.items()}
  films = {}
  for record in pool.records:
    films.setdefault(record.path, []).append(record.label)
  order = sorted(
      films, key=lambda p: hashlib.sha256(f'{split}/{p}'.encode()).digest()
  )
  held = set()
  for path in order:
    pieces = {k: films[path].count(k) for k in films[path]}
    if any(wanted[k] > 0 for k in pieces) and all(
        left[k] - n >= max(shots, 1) for k, n in pieces.items()
    ):
      held.add(path)
      for k, n in pieces.items():
        left[k] -= n
        wanted[k] -= n
  train = pool.replace(r for r in pool.records if r.path not in held)
  test = dataclasses.replace(
      pool,
      name='test',
      records=tuple(r for r in pool.records if r.path in held),
      origin=f'1 in {_HELD_OUT} clips of {pool.origin}, split {split}',
  )
  return train, test


def _root(data) -> tuple[pathlib.Path, str]:
  """(folder that paths are relative to, training list or '')."""
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


def _parts(root: pathlib.Path) -> dict[str, str]:
  """{'train': folder, ...} if `root` holds splits and nothing else."""
  parts = {
      split: folder
      for split, names in _SPLITS.items()
      for folder in files.folders(root)
      if folder.lower() in names
  }
  whole = 'train' in parts and len(parts) > 1
  return parts if whole and len(parts) == len(files.folders(root)) else {}


def _below(store: files.FileTree, folder: str) -> list[str]:
  return [
      k for k in store.keys if k.startswith(folder + '/') and k.count('/') > 1
  ]


def _pool(
    store: files.FileTree, given: collection.Given, needed: bool
) -> list[str]:
  """Clips in class folders that no list to score names."""
  scored = {key for located in given.all() for key in located.keys}
  keys = [k for k in store.keys if '/' in k and k not in scored]
  if not keys and needed:
    what = 'more clips' if scored else 'no class folders with videos'
    raise UserError(f'data.root={store} has {what} in it. {_WANTED}')
  return keys


def _classes(
    data,
    located: list[locate.Located],
    class_ofs: list[Callable[[str], str]],
) -> tuple[locate.ClassTable, Callable[[str], str]]:
  """The classes, and how a clip without a label tells its own."""
  names = data.class_names
  if classes.is_per_list(names):
    # These are for the lists that were given; folders name themselves.
    names = ''
  if not names:
    table = locate.infer(located, class_ofs)
  else:
    table = locate.ClassTable.from_file(names)
  bare = [k for x in located for i, k in x.pairs() if i.label is None]
  for candidate in class_ofs if bare else ():
    folders = sorted({candidate(key) for key in bare})
    unknown = [f for f in folders if table.label(f) is None]
    if not unknown:
      return table, candidate
  if bare and names:
    folders = sorted({class_ofs[0](key) for key in bare})
    table = _by_position(data, table, folders)
  return table, class_ofs[0]


def _by_position(data, table, folders: list[str]) -> locate.ClassTable:
  """Names for folders called otherwise: the first name for the first folder."""
  unknown = [f for f in folders if table.label(f) is None]
  if len(unknown) == len(folders) == len(table.raw):
    return locate.ClassTable(
        tuple(folders), table.shown, table.origin, fixed=True
    )
  raise UserError(
      f'{data.class_names} (data.class_names) does not name the folder '
      f'{unknown[0]!r}. Name all {len(folders)} class folders as they are '
      'called, or write one new name per folder in alphabetical order.'
  )


def _component(position: int) -> Callable[[str], str]:
  """A function that takes one folder of a key."""

  def class_of(key: str) -> str:
    parts = key.split('/')
    return parts[position] if len(parts) > position + 1 else ''

  return class_of


def _parent(key: str) -> str:
  return key.rsplit('/', 2)[-2] if '/' in key else ''
