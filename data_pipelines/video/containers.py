"""Whether a file ends where its container says it ends."""

import io
import os
import struct

_EBML = b'\x1a\x45\xdf\xa3'
# Files of more pieces than this are not walked to the end.
_MAX_PIECES = 10_000


def missing_bytes(source: str | bytes) -> int:
  """How many bytes a cut-off AVI, MP4, MOV, MKV or WebM file lacks.

  Reads the lengths of the outermost pieces only.

  Args:
    source: path or contents.

  Returns:
    0 for a complete file, or one that does not say how long it is.
  """
  if isinstance(source, bytes):
    return _missing(io.BytesIO(source), len(source))
  with open(source, 'rb') as file:
    return _missing(file, os.fstat(file.fileno()).st_size)


def _missing(file, size: int) -> int:
  head = file.read(12)
  if head[:4] == b'RIFF':
    end_of = _riff_end
  elif head[:4] == _EBML:
    end_of = _ebml_end
  elif head[4:8] in (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip'):
    end_of = _box_end
  else:
    return 0
  position = 0
  for _ in range(_MAX_PIECES):
    file.seek(position)
    end = end_of(file.read(16), position)
    if end is None or end <= position:
      return 0
    if end >= size:
      return end - size
    position = end
  return 0


def _riff_end(head: bytes, position: int) -> int | None:
  if len(head) < 8 or head[:4] != b'RIFF':
    return None
  return position + 8 + struct.unpack('<I', head[4:8])[0]


def _box_end(head: bytes, position: int) -> int | None:
  if len(head) < 8:
    return None
  length = struct.unpack('>I', head[:4])[0]
  if length == 1 and len(head) == 16:
    length = struct.unpack('>Q', head[8:16])[0]
  # 0 means "to the end of the file".
  return position + length if length else None


def _ebml_end(head: bytes, position: int) -> int | None:
  """Element = number of variable length (id), another (size), contents."""
  if not head or not head[0]:
    return None
  id_bytes = 9 - head[0].bit_length()
  if len(head) <= id_bytes or not head[id_bytes]:
    return None
  size_bytes = 9 - head[id_bytes].bit_length()
  if len(head) < id_bytes + size_bytes:
    return None
  field = head[id_bytes : id_bytes + size_bytes]
  length = int.from_bytes(field, 'big') & ((1 << 7 * size_bytes) - 1)
  # All ones: a live stream of unknown length.
  if length == (1 << 7 * size_bytes) - 1:
    return None
  return position + id_bytes + size_bytes + length
