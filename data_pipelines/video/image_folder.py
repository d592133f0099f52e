"""Reads clips that are folders of numbered images.

`frame_0000000001.jpg` (EPIC-Kitchens), `img_00001.jpg` (EZ-CLIP) and any other
name that ends in a number. The first image is frame 0, whatever its number.
"""

import collections
import io
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines.video.container import Unreadable, check_size

_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'PPM')
_NUMBERED = re.compile(
    r'((?!\.).*?|)([0-9]{1,18})(\.(?:jpe?g|png|webp|bmp|tiff?|ppm))',
    re.IGNORECASE,
)
# Some tools write optical flow beside the images.
_PREFERRED = ('frame_', 'img_')
# A single image beside the clips of a class is a preview.
_LEAST = 2
# Most images of a folder to check: films may have 100,000s.
_CHECKED = 3_000
# Some writers append zeros and a few bytes of their own.
_TAIL_BYTES = 1_024
_NEAR_END = 16
_ENDS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND\xaeB`\x82'}
_EMPTY, _CUT, _OTHER = 'it is empty', 'it is cut off', 'it is not an image'
_ZEROS = 'it is cut off, its end is zeros'


def are_frames(names: Iterable[str]) -> bool:
  """Tells whether a folder with these file names may be a clip."""
  some = itertools.islice(filter(_NUMBERED.fullmatch, names), _LEAST)
  return sum(1 for _ in some) == _LEAST


def is_frame_folder(path: str | os.PathLike) -> bool:
  """Tells whether a path is a folder with numbered images in it."""
  try:
    with os.scandir(path) as entries:
      return are_frames(e.name for e in entries)
  except OSError:
    return False


def examine(folder: str) -> dict[str, Any]:
  """Decodes the first image and checks size and ends of the others.

  This finds empty and cut-off files and files that are no images, but not
  damage in the middle. At most 3,000 images are checked, evenly spread.
  Returns the fields of a `Probe` that depend on contents.

  Raises:
    Unreadable: no images, several series, a number that is missing, or the
      first image is broken.
  """
  pattern, first, count = _series(os.listdir(folder))
  name = pattern.format(first)
  pixels = _decode(_bytes(folder, name), name)
  looks = min(count, _CHECKED)
  some = np.arange(looks) * (count - 1) // max(looks - 1, 1)
  broken = []
  for index in some.tolist():
    name = pattern.format(first + index)
    try:
      _check(folder, name)
    except Unreadable as e:
      broken.append((index, index + 1, str(e)))
  suffix = pattern.rpartition('.')[2].lower()
  return {
      'num_frames': count,
      'width': pixels.shape[1],
      'height': pixels.shape[0],
      'codec': 'mjpeg' if suffix.startswith('jp') else suffix,
      'container': 'images',
      'images': pattern,
      'first_image': first,
      'broken': tuple(broken),
  }


def read(
    source: str | tuple[bytes, ...], wanted: Sequence[int], probe: Any
) -> list[np.ndarray]:
  """Decodes only the wanted images, uint8 [H, W, 3], RGB.

  `source` is the absolute path of a folder, or the contents of all its images.

  Raises:
    Unreadable: an image is broken, gone, or of another size; it is named.
  """
  out = []
  for index in wanted:
    name = probe.images.format(probe.first_image + index)
    given = isinstance(source, tuple)
    pixels = _decode(source[index] if given else _bytes(source, name), name)
    if pixels.shape[:2] != (probe.height, probe.width):
      raise Unreadable(
          f'its image {name} has {pixels.shape[1]}x{pixels.shape[0]} pixels '
          f'and the first one {probe.width}x{probe.height}'
      )
    out.append(pixels)
  return out


def _series(names: Iterable[str]) -> tuple[str, int, int]:
  """(pattern for `str.format`, number of the first image, their count)."""
  groups = collections.defaultdict(dict)
  for name in names:
    if match := _NUMBERED.fullmatch(name):
      prefix, digits, suffix = match.groups()
      groups[prefix, suffix][name] = digits
  if not groups:
    raise Unreadable('it is a folder without numbered images')
  chosen = list(groups)
  if len(chosen) > 1:
    chosen = [g for g in groups if g[0] in _PREFERRED]
  if len(chosen) != 1:
    one, other = (f'{p}...{s}' for p, s in sorted(chosen or groups)[:2])
    raise Unreadable(f'it holds several series of images ({one}, {other})')
  (prefix, suffix), files = chosen[0], groups[chosen[0]]
  # Numbers that outgrow their zeros get longer: 9999, 10000.
  width = min(map(len, files.values()))
  escaped = prefix.replace('{', '{{').replace('}', '}}')
  numbers = sorted(map(int, files.values()))
  pattern = f'{escaped}{{:0{width}d}}{suffix}'
  first, last = numbers[0], numbers[-1]
  for number in range(first, first + len(numbers)):
    if pattern.format(number) not in files:
      raise Unreadable(
          f'its image {pattern.format(number)} is missing: the numbers of the '
          f'{len(numbers)} images run from {first} to {last}'
      )
  return pattern, first, len(numbers)


def _bytes(folder: str, name: str) -> bytes:
  try:
    with open(os.path.join(folder, name), 'rb') as file:
      return file.read()
  except FileNotFoundError as e:
    raise Unreadable(f'its image {name} is gone') from e
  except OSError as e:
    raise Unreadable(f'its image {name} cannot be read ({e.strerror})') from e


def _decode(data: bytes, name: str) -> np.ndarray:
  """uint8 [H, W, 3], RGB."""
  try:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
      check_size(image.width, image.height)
      if image.mode.startswith(('I', 'F')):
        raise ValueError('it has more than 8 bits per colour')
      # As a viewer shows it, which a camera's mark may turn or mirror.
      return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
  # What Pillow raises, for files of all kinds; its words may show objects.
  except (
      OSError, SyntaxError, ValueError, Image.DecompressionBombError
  ) as e:  # fmt: skip
    why = _fault(data, data, len(data))
    if why in (None, _OTHER):
      why = _OTHER if isinstance(e, UnidentifiedImageError) else e
    raise Unreadable(f'its image {name} is broken ({why})') from e


def _check(folder: str, name: str):
  """Checks the size and both ends of a file; decodes it if in doubt."""
  try:
    with open(os.path.join(folder, name), 'rb') as file:
      head, size = file.read(12), file.seek(0, os.SEEK_END)
      file.seek(max(size - _TAIL_BYTES, 0))
      tail = file.read()
      if not any(tail):
        file.seek(0)
        tail = file.read()
      fault = _fault(head, tail, size)
  except OSError:
    # `_bytes` says why.
    fault = _OTHER
  # Decoders would show the zeros as grey.
  if fault == _ZEROS:
    raise Unreadable(f'its image {name} is broken ({fault})')
  if fault:
    _decode(_bytes(folder, name), name)


def _fault(head: bytes, tail: bytes, size: int) -> str | None:
  """Returns the fault that the first and last bytes of a file show, or None."""
  if not size:
    return _EMPTY
  if head.startswith(b'BM') or head[:4] + head[8:12] == b'RIFFWEBP':
    place, more = (2, 0) if head.startswith(b'BM') else (4, 8)
    stated = int.from_bytes(head[place : place + 4], 'little') + more
    return _CUT if size < stated else None
  ends = [end for start, end in _ENDS.items() if head.startswith(start)]
  if not ends:
    return _OTHER
  kept = tail.rstrip(b'\0')
  if ends[0] in kept[-_NEAR_END:]:
    return None
  return _ZEROS if len(tail) - len(kept) > _NEAR_END else _CUT
