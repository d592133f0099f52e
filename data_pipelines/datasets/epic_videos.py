"""Where the videos of EPIC-Kitchens-100 lie, as pictures or as films."""

import pathlib
import re

from data_pipelines.errors import UserError
from data_pipelines.stores import files

FILMS = ('.MP4', '.mp4')
_PARTICIPANT = re.compile(r'P\d\d')


class Videos(files.FileTree):
  """The videos, as folders of pictures or as films.

  Lists mean a video by the last part of a path, such as 'P01_01'; pictures
  are taken where there are both. A list's frame 0 is picture 1, whatever
  picture a folder begins with.
  """

  counts_from = 1

  def __init__(self, root: pathlib.Path):
    super().__init__(root)
    self._known: dict[str, str | None] = {}

  def find(self, path: str) -> str | None:
    """The key of a video, or None.

    Raises:
      UserError: its pictures are there, but in a tar file.
    """
    # A list of one's own may want the film, or know another place.
    if path not in self._known:
      self._known[path] = super().find(path)
    if self._known[path]:
      return self._known[path]
    video = path.rstrip('/').rsplit('/', 1)[-1]
    if pathlib.PurePosixPath(video).suffix in FILMS:
      video = pathlib.PurePosixPath(video).stem
    if not self._known.get(video):
      self._known[video] = self._look(video)
    return self._known[video]

  def find_by_name(self, path: str) -> str | None:
    """The same: a video's name is enough."""
    return self.find(path)

  def _look(self, video: str) -> str | None:
    frames = f'{video[:3]}/rgb_frames/{video}'
    films = [f'{video[:3]}/videos/{video}{s}' for s in FILMS]
    for key in (frames, *films):
      found = super().find(key)
      if found:
        return found
    tar = pathlib.Path(self.root) / f'{frames}.tar'
    if tar.is_file():
      raise UserError(
          f'{tar} is not unpacked. Unpack it into a folder of its name: '
          f'mkdir {tar.with_suffix("")} && tar -xf {tar} -C '
          f'{tar.with_suffix("")}'
      )
    return None


def has_videos(folder: pathlib.Path) -> bool:
  """Whether a folder holds participants' folders with videos."""
  return any(
      (folder / name / part).is_dir()
      for name in files.folders(folder)
      if _PARTICIPANT.fullmatch(name)
      for part in ('rgb_frames', 'videos')
  )
