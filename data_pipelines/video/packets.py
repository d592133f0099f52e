"""Reads a video's container without decoding; finds files that are cut off."""

import dataclasses
import io
import os
import struct

import av

from data_pipelines.video import container
from data_pipelines.video.container import Media, Unreadable

_MAX_FRAMES = 2_000_000
# Headers may promise slightly more than there is (many real AVI files do): a
# file counts as cut off if more than 2 frames and 1/50 of it are missing.
_TOLERATED_FRAMES = 2
_TOLERATED_PART = 50
# Files with more top-level boxes than this are not checked to the end.
_MAX_PIECES = 10_000


@dataclasses.dataclass
class Packets:
  """Holds what the container says; FFmpeg's names, 0 = unknown.

  `times` are the presentation timestamps of the packets in file order, except
  those stored or shown before the first key frame. Of these packets, `keys`
  marks the key frames, `hidden` counts those that are not shown, `incomplete`
  those that are corrupt. `stored` counts all packets of the stream; `reached`
  is when the last packet of any stream ends, in seconds. `promised` (frames)
  and `duration` (seconds) are the header's.
  """

  container: str
  codec: str
  streams: int
  fps: float
  time_base: tuple[int, int]
  promised: int
  duration: float
  stored: int = 0
  times: list[int | None] = dataclasses.field(default_factory=list)
  keys: list[bool] = dataclasses.field(default_factory=list)
  hidden: int = 0
  incomplete: int = 0
  reached: float = 0.0


def read(source: Media) -> Packets:
  """Reads all packets of a file without decoding them.

  Raises:
    Unreadable: it is no video, or cut off, or damaged.
  """
  missing = missing_bytes(source)
  try:
    packets = _demux(source)
  except Unreadable as e:
    if not missing:
      raise
    raise Unreadable(f'it is cut off: {missing} bytes are missing') from e
  _check_complete(packets, missing)
  return packets


def missing_bytes(source: Media) -> int:
  """Returns how many bytes a cut-off AVI, MP4, MOV, MKV or WebM file lacks.

  Reads only the lengths of the top-level boxes. Returns 0 for a complete file,
  or one that does not say how long it is.
  """
  in_memory = isinstance(source, bytes)
  with io.BytesIO(source) if in_memory else open(source, 'rb') as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b'RIFF':
      length_of = _riff_length
    elif head[:4] == b'\x1a\x45\xdf\xa3':
      length_of = _ebml_length
    elif head[4:8] in (b'ftyp', b'moov', b'mdat', b'wide', b'free', b'skip'):
      length_of = _box_length
    else:
      return 0
    end = 0
    for _ in range(_MAX_PIECES):
      file.seek(end)
      length = length_of(file.read(16).ljust(16, b'\0'))
      end += length
      if not length or end >= size:
        return end - size if length else 0
  return 0


def _demux(source) -> Packets:
  with container.open_video(source) as (file, stream):
    base = stream.time_base
    name = file.format.name
    # FFmpeg builds MP4's index when it opens the file, edit lists included.
    indexed = len(stream.index_entries) if name.startswith('mov') else 0
    out = Packets(
        container=name,
        codec=stream.codec_context.codec.canonical_name,
        streams=len(file.streams.video),
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        time_base=(base.numerator, base.denominator) if base else (0, 1),
        promised=indexed or stream.frames,
        duration=(file.duration or 0) / 1e6,
    )
    ours, last = [], None
    try:
      for packet in container.demux(file):
        if packet.dts is None and packet.pts is None and not packet.size:
          continue
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None and packet.time_base:
          end = float((time + (packet.duration or 0)) * packet.time_base)
          out.reached = max(out.reached, end)
        if packet.stream.index == stream.index:
          flags = packet.is_keyframe, packet.is_discard, packet.is_corrupt
          ours.append((packet.pts, *flags))
          last = packet.dts
        if len(ours) > _MAX_FRAMES:
          raise Unreadable(f'it has more than {_MAX_FRAMES} frames')
    except av.error.FFmpegError as e:
      raise Unreadable(
          f'it is damaged: the container ends after {len(ours)} frames '
          f'({container.reason(e)})'
      ) from e
  if not ours:
    raise Unreadable('it holds 0 frames')
  # AVI counts frames that repeat the one before and have no packet.
  counted = 1 + (last or 0) if name == 'avi' else 0
  out.stored = max(len(ours), counted)
  start = next((k for k, (_, key, *_) in enumerate(ours) if key), 0)
  first = ours[start][0]
  for time, key, hidden, corrupt in ours[start:]:
    if time is None or first is None or time >= first:
      out.times.append(time)
      out.keys.append(key)
      out.hidden += hidden
      out.incomplete += corrupt
  return out


def _check_complete(packets: Packets, missing_bytes: int):
  count = packets.stored
  missing = packets.promised - count
  is_matroska = packets.container.startswith('matroska')
  # A file cut after its last frame (an AVI without its index) is sound.
  if missing_bytes > 8 and (missing > 0 or is_matroska):
    raise Unreadable(
        f'it is cut off after {count} frames: {missing_bytes} bytes are missing'
    )
  if missing > max(_TOLERATED_FRAMES, packets.promised // _TOLERATED_PART):
    raise Unreadable(
        f'it is cut off: {packets.promised} frames declared, {count} found'
    )
  if packets.incomplete:
    raise Unreadable(f'it is damaged: {packets.incomplete} incomplete frames')
  # These containers state the duration up front; for others FFmpeg measures
  # it, so that nothing would seem to be missing.
  short = packets.duration - packets.reached
  if (
      is_matroska or packets.container.startswith('mov')
  ) and short > max(0.25, packets.duration / _TOLERATED_PART):
    raise Unreadable(
        f'it is cut off: {packets.duration:.1f} s declared, '
        f'{packets.reached:.1f} s found'
    )


def _riff_length(head: bytes) -> int:
  return 8 + struct.unpack('<4xI', head[:8])[0] if head[:4] == b'RIFF' else 0


def _box_length(head: bytes) -> int:
  length, long = struct.unpack('>I4xQ', head)
  # 0 means "to the end of the file".
  return long if length == 1 else length


def _ebml_length(head: bytes) -> int:
  """Parses an element: id and size as variable-length numbers, contents."""
  if not head[0] or not head[id_bytes := 9 - head[0].bit_length()]:
    return 0
  size_bytes = 9 - head[id_bytes].bit_length()
  field = head[id_bytes : id_bytes + size_bytes]
  unknown = (1 << 7 * size_bytes) - 1
  length = int.from_bytes(field, 'big') & unknown
  # All ones: a live stream of unknown length.
  return 0 if length == unknown else id_bytes + size_bytes + length
