"""What a video's container says, and whether all of the file is there."""

import dataclasses

from data_pipelines.video import containers, film
from data_pipelines.video.film import Source, Unreadable

# A header may promise a few frames more than there are (many real AVI files
# do); from here on the file counts as cut off.
_TOLERATED_FRAMES = 2
_TOLERATED_PART = 50


@dataclasses.dataclass
class Packets:
  """What the container says, without decoding.

  Attributes:
    container, codec: FFmpeg's names.
    streams: video streams in the file.
    fps: frames per second that it promises, or 0.
    time_base: seconds per unit of `times`, a fraction.
    promised: frames that it promises, or 0.
    duration: seconds that it promises, or 0.
    times: presentation timestamps in the order of the file.
    keys: which packets are key frames.
    hidden: packets that are not shown.
    incomplete: packets that are cut off.
    reached: seconds at which the last packet of any stream ends.
  """

  container: str
  codec: str
  streams: int
  fps: float
  time_base: tuple[int, int]
  promised: int
  duration: float
  times: list[int | None] = dataclasses.field(default_factory=list)
  keys: list[bool] = dataclasses.field(default_factory=list)
  hidden: int = 0
  incomplete: int = 0
  reached: float = 0.0


def read(source: Source) -> Packets:
  """Goes through a file without decoding.

  Raises:
    Unreadable: it is no video, or cut off, or damaged.
  """
  missing_bytes = containers.missing_bytes(source)
  try:
    packets = _demux(source)
  except Unreadable as e:
    if not missing_bytes:
      raise
    raise Unreadable(
        f'it is cut off: {missing_bytes} bytes are missing'
    ) from e
  _check_complete(packets, missing_bytes)
  return packets


def _demux(source) -> Packets:
  with film.open_video(source) as (container, stream):
    base = stream.time_base
    name = container.format.name
    # FFmpeg builds MP4's index when it opens the file, edit lists included.
    indexed = len(stream.index_entries) if name.startswith('mov') else 0
    out = Packets(
        container=name,
        codec=stream.codec_context.codec.canonical_name,
        streams=len(container.streams.video),
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        time_base=(base.numerator, base.denominator) if base else (0, 1),
        promised=indexed or stream.frames,
        duration=(container.duration or 0) / 1e6,
    )
    try:
      for packet in container.demux():
        if packet.dts is None and packet.pts is None and not packet.size:
          continue
        _note_packet(out, packet, packet.stream.index == stream.index)
    except film.av.error.FFmpegError as e:
      raise Unreadable(
          f'it is damaged: the container ends after {len(out.times)} frames '
          f'({film.reason(e)})'
      ) from e
  if not out.times:
    raise Unreadable('it holds 0 frames')
  return out


def _note_packet(out: Packets, packet, is_video: bool):
  time = packet.dts if packet.pts is None else packet.pts
  if time is not None and packet.time_base:
    end = float((time + (packet.duration or 0)) * packet.time_base)
    out.reached = max(out.reached, end)
  if not is_video:
    return
  out.times.append(packet.pts)
  out.keys.append(packet.is_keyframe)
  out.hidden += packet.is_discard
  out.incomplete += packet.is_corrupt
  if len(out.times) > film.MAX_FRAMES:
    raise Unreadable(f'it has more than {film.MAX_FRAMES} frames')


def _check_complete(packets: Packets, missing_bytes: int):
  count = len(packets.times)
  missing = packets.promised - count
  is_matroska = packets.container.startswith('matroska')
  # A file cut behind its last frame (an AVI without its index) is sound.
  if missing_bytes > 8 and (missing > 0 or is_matroska):
    raise Unreadable(
        f'it is cut off after {count} frames: {missing_bytes} bytes are missing'
    )
  if missing > max(_TOLERATED_FRAMES, packets.promised // _TOLERATED_PART):
    raise Unreadable(
        f'it is cut off: {packets.promised} frames promised, {count} there'
    )
  if packets.incomplete:
    raise Unreadable(f'it is damaged: {packets.incomplete} incomplete frames')
  # These containers state the duration first; others are measured by it.
  if is_matroska or packets.container.startswith('mov'):
    short = packets.duration - packets.reached
    if short > max(0.25, packets.duration / _TOLERATED_PART):
      raise Unreadable(
          f'it is cut off: {packets.duration:.1f} s promised, '
          f'{packets.reached:.1f} s there'
      )
