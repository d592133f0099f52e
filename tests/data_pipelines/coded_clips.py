"""Writes small clips whose frames carry their own index.

The upper half of a frame is a grid of black and white blocks that spell the
index twice, once inverted, so that a frame that is wrong, mixed or turned is
noticed. The lower half moves, so that encoders have a use for P and B frames.
"""

import dataclasses
import fractions
import functools

import av
import numpy as np

from data_pipelines.video import read

_BITS = 8
_BY_BIT_RATE = ('mpeg4', 'mjpeg', 'libvpx', 'libvpx-vp9', 'wmv2', 'flv')


@dataclasses.dataclass(frozen=True)
class Format:
  """How a clip is written: container by suffix, codec and its options."""

  name: str
  suffix: str
  codec: str
  options: tuple[tuple[str, str], ...] = ()
  max_b_frames: int | None = None
  pixels: str = 'yuv420p'
  # FFmpeg's codec tag, such as 'XVID'.
  tag: str = ''


X264 = (('preset', 'ultrafast'), ('bf', '2'), ('b-adapt', '0'))
VPX = (('deadline', 'realtime'), ('g', '12'))
_SHORT, _MPEG4 = X264 + (('g', '12'),), (('g', '12'),)
_X265 = 'bframes=2:keyint=12:log-level=none:pools=1'
FORMATS = (
    Format('h264_mp4', '.mp4', 'libx264', _SHORT),
    Format('h264_long_gop', '.mp4', 'libx264', X264 + (('g', '250'),)),
    Format('h264_pyramid', '.mp4', 'libx264', (
        ('preset', 'veryfast'), ('x264-params', 'bframes=5:b-pyramid=normal'))),
    Format('h264_mkv', '.mkv', 'libx264', _SHORT),
    Format('h264_mov', '.mov', 'libx264', _SHORT),
    Format('h264_avi', '.avi', 'libx264', _SHORT),
    Format('hevc_mp4', '.mp4', 'libx265', (
        ('preset', 'ultrafast'), ('x265-params', _X265))),
    Format('vp9_webm', '.webm', 'libvpx-vp9', VPX),
    Format('vp8_webm', '.webm', 'libvpx', VPX),
    Format('av1_mp4', '.mp4', 'libsvtav1', (
        ('preset', '10'), ('g', '12'), ('crf', '30'))),
    Format('mpeg4_avi', '.avi', 'mpeg4', _MPEG4, 0),
    Format('mpeg4_b_avi', '.avi', 'mpeg4', _MPEG4, 2),
    Format('xvid_tag_b_avi', '.avi', 'mpeg4', _MPEG4, 2, tag='XVID'),
    Format('mpeg4_b_mp4', '.mp4', 'mpeg4', _MPEG4, 2),
    Format('mpeg4_b_mkv', '.mkv', 'mpeg4', _MPEG4, 2),
    Format('mjpeg_avi', '.avi', 'mjpeg', (), None, 'yuvj420p'),
)  # fmt: skip
BY_NAME = {f.name: f for f in FORMATS}


def available(form: Format) -> bool:
  """Whether the FFmpeg inside PyAV can write this codec."""
  try:
    av.codec.Codec(form.codec, 'w')
  except av.error.FFmpegError:
    return False
  return True


AVAILABLE = tuple(filter(available, FORMATS))


@functools.cache
def frame(index: int, width: int = 64, height: int = 48) -> np.ndarray:
  """The frame uint8 [H, W, 3] that spells `index` in 0..255."""
  image = np.empty((height, width, 3), np.uint8)
  y, x = np.mgrid[:height, :width]
  image[..., 0] = 60 + 60 * (np.sin((x + 3 * index) / 7) > 0)
  image[..., 1] = 80 + (2 * y + 5 * index) % 90
  image[..., 2] = 120
  bits = (index >> np.arange(_BITS)) & 1
  row = height // 6
  column = width // _BITS
  for k, bit in enumerate(bits):
    for r, value in enumerate((bit, 1 - bit)):
      block = slice(r * row, (r + 1) * row), slice(k * column, (k + 1) * column)
      image[block] = 235 * value + 10
  image.setflags(write=False)
  return image


def read_index(image: np.ndarray) -> int:
  """The index a decoded frame spells, or -1 if it spells none."""
  height, width = image.shape[:2]
  row = height // 6
  column = width // _BITS
  gray = image[: 2 * row, : _BITS * column].astype(float).mean(-1)
  blocks = gray.reshape(2, row, _BITS, column)
  inner = blocks[:, row // 4 : -(row // 4), :, column // 4 : -(column // 4)]
  bits = inner.mean((1, 3)) > 127
  if np.any(bits[0] == bits[1]):
    return -1
  return int((bits[0] << np.arange(_BITS)).sum())


def read_indices(frames: np.ndarray) -> list[int]:
  """The index each of [T, H, W, 3] frames spells."""
  return [read_index(f) for f in frames]


def read_numbers(source, indices, *args) -> list[int]:
  """What these frames of a video spell."""
  return read_indices(read.read_frames(source, indices, *args))


def write(
    path,
    form: Format = FORMATS[0],
    num_frames: int = 40,
    width: int = 64,
    height: int = 48,
    fps: int = 25,
    times: list[int] | None = None,
    rotation: int = 0,
    container: str | None = None,
) -> str:
  """Writes a clip of coded frames and returns its path.

  Args:
    path: file to write; its suffix decides the container.
    form: codec and options.
    num_frames: frame k spells k modulo 256.
    width, height: pixels, multiples of 8 and 12.
    fps: frames per second of the header.
    times: when each frame is shown in units of 1 / fps; 0, 1, 2... by default.
    rotation: display rotation tag in degrees, anticlockwise.
    container: FFmpeg's name of it; by default the suffix decides.
  """
  with av.open(str(path), 'w', format=container) as file:
    stream = file.add_stream(form.codec, rate=fps)
    stream.width, stream.height = width, height
    stream.pix_fmt = form.pixels
    stream.options = dict(form.options)
    context = stream.codec_context
    context.thread_count = 1
    context.time_base = fractions.Fraction(1, fps)
    if form.max_b_frames is not None:
      context.max_b_frames = form.max_b_frames
    if form.tag:
      context.codec_tag = form.tag
    if form.codec in _BY_BIT_RATE:
      context.bit_rate = 400_000
    if rotation:
      stream.set_display_rotation(rotation)
    for k in range(num_frames):
      image = frame(k % 256, width, height)
      picture = av.VideoFrame.from_ndarray(image, 'rgb24')
      picture.pts = times[k] if times else k
      picture.time_base = context.time_base
      file.mux(stream.encode(picture))
    file.mux(stream.encode(None))
  return str(path)


def copy(source, target, skip=0, shift=0, keys=True, **options):
  """Copies the packets of a file behind the first `skip`."""
  with (
      av.open(source) as old,
      av.open(str(target), 'w', options=options) as new,
  ):
    stream = old.streams.video[0]
    out = new.add_stream_from_template(stream)
    packets = [p for p in old.demux(stream) if p.size]
    for packet in packets[skip:]:
      if shift:
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
      packet.is_keyframe &= keys
      packet.stream = out
      new.mux(packet)
  return str(target)
