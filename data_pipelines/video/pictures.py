"""Clips that are numbered pictures: a folder of them, or a ZIP file in memory.

`frame_0000000001.jpg` (EPIC-Kitchens), `img_00001.jpg` (EZ-CLIP) and any other
name that ends in a number. The first picture is frame 0, whatever its number.
Numbers may be left out, as in a folder with the pieces of a film that lists
name; a frame that is not there cannot be read.
The ZIP file is what `cut` makes of a folder: its entries are the picture files
as they are, so it decodes to the same pixels.
"""

import collections
import dataclasses
import io
import itertools
import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data_pipelines.video.film import Unreadable
from data_pipelines.video.picture_files import Pictures

CONTAINER = 'pictures'
_NUMBERED = re.compile(
    r'(.*?)([0-9]{1,18})(\.jpg|\.jpeg|\.png)', re.IGNORECASE
)
# Pictures that are named by the clock are no frames 0, 1, 2, ...
_MOST = 10_000_000
# Some tools write optical flow beside the pictures.
_PREFERRED = ('frame_', 'img_')
# A single picture beside a class's clips is a preview.
_LEAST = 2
# How many pictures of a folder are checked: films may have 100,000s.
_CHECKED = 3_000
_ZIP = b'PK\x03\x04'


@dataclasses.dataclass(frozen=True)
class Series:
  """The names of numbered pictures.

  Attributes:
    pattern: for `str.format`, such as 'frame_{:010d}.jpg'.
    first: number of the first picture.
    count: how many there would be without holes.
    holes: frames that are not there: (first, stop, first, stop, ...).
  """

  pattern: str
  first: int
  count: int
  holes: tuple[int, ...] = ()

  def name(self, index: int) -> str:
    """The file name of a frame, counted from 0."""
    return self.pattern.format(self.first + index)


def is_picture(name: str) -> bool:
  """Whether a file name is that of a numbered picture."""
  return not name.startswith('.') and _NUMBERED.fullmatch(name) is not None


def are_frames(names: Iterable[str]) -> bool:
  """Whether a folder with these files in it may be a clip."""
  found = 0
  for name in names:
    found += is_picture(name)
    if found >= _LEAST:
      return True
  return False


def is_frame_folder(path: str | os.PathLike) -> bool:
  """Whether a path is a folder with numbered pictures in it."""
  try:
    with os.scandir(path) as entries:
      return are_frames(e.name for e in entries)
  except OSError:
    return False


def series(names: Iterable[str]) -> Series:
  """What the pictures of a folder are called.

  Args:
    names: all files of the folder; others than numbered pictures are ignored.

  Raises:
    Unreadable: no pictures, several series, or numbers that count nothing.
  """
  groups = collections.defaultdict(dict)
  for name in names:
    match = None if name.startswith('.') else _NUMBERED.fullmatch(name)
    if match:
      prefix, digits, suffix = match.groups()
      groups[prefix, suffix][name] = digits
  if not groups:
    raise Unreadable('it is a folder without numbered pictures')
  chosen = list(groups)
  if len(chosen) > 1:
    chosen = [g for g in groups if g[0] in _PREFERRED]
  if len(chosen) != 1:
    one, other = (f'{p}...{s}' for p, s in sorted(chosen or groups)[:2])
    raise Unreadable(
        f'it holds several series of pictures ({one}, {other})'
    )
  (prefix, suffix), files = chosen[0], groups[chosen[0]]
  # Numbers that outgrow their zeros get longer: 9999, 10000.
  width = min(map(len, files.values()))
  escaped = prefix.replace('{', '{{').replace('}', '}}')
  numbers = sorted(map(int, files.values()))
  first, last = numbers[0], numbers[-1]
  pattern = f'{escaped}{{:0{width}d}}{suffix}'
  expected = map(pattern.format, numbers)
  missing = next((n for n in expected if n not in files), '')
  if missing or last - first >= _MOST:
    missing = missing or pattern.format(first + 1)
    raise Unreadable(
        f'its picture {missing} is missing: the numbers of the {len(files)} '
        f'pictures run from {first} to {last}'
    )
  holes = tuple(
      edge - first
      for one, other in itertools.pairwise(numbers)
      if other > one + 1
      for edge in (one + 1, other)
  )
  return Series(pattern, first, last - first + 1, holes)


def first_hole(holes: Sequence[int], first: int, stop: int) -> int | None:
  """The first of the frames first..stop - 1 that is not there, or None."""
  for start, end in zip(holes[::2], holes[1::2], strict=True):
    if start < stop and first < end:
      return max(start, first)
  return None


def holds_pictures(source: str | bytes) -> bool:
  """Whether a path is a folder, or contents begin as a ZIP file does."""
  if isinstance(source, bytes):
    return source.startswith(_ZIP)
  return os.path.isdir(source)


def examine(source: str | bytes) -> dict[str, Any]:
  """Lists the pictures, decodes the first one and checks the others.

  Of each, its size and its first and last bytes are looked at: empty files,
  files that were cut off and others than JPEG and PNG are found, bytes that
  changed in the middle are not. Of more than 3,000 pictures 3,000 are looked
  at, evenly spread.

  Args:
    source: absolute path of a folder, or a ZIP file's contents.

  Returns:
    The fields of `probe.Probe` that depend on the contents. Pictures do not
    say how many of them make a second: fps and duration are 0.

  Raises:
    Unreadable: see `series`, or the first picture is broken; it is named.
  """
  with Pictures(source) as pictures:
    found = series(pictures.names())
    pixels = pictures.decode(found.name(0))
    broken = _broken(pictures, found)
  return {
      'num_frames': found.count,
      'width': pixels.shape[1],
      'height': pixels.shape[0],
      'codec': 'png' if found.pattern.lower().endswith('png') else 'mjpeg',
      'container': CONTAINER,
      'pictures': found.pattern,
      'first_picture': found.first,
      'holes': found.holes,
      'broken': broken,
      'times': [],
      'time_base': (0, 1),
      'keyframes': (),
  }


def _broken(pictures: Pictures, found: Series) -> list[tuple[int, str]]:
  """(frame, what is wrong) of the pictures that are."""
  out = []
  for index in _even(found):
    try:
      pictures.check(found.name(index))
    except Unreadable as e:
      out.append((index, str(e)))
  return out


def _even(found: Series) -> list[int]:
  """The frames that are there, or an even choice with both ends."""
  # From the end of one hole to the beginning of the next.
  edges = [0, *found.holes, found.count]
  there = [
      index
      for first, stop in zip(edges[::2], edges[1::2], strict=True)
      for index in range(first, stop)
  ]
  if len(there) <= _CHECKED:
    return there
  last = len(there) - 1
  return [there[k * last // (_CHECKED - 1)] for k in range(_CHECKED)]


def read(
    source: str | bytes | tuple[bytes, ...],
    wanted: Sequence[int],
    found: Series,
    height: int,
    width: int,
) -> list[np.ndarray]:
  """Decodes the pictures asked for and no other.

  Args:
    source: absolute path of a folder, a ZIP file's contents, or the contents
      of all pictures in order.
    wanted: frame numbers from 0.
    found: what the pictures are called.
    height, width: pixels of the first picture, which all must have.

  Returns:
    uint8 [H, W, 3], RGB, for each of `wanted`.

  Raises:
    Unreadable: a picture is broken, gone, or of another size; it is named.
  """
  out = []
  if isinstance(source, tuple):
    source = {found.name(k): data for k, data in enumerate(source)}
  with Pictures(source) as pictures:
    for index in wanted:
      name = found.name(index)
      pixels = pictures.decode(name)
      if pixels.shape[:2] != (height, width):
        raise Unreadable(
            f'its picture {name} has {pixels.shape[1]}x{pixels.shape[0]} '
            f'pixels and the first one {width}x{height}'
        )
      out.append(pixels)
  return out


def pack(folder: str, found: Series, first: int, stop: int) -> bytes:
  """The files of some pictures in one ZIP file, not compressed again.

  Args:
    folder: where they are.
    found: what they are called.
    first, stop: frames first..stop - 1.

  Raises:
    OSError: a picture cannot be read.
  """
  out = io.BytesIO()
  with zipfile.ZipFile(out, 'w', zipfile.ZIP_STORED) as packed:
    for index in range(first, stop):
      name = found.name(index)
      with open(os.path.join(folder, name), 'rb') as file:
        # A ZipInfo has a fixed date: the same pictures give the same bytes.
        packed.writestr(zipfile.ZipInfo(name), file.read())
  return out.getvalue()
