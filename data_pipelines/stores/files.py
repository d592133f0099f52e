"""Finds the clips in a folder, and the one that a list means by a name."""

import collections
import functools
import hashlib
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import text
from data_pipelines.lists.clips import ClipRecord
from data_pipelines.video import SUFFIXES, image_folder

# Smaller files may be equal without being copies: they are practically empty.
LEAST_BYTES = 256
# Bytes compared at both ends before whole files are.
_END_BYTES = 2**16


class Names:
  """Finds a clip by path, else by file name, else by name without suffix.

  Lists often name a file without its folder, or with the suffix that it had
  before it was converted. If no path matches exactly, case and Unicode form are
  ignored.
  """

  def __init__(self, keys: Iterable[str], real: Callable[[str], str] = str):
    """Indexes the paths of clips; `real` resolves links to the same file."""
    self._keys = set(keys)
    self._real = real
    # Indexes by path, by file name, by name without suffix.
    self._tables = [collections.defaultdict(list) for _ in range(3)]
    for key in sorted(self._keys):
      for table, form in zip(self._tables, _forms(_folded(key)), strict=True):
        table[form].append(key)

  def find(self, path: str, by_name: bool = True) -> str | None:
    """Returns the key that a list means by `path`, or None.

    With `by_name`, the end of the path is enough; UserError if it is ambiguous.
    """
    if path in self._keys:
      return path
    folded = _folded(path)
    tables = self._tables if by_name else self._tables[:1]
    found = (t.get(f) for t, f in zip(tables, _forms(folded), strict=False))
    keys = next(filter(None, found), [])
    if len(keys) > 1:
      # The folders in the path may decide.
      alike = [_common_end(_folded(k), folded) for k in keys]
      keys = [k for k, n in zip(keys, alike, strict=True) if n == max(alike)]
    if len(keys) > 1:
      # Links to the same file are the same clip.
      keys = list({self._real(key): key for key in reversed(keys)}.values())
    if len(keys) > 1:
      one, other = sorted(keys)[:2]
      raise UserError(
          f'a list names {path!r}, which could be {one!r} or {other!r}. Write '
          'the path relative to data.root.'
      )
    return keys[0] if keys else None


class FileTree:
  """Finds clips that are files below a folder; keys are their relative paths.

  A folder of numbered images is a clip as well: `counts_from` is the number of
  the image that lists call frame 0; None = the first image there is.
  """

  counts_from: int | None = None

  def __init__(self, root: str | os.PathLike, by_name: bool = False):
    """Reads nothing yet; `by_name`: lists may name files without folders."""
    self.root = pathlib.Path(root).absolute()
    self._by_name = by_name

  @functools.cached_property
  def keys(self) -> list[str]:
    """Returns the keys of all clips that are not hidden, sorted."""
    return sorted(key for key, clip in _walk(self.root) if clip)

  def unused(self, folder: str) -> list[str]:
    """Returns the files in subfolders of `folder` that are no clips, sorted."""
    found = _walk(self.root / folder)
    return sorted(key for key, clip in found if not clip and '/' in key)

  @functools.cached_property
  def _names(self) -> Names:
    return Names(self.keys, lambda key: os.path.realpath(self.media(key)))

  def find(self, path: str, by_name: bool = False) -> str | None:
    """Returns the key of the clip that a list means by `path`, or None.

    With `by_name`, the path may be of another machine: its end is enough.
    """
    full = os.path.normpath(os.path.join(self.root, path))
    if os.path.isfile(full) or image_folder.is_frame_folder(full):
      # Keys are relative below the root, else absolute.
      inside = os.path.relpath(full, self.root)
      outside = inside.split(os.sep)[0] == '..'
      return (full if outside else inside).replace(os.sep, '/')
    by_name = by_name or self._by_name
    if not by_name and path.isascii():
      return None
    # A non-ASCII name may have another Unicode form on disk.
    return self._names.find(path, by_name)

  def media(self, key: str) -> str:
    """Returns the file or folder of a key."""
    return os.path.join(self.root, key)

  def stored(self, record: ClipRecord) -> str:
    """Returns the key under which a record's frames are stored: its path."""
    return record.path

  def originals(self, keys: Sequence[str]) -> dict[str, str]:
    """Maps each key to the first key with the same content.

    Copies are links to the same file or folder, and equal files or folders of
    images, compared by size, then by both ends, then completely.
    """
    out, by_inode = {}, {}
    for key in dict.fromkeys(keys):
      try:
        found = os.stat(self.media(key))
        out[key] = by_inode.setdefault((found.st_dev, found.st_ino), key)
      except OSError:
        out[key] = key
    groups = [[key for key in out if out[key] == key]]
    for look in (self._size, self._ends, self._digest):
      groups = [same for group in groups for same in _alike(group, look)]
    for group in groups:
      out |= dict.fromkeys(group, group[0])
    return {key: out[out[key]] for key in out}

  def _parts(self, key: str) -> list[str]:
    """Paths of the clip's file, or of its images in order."""
    path = self.media(key)
    if not os.path.isdir(path):
      return [path] if os.path.isfile(path) else []
    names = sorted(os.listdir(path), key=lambda name: (len(name), name))
    return [os.path.join(path, name) for name in names]

  def _size(self, key: str) -> tuple[int, ...] | None:
    parts = self._parts(key)
    sizes = [os.path.getsize(part) for part in parts[:1] + parts[-1:]]
    large = min(sizes, default=0) >= LEAST_BYTES
    return (len(parts), *sizes) if large else None

  def _ends(self, key: str) -> bytes:
    parts = self._parts(key)
    with open(parts[0], 'rb') as first, open(parts[-1], 'rb') as last:
      last.seek(max(os.path.getsize(parts[-1]) - _END_BYTES, 0))
      return first.read(_END_BYTES) + last.read()

  def _digest(self, key: str) -> bytes:
    total = hashlib.sha256()
    for part in self._parts(key):
      with open(part, 'rb') as file:
        total.update(hashlib.file_digest(file, 'sha256').digest())
    return total.digest()

  def __str__(self) -> str:
    return str(self.root)


def _alike(keys: list[str], look: Callable) -> list[list[str]]:
  """Groups of two or more keys for which `look` returns the same, not None."""
  groups = collections.defaultdict(list)
  for key in keys if len(keys) > 1 else ():
    groups[look(key)].append(key)
  return [g for seen, g in groups.items() if seen is not None and len(g) > 1]


def _walk(root: pathlib.Path) -> Iterable[tuple[str, bool]]:
  """Yields (path relative to `root`, whether it is a clip) of all files."""
  above = {str(root): (os.path.realpath(root),)}
  for folder, names, files in os.walk(root, followlinks=True):
    reals = above.pop(folder)
    names[:] = [n for n in names if not n.startswith('.')]
    for name in list(names):
      below = os.path.join(folder, name)
      real = os.path.realpath(below) if os.path.islink(below) else (
          os.path.join(reals[-1], name)
      )
      # A link to a parent folder would never end.
      if real in reals:
        names.remove(name)
      else:
        above[below] = (*reals, real)
    below = os.path.relpath(folder, root).replace(os.sep, '/')
    prefix = '' if below == '.' else f'{below}/'
    clips = [name for name in files if is_clip(name)]
    # Numbered images alone are one clip, but not the root itself.
    if prefix and not clips and not names and image_folder.are_frames(files):
      yield below, True
      continue
    for name in files:
      if not name.startswith('.'):
        yield prefix + name, is_clip(name)


def is_clip(name: str) -> bool:
  """Returns whether a file name is that of a video."""
  suffix = os.path.splitext(name)[1].lower()
  return suffix in SUFFIXES and not name.startswith('.')


def stem(name: str) -> str:
  """Removes the suffix of a video from a file name, if it has one."""
  stem, suffix = os.path.splitext(name)
  return stem if suffix.lower() in SUFFIXES else name


def has_clips(
    root: pathlib.Path, first: int = 1, last: int = 1, frames: str = '[^.].*'
) -> bool:
  """Returns whether there are clips in `root`.

  It looks for videos `first` to `last` folders down, and at most `last` folders
  down for folders of images whose names match the regular expression `frames`.
  """
  level = [root]
  for depth in range(last + 1):
    for path in (path for place in level for path in place.iterdir()):
      if depth >= first and is_clip(path.name) or (
          re.fullmatch(frames, path.name) and image_folder.is_frame_folder(path)
      ):
        return True
    level = [place / name for place in level for name in folders(place)]
  return False


def folders(root: pathlib.Path) -> list[str]:
  """Returns the sorted names of the folders in `root` that are not hidden."""
  try:
    found = [entry.name for entry in os.scandir(root) if entry.is_dir()]
  except OSError:
    return []
  return sorted(name for name in found if not name.startswith('.'))


def check_root(root: str, wanted: str) -> pathlib.Path:
  """Returns data.root as a path; if it is no folder, says what is `wanted`."""
  if not root:
    raise UserError(f'data.root is not set. {wanted}')
  path = pathlib.Path(root).expanduser().absolute()
  if not path.is_dir():
    what = 'is not a folder' if path.exists() else 'does not exist'
    raise UserError(f'data.root={root} {what}. {wanted}')
  return path


def _folded(path: str) -> str:
  # As for lists, names that are not UTF-8 are read as cp1252.
  return unicodedata.normalize('NFC', text.readable(path)).casefold()


def _forms(path: str) -> tuple[str, str, str]:
  """The path, the file name, and the file name without suffix."""
  name = path.rsplit('/', 1)[-1]
  return path, name, stem(name)


def _common_end(one: str, other: str) -> int:
  """Number of folders right before the file name that two paths share."""
  ends = [path.split('/')[-2::-1] for path in (one, other)]
  return len(os.path.commonprefix(ends))
