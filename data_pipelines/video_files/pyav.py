"""Reading video files with PyAV, the decoder that is exact for every file.

Frames are numbered in presentation order. Two ways of counting exist:

* by time, where the container's timestamps can be trusted: the n-th smallest
  timestamp that is not negative, as players show them;
* by output order of the decoder, for AVI (which stores no presentation times;
  those FFmpeg guesses for files with B-frames are wrong) and for streams with
  missing or repeated timestamps. Codecs order their frames themselves.
"""

import bisect
import contextlib
import io
from collections.abc import Iterator, Sequence, Set

import av
import numpy as np

Source = str | bytes

# Only real video containers: not text as "ANSI art", not pictures, and above
# all not playlists, which could name other files or addresses.
_FORMATS = (
    'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,'
    'ogg,h264,hevc,m4v,ivf,gif,mxf,nut,dv'
)
# A file larger than 8K would only be opened to exhaust the memory.
MAX_SIDE = 16_384
MAX_PIXELS = 7_680 * 4_320
MAX_FRAMES = 2_000_000
# Frames that are rather decoded than jumped over.
SEEK_GAP = 48
# Codecs whose decoder may emit frames early, before it has seen how far
# ahead the stream reorders; there the timestamps decide.
_SORTED_BY_TIME = ('h264', 'hevc')


class Unreadable(Exception):
  """What is wrong with a video; the caller adds which video it is."""


class SeekMissed(Exception):
  """Jumping to a key frame did not lead to the frame wanted."""


@contextlib.contextmanager
def open_video(source: Source):
  """Opens the first true video stream of a file's path or contents.

  Yields:
    (container, stream), with one decoding thread: callers run in parallel.

  Raises:
    Unreadable: not a video, no video stream, or larger than MAX_PIXELS.
  """
  try:
    container = av.open(
        io.BytesIO(source) if isinstance(source, bytes) else source,
        container_options={
            'format_whitelist': _FORMATS,
            'protocol_whitelist': 'file',
        },
    )
  except (av.error.FFmpegError, ValueError) as e:
    raise Unreadable(
        f'it is not a video file that can be opened ({reason(e)})'
    ) from e
  with container:
    stream = _video_stream(container)
    if stream.codec_context is None:
      raise Unreadable('its codec is unknown')
    check_size(stream.codec_context.width, stream.codec_context.height)
    stream.codec_context.thread_count = 1
    yield container, stream


def check_size(width: int, height: int):
  """Raises Unreadable for a frame size that no real clip has."""
  if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
    raise Unreadable(
        f'its frames are {width}x{height} pixels; at most '
        f'{MAX_PIXELS / 1e6:.0f} megapixels are read'
    )


def decode(
    container, stream, due: Set[int] | None = None
) -> Iterator[av.VideoFrame]:
  """All frames from the current position on, in the decoder's order.

  Args:
    container: as `open_video` gave it.
    stream: likewise.
    due: timestamps; of the others the decoder may leave out those on which no
      frame builds.

  Raises:
    Unreadable: the decoder fails, or the frames change their size.
  """
  count = 0
  size = None
  try:
    for packet in container.demux(stream):
      # An empty packet in mid-stream is AVI's "as before". The decoder would
      # take it for the end.
      if packet.size == 0 and packet.dts is not None:
        continue
      if due is not None:
        _leave_out(stream.codec_context, packet.pts not in due)
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


def timeline(
    times: Sequence[int | None], container: str, codec: str
) -> np.ndarray | None:
  """The timestamps by which a file's frames are counted.

  Args:
    times: timestamp of each frame, in the decoder's output order.
    container: FFmpeg's name of the container.
    codec: FFmpeg's name of the codec.

  Returns:
    Sorted int64 timestamps, one per frame shown; or None to count frames in
    output order.

  Source: torchvision.io.read_video as EV-CLIP calls it: frames sorted by
    timestamp, negative ones dropped.
  Differs: the original also sorts AVI files by FFmpeg's guessed timestamps,
    which shuffles clips with B-frames, and drops frames of equal time.
  """
  if container == 'avi' or any(t is None for t in times):
    return None
  values = np.asarray(times, np.int64)
  if np.any(np.diff(values) <= 0) and codec not in _SORTED_BY_TIME:
    return None
  values = np.sort(values)
  if np.any(np.diff(values) <= 0) or values[-1] < 0:
    return None
  return values[values >= 0]


def pick(
    source: Source,
    wanted: Sequence[int],
    times: np.ndarray | None,
    keyframes: Sequence[int] = (),
    gap: int = SEEK_GAP,
    spare: Sequence[int] = (),
) -> Iterator[tuple[int, av.VideoFrame]]:
  """The frames with the given numbers, in the order they are decoded.

  Args:
    source: path or contents.
    wanted: frame numbers, sorted, each once.
    times: what `timeline` gave for the whole file.
    keyframes: frame numbers where decoding may start; () = only at the
      beginning. Needs `times`.
    gap: distance in frames from which a jump is worth while.
    spare: numbers of B-frames, rising: those not wanted are left out, unless
      other frames build on them; () = nothing is left out.

  Raises:
    Unreadable: the file cannot be decoded that far.
    SeekMissed: a jump did not lead to the frame.
  """
  with open_video(source) as (container, stream):
    for start, numbers in _runs(wanted, keyframes, gap):
      if start:
        container.seek(int(times[start]), stream=stream)
      if times is None:
        frames, context = decode(container, stream), stream.codec_context
        yield from _pick_by_count(frames, numbers, context, spare)
      else:
        due = {int(times[n]) for n in numbers} if spare else None
        frames = decode(container, stream, due)
        yield from _pick_by_time(frames, numbers, times, bool(start))


def read(
    source: Source,
    wanted: Sequence[int],
    times: np.ndarray | None,
    keyframes: Sequence[int],
    rotation: int,
    spare: Sequence[int] = (),
) -> list[np.ndarray]:
  """Frames uint8 [H, W, 3], RGB and upright, for `wanted` as in `pick`."""
  try:
    found = {
        n: rgb(frame, rotation)
        for n, frame in pick(source, wanted, times, keyframes, spare=spare)
    }
  except SeekMissed:
    found = {
        n: rgb(frame, rotation)
        for n, frame in pick(source, wanted, times, spare=spare)
    }
  return [found[n] for n in wanted]


def rgb(frame: av.VideoFrame, rotation: int = 0) -> np.ndarray:
  """uint8 [H, W, 3]; `rotation` degrees anticlockwise make it upright.

  Source: EV-CLIP reads with PyAV's `to_rgb`; this is the same conversion.
  """
  return np.rot90(frame.to_ndarray(format='rgb24'), rotation // 90)


def rotation(frame: av.VideoFrame) -> int:
  """The display tag in degrees anticlockwise: 0, 90, 180 or 270.

  Other angles are rounded to these; mirroring is ignored.
  """
  return round(frame.rotation / 90) * 90 % 360


def reason(error: Exception) -> str:
  """FFmpeg's own words, without its error number and the file name."""
  return getattr(error, 'strerror', None) or str(error)


def _video_stream(container):
  for stream in container.streams.video:
    # The cover picture of a sound file is a video stream to FFmpeg.
    if not stream.disposition & av.stream.Disposition.attached_pic:
      return stream
  raise Unreadable('it holds no video stream')


def _runs(wanted, keyframes, gap) -> list[tuple[int, list[int]]]:
  """Splits sorted frame numbers into (frame to start from, numbers)."""
  runs = []
  position = 0
  for number in wanted:
    k = bisect.bisect_right(keyframes, number)
    start = keyframes[k - 1] if k else 0
    if start - position > gap:
      runs.append((start, [number]))
    elif runs:
      runs[-1][1].append(number)
    else:
      runs.append((0, [number]))
    position = number
  return runs


def _pick_by_count(frames, numbers, context, spare):
  """The decoder is told before each run of spare frames whether to bother."""
  wanted = set(numbers)
  plan = _plan(numbers, spare)
  _leave_out(context, next(plan)[1])
  for frame, (number, leave_out) in zip(frames, plan, strict=False):
    _leave_out(context, leave_out)
    if number in wanted:
      yield number, frame
    if number == numbers[-1]:
      return
  raise Unreadable(f'it ended before frame {numbers[-1]}')


def _plan(numbers, spare) -> Iterator[tuple[int, bool]]:
  """(frame number, whether the spare frames right behind it are left out).

  For the frames that the decoder gives up to the last of `numbers`, in their
  order; at first for the beginning, which is number -1.
  """
  spare, number = set(spare), -1
  while number <= numbers[-1]:
    stop = number + 1
    while stop in spare:
      stop += 1
    is_run = stop > number + 1
    k = bisect.bisect_right(numbers, number)
    leave_out = is_run and (k == len(numbers) or numbers[k] >= stop)
    yield number, leave_out
    if not leave_out:
      yield from ((n, False) for n in range(number + 1, stop))
    number = stop


def _leave_out(context, leave_out: bool):
  context.skip_frame = 'NONREF' if leave_out else 'DEFAULT'


def _pick_by_time(frames, numbers, times, after_seek):
  missing = {int(times[n]): n for n in numbers}
  last = int(times[numbers[-1]])
  for frame in frames:
    number = missing.pop(frame.pts, None)
    if number is not None:
      if frame.is_corrupt and after_seek:
        raise SeekMissed
      # Of a long film `films` has not seen this place.
      if frame.is_corrupt:
        raise Unreadable(f'it is damaged in frame {number}')
      yield number, frame
    if not missing:
      return
    if after_seek and frame.pts is not None and frame.pts > last:
      raise SeekMissed
  if after_seek:
    raise SeekMissed
  raise Unreadable(f'it ended before frame {numbers[-1]}')
