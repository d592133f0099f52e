"""Opens a video file with PyAV: its frames, their timestamps and pixels.

PyAV (FFmpeg) is the decoder that is exact for every file. Frames are numbered
in presentation order, in one of two ways:

* by time, where the container's timestamps can be trusted: frame n has the n-th
  smallest timestamp that is shown, as in a player;
* by the decoder's output order, for AVI (which stores no presentation times;
  those that FFmpeg guesses for files with B-frames are wrong) and for streams
  with missing or repeated timestamps.

Frames before the first key frame, as in a recording that began mid-stream,
cannot be decoded and do not count.
"""

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence, Set

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

Media = str | bytes

# Only real video containers: not text ("ANSI art"), not images, and above all
# not playlists, which could refer to other files or addresses.
_FORMATS = (
    'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,'
    'ogg,h264,hevc,m4v,ivf,gif,mxf,nut,dv,rm,wtv,obu,mjpeg,yuv4mpegpipe,apng'
)
# File suffixes of these containers.
_SUFFIXES = (
    '.264 .265 .360 .3g2 .3gp .3gp2 .3gpp .apng .asf .avc .avi .divx .dv '
    '.dvr-ms .f4v .flv .gif .h264 .h265 .hevc .insv .ivf .lrv .m1v .m2p .m2t '
    '.m2ts .m2v .m4p .m4v .mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mp4v '
    '.mpe .mpeg .mpg .mpv .mts .mxf .nut .obu .ogm .ogv .qt .rm .rmvb .tod '
    '.trp .ts .vob .webm .wm .wmv .wtv .xvid .y4m'
)
SUFFIXES = frozenset(_SUFFIXES.split())
# Nothing real is larger than 8K; such a file would exhaust the memory.
MAX_SIDE = 16_384
MAX_PIXELS = 7_680 * 4_320
# A display matrix that changes nothing.
AS_STORED = (1, 0, 0, 1)
# FFmpeg's numbers of matrices between RGB and YUV.
_RESERVED, _UNSPECIFIED = 3, 2
# Codecs whose decoder may emit frames before it knows how far the stream
# reorders them; the timestamps then decide the order.
_SORTED_BY_TIME = ('h264', 'hevc')

_thread = threading.local()


def _unnamed(types, value: int):
  kind = object.__new__(types)
  kind._name_, kind._value_ = f'TYPE_{value}', value
  return kind


# Until version 19, PyAV reads no side data of a frame that has some of a type
# which only FFmpeg knows: EXIF in JPEG, the eye in Apple's spatial video.
Type._missing_ = classmethod(_unnamed)


class Unreadable(Exception):
  """Says what is wrong with a video; the caller adds which video it is."""


@contextlib.contextmanager
def open_video(source: Media):
  """Opens the first real video stream of a path or of a file's contents.

  Yields (file, stream). Decodes in one thread, since callers run in parallel.

  Raises:
    Unreadable: not a video, no video stream, or larger than MAX_PIXELS.
  """
  try:
    file = av.open(
        io.BytesIO(source) if isinstance(source, bytes) else source,
        # Old files hold titles that are not UTF-8.
        metadata_errors='replace',
        container_options={
            'format_whitelist': _FORMATS,
            'protocol_whitelist': 'file',
        },
    )
  except (av.error.FFmpegError, ValueError) as e:
    raise Unreadable(
        f'it is not a video file that can be opened ({reason(e)})'
    ) from e
  with file:
    # To FFmpeg the cover image of an audio file is a video stream.
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in file.streams.video if not s.disposition & cover]
    if not streams:
      raise Unreadable('it holds no video stream')
    context = streams[0].codec_context
    if context is None:
      raise Unreadable('its codec is unknown')
    check_size(context.width, context.height)
    context.thread_count = 1
    yield file, streams[0]


def check_size(width: int, height: int):
  """Raises Unreadable for a frame size that no real clip has."""
  if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
    raise Unreadable(
        f'its frames are {width}x{height} pixels; at most '
        f'{MAX_PIXELS / 1e6:.0f} megapixels are read'
    )


def decode(
    file, stream, due: Set[int] | None = None
) -> Iterator[av.VideoFrame]:
  """Yields all frames from the current position on, in the decoder's order.

  If timestamps are `due`, the decoder may skip others that are not used as
  references.

  Raises:
    Unreadable: the decoder fails, or the frames change their size.
  """
  count, size = 0, None
  try:
    for packet in _decodable(file, stream):
      if due is not None:
        leave_out(stream.codec_context, packet.pts not in due)
      for frame in packet.decode():
        if (frame.width, frame.height) != size:
          check_size(frame.width, frame.height)
          if size:
            raise Unreadable(
                f'its frames change from {size[0]}x{size[1]} to '
                f'{frame.width}x{frame.height} pixels'
            )
          size = frame.width, frame.height
        yield frame
        count += 1
  except av.error.FFmpegError as e:
    raise Unreadable(
        f'it is damaged: decoding stops after {count} frames ({reason(e)})'
    ) from e


def demux(file, *streams) -> Iterator[av.Packet]:
  """Yields the packets of an open file, of these streams or of all."""
  # PyAV (18) raises it after the last packet, by chance, if FFmpeg has found
  # more streams on the way.
  with contextlib.suppress(IndexError):
    yield from file.demux(*streams)


def leave_out(context, unasked: bool):
  """Sets whether a decoder skips non-reference frames from now on."""
  context.skip_frame = 'NONREF' if unasked else 'DEFAULT'


def timeline(
    times: Sequence[int | None], container: str, codec: str
) -> np.ndarray | None:
  """Returns the timestamps by which a file's frames are counted.

  `times` are in the decoder's output order; `container` and `codec` are
  FFmpeg's names. Returns int64, sorted, one per frame shown; or None if frames
  are to be counted in output order.

  Source: torchvision.io.read_video as EV-CLIP calls it: frames sorted by
    timestamp, negative ones dropped.
  Differs: only MP4 and MOV hide frames by negative times (edit lists); the
    clock of a transport stream may wrap. The original also sorts AVI files by
    FFmpeg's guessed timestamps, which shuffles clips with B-frames, and drops
    frames of equal time.
  """
  if container == 'avi' or any(t is None for t in times):
    return None
  values = np.asarray(times, np.int64)
  if np.any(np.diff(values) <= 0) and codec not in _SORTED_BY_TIME:
    return None
  values = np.sort(values)
  if np.any(np.diff(values) <= 0):
    return None
  if container.startswith('mov'):
    values = values[values >= 0]
  return values if len(values) else None


def display(frame: av.VideoFrame) -> tuple[int, int, int, int]:
  """Returns a frame's display matrix (a, b, c, d), each of -1, 0 and 1.

  A stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
  Rotations are rounded to multiples of 90 degrees.
  """
  data = frame.side_data.get('DISPLAYMATRIX')
  if data is None:
    return AS_STORED
  a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
  signs = [-1 if x < 0 else 1 for x in (a, b, c, d)]
  if abs(a) + abs(d) >= abs(b) + abs(c):
    return signs[0], 0, 0, signs[3]
  return 0, signs[1], signs[2], 0


def rgb(
    frame: av.VideoFrame, matrix: tuple[int, int, int, int] = AS_STORED
) -> np.ndarray:
  """Converts a frame to uint8 [H, W, 3], rotated and mirrored as it is shown.

  Raises:
    Unreadable: FFmpeg cannot convert these colours (YCgCo, ICtCp).

  Source: EV-CLIP reads with PyAV's `to_rgb`; this is the same conversion.
  """
  # `to_rgb` would make a new converter and start a thread per core for every
  # frame, which takes five times as long.
  if not hasattr(_thread, 'converter'):
    _thread.converter = VideoReformatter()
  # Some programs write this number into VP9; players take it for no number.
  if frame.colorspace == _RESERVED:
    frame.colorspace = _UNSPECIFIED
  try:
    converted = _thread.converter.reformat(frame, format='rgb24', threads=1)
  except av.error.FFmpegError as e:
    raise Unreadable(
        f'its colours cannot be converted to RGB ({reason(e)})'
    ) from e
  a, b, c, d = matrix
  pixels = converted.to_ndarray()
  return pixels.swapaxes(0, 1)[::b, ::c] if b else pixels[::d, ::a]


def reason(error: Exception) -> str:
  """Returns FFmpeg's message without its error number and the file name."""
  return getattr(error, 'strerror', None) or str(error)


def _decodable(file, stream) -> Iterator[av.Packet]:
  """Yields packets from the first key frame on, or all if none is marked."""
  waiting: list[av.Packet] | None = []
  for packet in demux(file, stream):
    # An empty packet in mid-stream means "repeat the frame" in AVI; the decoder
    # would take it for the end of the stream.
    if not packet.size and packet.dts is not None:
      continue
    if packet.is_keyframe:
      waiting = None
    if waiting is None:
      yield packet
    else:
      waiting.append(packet)
  yield from waiting or ()
