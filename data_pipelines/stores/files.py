"""Which clips there are in a folder, and which one a list means by a name."""

import functools
import itertools
import os
import pathlib
from collections.abc import Iterable

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipRecord
from data_pipelines.video import SUFFIXES, image_folder


class Names:
  """Finds a clip by path, else by file name, else by name without suffix.

  Lists of the data sets often name a file without its folder, or with the
  suffix it had before somebody converted it.
  """

  def __init__(self, keys: Iterable[str]):
    self._by_path, self._by_name, self._by_stem = {}, {}, {}
    for key in keys:
      name = key.rsplit('/', 1)[-1].casefold()
      self._by_path[key.casefold()] = key
      self._by_name.setdefault(name, []).append(key)
      self._by_stem.setdefault(_stem(name), []).append(key)

  def find(self, path: str) -> str | None:
    """The key a list means by `path`, or None.

    Raises:
      UserError: if several clips could be meant.
    """
    path = path.casefold()
    if path in self._by_path:
      return self._by_path[path]
    name = path.rsplit('/', 1)[-1]
    keys = self._by_name.get(name) or self._by_stem.get(_stem(name)) or []
    if len(keys) > 1:
      # Folders that the list gives may settle it.
      alike = [_common_end(k.casefold(), path) for k in keys]
      keys = [k for k, n in zip(keys, alike, strict=True) if n == max(alike)]
    if len(keys) > 1:
      raise UserError(
          f'a list names {path!r}, which could be {keys[0]!r} or '
          f'{keys[1]!r}. Write the path relative to data.root.'
      )
    return keys[0] if keys else None


class FileTree:
  """Clips as files below a folder. A key is the path below that folder.

  A folder of numbered pictures is a clip as well.

  Attributes:
    counts_from: the number of the picture that lists call frame 0; None = the
      first one there is.
  """

  counts_from: int | None = None

  def __init__(self, root: str | os.PathLike, by_name: bool = False):
    """Reads nothing yet.

    Args:
      root: the folder.
      by_name: whether lists may name files without their folders.
    """
    self.root = pathlib.Path(root).absolute()
    self._by_name = by_name

  @functools.cached_property
  def keys(self) -> list[str]:
    """All clips below the folder, sorted; hidden files and folders left out."""
    return sorted(walk(self.root))

  @functools.cached_property
  def _names(self) -> Names:
    return Names(self.keys)

  def find(self, path: str) -> str | None:
    """The key of the clip a list means by `path`, or None."""
    full = os.path.normpath(os.path.join(self.root, path))
    if os.path.isfile(full) or image_folder.is_frame_folder(full):
      return self.key(full)
    return self._names.find(path) if self._by_name else None

  def find_by_name(self, path: str) -> str | None:
    """The same for a path of another machine: its last parts decide."""
    return self._names.find(path)

  def key(self, full: str) -> str:
    """The key of a file: below the folder relative, elsewhere absolute."""
    inside = os.path.relpath(full, self.root)
    outside = inside == '..' or inside.startswith('..' + os.sep)
    return (full if outside else inside).replace(os.sep, '/')

  def media(self, key: str) -> str:
    """The file or folder of a key."""
    return os.path.join(self.root, key)

  def stored(self, record: ClipRecord) -> str:
    """The key under which a record's frames are: its path."""
    return record.path

  def __str__(self) -> str:
    return str(self.root)


def walk(root: pathlib.Path) -> Iterable[str]:
  """Paths of all clips below `root`, relative to it, in no set order.

  A folder with numbered pictures and neither videos nor folders is one clip.
  """
  seen = set()
  for folder, names, files in os.walk(root, followlinks=True):
    # A link that leads back up would never end.
    real = os.path.realpath(folder)
    if real in seen:
      names.clear()
      continue
    seen.add(real)
    names[:] = [n for n in names if not n.startswith('.')]
    found = [os.path.join(folder, n) for n in files if is_clip(n)]
    if not found and not names and image_folder.are_frames(files):
      found = [folder]
    for full in found:
      key = os.path.relpath(full, root).replace(os.sep, '/')
      # The root itself is no clip of its own.
      if key != '.':
        yield key


def is_clip(name: str) -> bool:
  """Whether a file name is a video's."""
  return (
      os.path.splitext(name)[1].lower() in SUFFIXES
      and not name.startswith('.')
  )


def has_class_folders(root: pathlib.Path) -> bool:
  """Whether any folder directly below `root` directly holds a clip."""
  return any(
      is_clip(name) or image_folder.is_frame_folder(root / folder / name)
      for folder in folders(root)
      for name in os.listdir(root / folder)
  )


def has_clips(root: pathlib.Path) -> bool:
  """The same, or folders of pictures without class folders."""
  return has_class_folders(root) or any(
      image_folder.is_frame_folder(root / folder) for folder in folders(root)
  )


def folders(root: pathlib.Path) -> list[str]:
  """Names of the visible folders directly below `root`, sorted."""
  try:
    entries = list(os.scandir(root))
  except OSError:
    return []
  return sorted(
      e.name for e in entries if e.is_dir() and not e.name.startswith('.')
  )


def check_root(root: str, wanted: str) -> pathlib.Path:
  """The data folder as a path.

  Args:
    root: data.root.
    wanted: what should be in it and where to get it, for the message.

  Raises:
    UserError: not set, or no such folder.
  """
  if not root:
    raise UserError(f'data.root is not set. {wanted}')
  path = pathlib.Path(root).expanduser().absolute()
  if not path.is_dir():
    what = 'is not a folder' if path.exists() else 'does not exist'
    raise UserError(f'data.root={root} {what}. {wanted}')
  return path


def _common_end(one: str, other: str) -> int:
  """How many folders right before the file name two paths share."""
  pairs = zip(one.split('/')[-2::-1], other.split('/')[-2::-1], strict=False)
  return sum(1 for _ in itertools.takewhile(lambda p: p[0] == p[1], pairs))


def _stem(name: str) -> str:
  stem, suffix = os.path.splitext(name)
  return stem if suffix in SUFFIXES else name
