"""What a data set with an official download says of itself.

`DESCRIPTION` of a module in this folder is one; `official.read` makes the lists
of a run from it.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence

from data_pipelines.errors import UserError
from data_pipelines.lists import grammars
from data_pipelines.lists import text as text_files
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import Listing
from data_pipelines.stores import files

_FEW = 50


@dataclasses.dataclass(frozen=True)
class Description:
  """A data set that describes itself.

  A role is what an official list is for: 'train', 'val' or 'test'. Folders
  are tried in order; the first that fits is taken.

  Attributes:
    name: data.name, such as 'hmdb51'. The TFDS data set is '<name>_clips'.
    title: its name in messages, such as 'HMDB51'.
    homepage: where it is from.
    wanted: for messages: which folder is needed and where to get it.
    splits: the official splits, such as (1, 2, 3).
    roles: the lists that every split has; 'train' and 'test' at least.
    video_places: folders below data.root where the videos may lie; '.' is
      data.root itself, '..' its parent.
    list_places: the same for the folder of lists.
    folders: what a folder of the whole data set may be called. Places may lie
      in such a folder as well.
    list_files: (role, split) -> names that the official list may have in that
      folder; the first one is used in messages.
    read_classes: folder of lists or None -> the classes in label order, or
      None if nothing says them. Names may be constants of the module.
    class_of: key of a clip -> its raw class name, '' if the path does not say.
    parse: (file, its first line, config key, folder of lists or None) -> the
      list, if it is in a grammar of the data set's own; else None, and it is
      read as any other list.
    read_list: (folder of lists, role, split) -> the official list or None,
      where it is not one file. Its `file` must not name a folder.
    first_number: of the classes in official lists: 0 or 1.
    class_files: what the files of the class names are called.
    has_videos: whether a folder is that of the videos.
    open_store: folder of videos -> the store of its clips.
    only_listed: store only clips of official lists in a TFDS folder.
    all_classes: classes without training clips stay, as the official score
      counts them.
    untrained_classes: a test list may hold classes that the training list
      lacks: all classes stay then.
    repeats: whether lists may hold a piece twice, as where two people have
      given it different labels.
  """

  name: str
  title: str
  homepage: str
  wanted: str
  splits: tuple[int, ...]
  roles: tuple[str, ...]
  video_places: tuple[str, ...]
  list_places: tuple[str, ...]
  list_files: Callable[[str, int], Sequence[str]]
  read_classes: Callable[[pathlib.Path | None], Classes | None]
  folders: tuple[str, ...] = ()
  class_of: Callable[[str], str] = lambda key: ''
  parse: Callable[
      [pathlib.Path, str, str, pathlib.Path | None], Listing | None
  ] = lambda file, head, key, lists: None
  read_list: Callable[[pathlib.Path, str, int], Listing | None] | None = None
  first_number: int = 0
  class_files: tuple[str, ...] = ()
  has_videos: Callable[[pathlib.Path], bool] = files.has_clips
  open_store: Callable[[pathlib.Path], files.FileTree] = functools.partial(
      files.FileTree, by_name=True
  )
  only_listed: bool = False
  all_classes: bool = False
  untrained_classes: bool = False
  repeats: bool = False

  @property
  def archive_name(self) -> str:
    """The name of the TFDS data set."""
    return f'{self.name}_clips'

  def list_title(self, role: str, split: int) -> str:
    """Returns what an official list is called, for messages."""
    return self.list_files(role, split)[0].rsplit('/', 1)[-1]


def find_videos(
    what: Description, root: str, path_rule: str = ''
) -> pathlib.Path:
  """Returns the folder of the videos, which keys are relative to.

  With a `path_rule`, clips in no usual place are named from `root` on.

  Raises:
    UserError: no folder, or no videos where they usually lie.
  """
  base = files.check_root(root, what.wanted)
  if videos := _first(what, base, what.video_places, what.has_videos):
    return videos
  if path_rule and files.has_any(base):
    return base.resolve()
  places = [p for p in (*what.folders, *what.video_places) if p != '.']
  raise UserError(
      f'data.root={root}: no videos of {what.title} were found in it or in '
      f'{", ".join(places)}. If they lie elsewhere in it, say how lists '
      f'name them: data.path_rule.\n  {what.wanted}'
  )


def find_lists(what: Description, root: str) -> pathlib.Path | None:
  """Returns the folder of the official lists near data.root, if any."""
  names = set(what.class_files).union(
      *(what.list_files(r, s) for r in what.roles for s in what.splits)
  )

  def has_lists(folder: pathlib.Path) -> bool:
    return any(any(folder.glob(name)) for name in names)

  base = pathlib.Path(root).expanduser()
  return _first(what, base, what.list_places, has_lists) if root else None


def _first(what, base: pathlib.Path, places, fits) -> pathlib.Path | None:
  """The first place that fits, in `base` or in a folder directly in it."""
  below = files.folders(base)
  # A folder of downloads has few folders, one of classes or clips has many.
  below = below if len(below) <= _FEW else []
  for top in ('', *below):
    for place, folder in itertools.product(places, ('', *what.folders)):
      found = base / top / folder / place
      outside = place.startswith('..') and (top or folder)
      if not outside and found.is_dir() and fits(found):
        return found.resolve()
  return None


def check_split(what: Description, split: int):
  """Raises UserError if a data set has no such official split."""
  if split not in what.splits:
    *most, last = map(str, what.splits)
    known = f'splits {", ".join(most)} and {last}' if most else f'split {last}'
    raise UserError(f'split={split}: {what.title} has the {known}.')


def open_list(
    what: Description, file: pathlib.Path, key: str, lists: pathlib.Path | None
) -> Listing:
  """Reads a list, in the data set's own grammar or any other.

  Arguments are those of `Description.parse`, errors those of `grammars.read`.
  """
  found = None
  if file.is_file():
    with open(file, 'rb') as opened:
      line = opened.readline(2**16)
    head = text_files.decode(line, str(file), quiet=True) or ''
    found = what.parse(file, head, key, lists)
  return found or grammars.read(file, key)


def official_listing(
    what: Description, lists: pathlib.Path, role: str, split: int
) -> Listing | None:
  """Reads an official list; None if there is no such file."""
  key = f'data.{role}_list'
  if what.read_list:
    listing = what.read_list(lists, role, split)
  else:
    file = text_files.first(lists, what.list_files(role, split))
    listing = file and open_list(what, file, key, lists)
  values = {'key': key, 'role': role, 'first_number': what.first_number}
  return listing and dataclasses.replace(listing, **values, official=True)
