"""Describes a data set with an official download: files, lists, classes.

Each data set's module in this folder defines its `DESCRIPTION`, from which
`official.read` makes the lists of a run.
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
  """Describes a data set.

  A role is the use of an official list: 'train', 'val' or 'test'. A place is a
  folder below data.root; '.' is data.root itself, '..' its parent. The first
  place that fits is used.
  """

  # data.name, such as 'hmdb51', and its name in messages, such as 'HMDB51'.
  name: str
  title: str
  homepage: str
  # For messages: which folder is needed and where to get it.
  wanted: str
  # The official splits, such as (1, 2, 3), and the lists that each of them has.
  splits: tuple[int, ...]
  roles: tuple[str, ...]
  # Where the videos and the lists may be.
  video_places: tuple[str, ...]
  list_places: tuple[str, ...]
  # (role, split) -> possible file names of the official list; messages use the
  # first one.
  list_files: Callable[[str, int], Sequence[str]]
  # Folder of lists or None -> the classes in label order, or None if they are
  # unknown. Names may be constants of the module.
  read_classes: Callable[[pathlib.Path | None], Classes | None]
  # Names of a folder with the whole data set, in which places may be.
  folders: tuple[str, ...] = ()
  # Key of a clip -> its raw class name, '' if the path does not tell.
  class_of: Callable[[str], str] = lambda key: ''
  # (file, its first line, config key, folder of lists or None) -> the list, if
  # it is in the data set's own grammar; None = read it as any other list.
  parse: Callable[
      [pathlib.Path, str, str, pathlib.Path | None], Listing | None
  ] = lambda file, head, key, lists: None
  # (folder of lists, role, split) -> the official list or None, if it is not a
  # single file. Its `file` must not be a folder.
  read_list: Callable[[pathlib.Path, str, int], Listing | None] | None = None
  # Number of the first class in official lists: 0 or 1.
  first_number: int = 0
  # Names of the files with the class names.
  class_files: tuple[str, ...] = ()
  # Whether a folder is that of the videos, and how to open it.
  has_videos: Callable[[pathlib.Path], bool] = files.has_clips
  open_store: Callable[[pathlib.Path], files.FileTree] = functools.partial(
      files.FileTree, by_name=True
  )
  # Whether a TFDS folder gets the clips of official lists only.
  only_listed: bool = False
  # Whether to keep classes without training clips: always, as the official
  # score counts them; or if a list to be scored has one.
  all_classes: bool = False
  untrained_classes: bool = False
  # Whether lists may hold a piece twice, for example from two annotators.
  repeats: bool = False

  @property
  def archive_name(self) -> str:
    """Returns the name of the TFDS data set."""
    return f'{self.name}_clips'

  def list_title(self, role: str, split: int) -> str:
    """Returns the name of an official list, for messages."""
    return self.list_files(role, split)[0].rsplit('/', 1)[-1]


def find_videos(
    what: Description, root: str, path_rule: str = ''
) -> pathlib.Path:
  """Returns the folder of the videos, to which keys are relative.

  With a `path_rule`, that is `root` if no usual place has videos.

  Raises:
    UserError: no folder, or no videos in the usual places.
  """
  base = files.check_root(root, what.wanted)
  if videos := _first(what, base, what.video_places, what.has_videos):
    return videos
  if path_rule and files.FileTree(base).keys:
    return base.resolve()
  places = [p for p in (*what.folders, *what.video_places) if p != '.']
  raise UserError(
      f'data.root={root}: no videos of {what.title} were found in it or in '
      f'{", ".join(places)}. If they are elsewhere in it, rewrite the paths '
      f'of the lists: data.path_rule.\n  {what.wanted}'
  )


def find_lists(what: Description, root: str) -> pathlib.Path | None:
  """Returns the folder of the official lists near data.root, if any."""
  lists = (what.list_files(r, s) for r in what.roles for s in what.splits)
  names = {*what.class_files, *itertools.chain(*lists)}

  def has_lists(folder: pathlib.Path) -> bool:
    return any(any(folder.glob(name)) for name in names)

  base = pathlib.Path(root).expanduser()
  return _first(what, base, what.list_places, has_lists) if root else None


def _first(what, base: pathlib.Path, places, fits) -> pathlib.Path | None:
  """The first place that fits, in `base` or in a folder directly in it."""
  below = files.folders(base)
  # Skip folders of classes or clips, which have many subfolders.
  below = below if len(below) <= _FEW else []
  for top, place, folder in itertools.product(
      ('', *below), places, ('', *what.folders)
  ):
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
  """Reads a list in the data set's own grammar or any other.

  Arguments are as for `Description.parse`, errors as of `grammars.read`.
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
