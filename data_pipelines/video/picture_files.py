"""The picture files of one clip, in a folder or in a ZIP file in memory."""

import io
import os
import zipfile

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_pipelines.video import film
from data_pipelines.video.film import Unreadable

_JPEG, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND\xaeB`\x82'
# Some writers add zeros, and a few bytes of their own.
_TAIL_BYTES = 1_024
_NEAR_END = 16
_EMPTY, _CUT, _OTHER = 'it is empty', 'it is cut off', 'it is no JPEG or PNG'
_ZEROS = 'it is cut off, its end is zeros'
# What Pillow and ZIP files raise, for files of all kinds.
_DAMAGE = (OSError, SyntaxError, ValueError, zipfile.BadZipFile)


class Pictures:
  """Files by name, in a folder or in a ZIP file."""

  def __init__(self, source: str | bytes | dict[str, bytes]):
    """Opens the ZIP file.

    Args:
      source: absolute path of a folder, a ZIP file's contents, or the contents
        of files by name.

    Raises:
      Unreadable: no ZIP file of stored files.
    """
    self._folder, self._zip = source, None
    if isinstance(source, bytes):
      try:
        self._zip = zipfile.ZipFile(io.BytesIO(source))
      except (zipfile.BadZipFile, ValueError, NotImplementedError) as e:
        raise Unreadable(
            f'it is not a sound ZIP file of pictures ({e})'
        ) from e
      # Only what `frame_folder.pack` writes: a packed bomb would fill the
      # memory.
      if any(i.compress_type for i in self._zip.infolist()):
        raise Unreadable('it is a compressed ZIP file; pictures are stored')

  def __enter__(self) -> 'Pictures':
    return self

  def __exit__(self, *_):
    if self._zip is not None:
      self._zip.close()

  def names(self) -> list[str]:
    """All of them."""
    if self._zip is not None:
      return self._zip.namelist()
    return os.listdir(self._folder)

  def decode(self, name: str) -> np.ndarray:
    """uint8 [H, W, 3], RGB.

    Raises:
      Unreadable: the picture is gone or broken; it is named.
    """
    try:
      with self._open(name) as file:
        return _rgb(file)
    except (FileNotFoundError, KeyError) as e:
      raise Unreadable(f'its picture {name} is gone') from e
    except _DAMAGE as e:
      raise Unreadable(
          f'its picture {name} is broken ({self._reason(name, e)})'
      ) from e

  def check(self, name: str):
    """Looks at the size and at both ends of a file.

    A file that does not end as such files do is decoded: that decides, but
    for zeros, which decoders take for grey.

    Raises:
      Unreadable: as `decode`.
    """
    try:
      with self._open(name) as file:
        fault = _fault(file)
    except (OSError, KeyError, zipfile.BadZipFile):
      # `decode` says why.
      fault = _OTHER
    if fault == _ZEROS:
      raise Unreadable(f'its picture {name} is broken ({fault})')
    if fault:
      self.decode(name)

  def _open(self, name: str):
    if self._zip is not None:
      return io.BytesIO(self._zip.read(name))
    if isinstance(self._folder, dict):
      return io.BytesIO(self._folder[name])
    return open(os.path.join(self._folder, name), 'rb')

  def _reason(self, name: str, error: Exception) -> str:
    """Why a picture cannot be decoded; Pillow's own words show objects."""
    try:
      with self._open(name) as file:
        fault = _fault(file)
    except (OSError, KeyError, zipfile.BadZipFile):
      fault = None
    if fault is None and isinstance(error, UnidentifiedImageError):
      fault = _OTHER
    return fault or getattr(error, 'strerror', None) or str(error)


def _fault(file) -> str | None:
  """What the first and the last bytes of a file tell, or None."""
  head = file.read(len(_PNG))
  size = file.seek(0, os.SEEK_END)
  if not size:
    return _EMPTY
  if head == _PNG:
    end = _PNG_END
  elif head.startswith(_JPEG):
    end = _JPEG_END
  else:
    return _OTHER
  file.seek(max(size - _TAIL_BYTES, 0))
  tail = file.read()
  if not any(tail):
    file.seek(0)
    tail = file.read()
  kept = tail.rstrip(b'\0')
  if end in kept[-_NEAR_END:]:
    return None
  return _ZEROS if len(tail) - len(kept) > _NEAR_END else _CUT


def _rgb(file) -> np.ndarray:
  with Image.open(file, formats=('JPEG', 'PNG')) as image:
    film.check_size(image.width, image.height)
    if image.mode.startswith(('I', 'F')):
      raise ValueError('it has more than 8 bits per colour')
    return np.asarray(image.convert('RGB'))
