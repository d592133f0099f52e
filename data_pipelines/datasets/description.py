"""What a data set with an official download says of itself."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from data_pipelines.errors import UserError
from data_pipelines.lists import grammars, locate
from data_pipelines.lists.items import Listing
from data_pipelines.stores import files


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
    has_lists: whether a folder is that of the lists.
    list_title: (role, split) -> what the list is usually called, for messages
      and for the run card of a TFDS folder. It must not name a folder.
    read_list: (folder of lists, role, split) -> the official list with the
      labels it has (numbers, raw class names or None), or None if there is no
      such file. Its `file` is named in the run card: the real file, or the
      title where a list is many files. Its `first_number` is ignored: see
      below.
    read_classes: folder of lists or None -> the classes in label order, or
      None if nothing says them. Names may be constants of the module.
    class_of: key of a clip -> its raw class name, '' if the path does not say.
    first_number: of the classes in official lists: 0 or 1.
    read_given: reads data.train_list and so on, as `list_files.read`; for
      data sets whose own grammar people may cut and pass there. It sets
      `Listing.first_number` if it sees that grammar.
    has_videos: whether a folder is that of the videos.
    open_store: folder of videos -> the store of its clips.
    class_file: what the file of the class names is called, for messages.
    only_listed: store only clips of official lists in a TFDS folder.
    all_classes: classes without training clips stay, as the official score
      counts them.
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
  has_lists: Callable[[pathlib.Path], bool]
  list_title: Callable[[str, int], str]
  read_list: Callable[[pathlib.Path, str, int], Listing | None]
  read_classes: Callable[[pathlib.Path | None], locate.ClassTable | None]
  class_of: Callable[[str], str]
  first_number: int = 0
  read_given: Callable[[str, str, str], Listing] = grammars.read
  has_videos: Callable[[pathlib.Path], bool] = files.has_class_folders
  open_store: Callable[[pathlib.Path], files.FileTree] = functools.partial(
      files.FileTree, by_name=True
  )
  class_file: str = ''
  only_listed: bool = False
  all_classes: bool = False
  repeats: bool = False

  @property
  def archive_name(self) -> str:
    """The name of the TFDS data set."""
    return f'{self.name}_clips'


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where the parts of a download lie.

  Attributes:
    videos: the folder that keys are relative to.
    lists: the folder of the official lists; None if there is none.
  """

  videos: pathlib.Path
  lists: pathlib.Path | None


def find_layout(
    what: Description, root: str, path_rule: str = ''
) -> Layout:
  """Finds the videos and lists below a folder.

  Args:
    what: the data set.
    root: data.root.
    path_rule: data.path_rule; with a rule, clips that lie in no usual place
      are named from `root` on.

  Raises:
    UserError: no folder, or no videos where they usually lie.
  """
  base = files.check_root(root, what.wanted)
  videos = _first(base, what.video_places, what.has_videos)
  if videos is None and path_rule and any(files.walk(base)):
    videos = base.resolve()
  if videos is None:
    places = [p for p in what.video_places if p != '.']
    raise UserError(
        f'data.root={root}: no videos of {what.title} were found in it or in '
        f'{", ".join(places)}. If they lie elsewhere in it, say how lists '
        f'name them: data.path_rule.\n  {what.wanted}'
    )
  return Layout(videos, _first(base, what.list_places, what.has_lists))


def find_lists(what: Description, root: str) -> pathlib.Path | None:
  """The folder of the official lists below data.root, if there is one."""
  if not root:
    return None
  return _first(
      pathlib.Path(root).expanduser(), what.list_places, what.has_lists
  )


def check_split(what: Description, split: int):
  """Raises UserError if a data set has no such official split."""
  if split not in what.splits:
    known = [str(s) for s in what.splits]
    known = ' and '.join(filter(None, [', '.join(known[:-1]), known[-1]]))
    raise UserError(
        f'split={split}: {what.title} has the '
        f'split{"s" if len(what.splits) > 1 else ""} {known}.'
    )


def official_listing(
    what: Description, lists: pathlib.Path, role: str, split: int
) -> Listing | None:
  """An official list, or None if there is no such file."""
  listing = what.read_list(lists, role, split)
  if listing is None:
    return None
  return dataclasses.replace(
      listing,
      key=list_key(role),
      first_number=what.first_number,
  )


def list_key(role: str) -> str:
  """The config key that replaces an official list."""
  return f'data.{role}_list'


def _first(base: pathlib.Path, places, fits) -> pathlib.Path | None:
  for place in places:
    folder = base / place
    if folder.is_dir() and fits(folder):
      return folder.resolve()
  return None
