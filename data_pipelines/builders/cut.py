"""Small files with one piece of a long film or of a folder of pictures.

Nothing is encoded again: packets, or picture files, are copied as they are. A
piece of a film begins at the key frame before it, so the small file holds some
frames more; `Cut` says which ones were asked for.
"""

import dataclasses
import io
import os
import pathlib

import av
import numpy as np

from data_pipelines.video import film, pictures
from data_pipelines.video.film import Unreadable
from data_pipelines.video.probe import Probe


@dataclasses.dataclass(frozen=True)
class Cut:
  """A small file in memory.

  Attributes:
    contents: a video file, or a ZIP file of pictures; `decode` reads both.
    first, stop: the frames first..stop - 1 of it are the piece.
  """

  contents: bytes
  first: int
  stop: int


def cut(
    source: str | os.PathLike, probe: Probe, first: int, stop: int
) -> Cut:
  """Copies the frames first..stop - 1 of a clip into a small file.

  A file whose frames go by count (AVI) cannot be cut: all of it is returned.

  Args:
    source: path of a film or of a folder of pictures.
    probe: of it; sound.
    first, stop: frame numbers inside it (`decode.check_frames`).

  Returns:
    The same bytes for the same file, every time.

  Raises:
    Unreadable: the film or a picture cannot be copied.
  """
  path = os.path.abspath(os.fspath(source))
  if probe.pictures:
    found = pictures.Series(
        probe.pictures, probe.first_picture, probe.num_frames
    )
    try:
      contents = pictures.pack(path, found, first, stop)
    except OSError as e:
      raise Unreadable(
          f'its picture {os.path.basename(e.filename or "")} cannot be read '
          f'({e.strerror})'
      ) from e
    return Cut(contents, 0, stop - first)
  times = probe.timestamps()
  if times is None:
    return Cut(pathlib.Path(path).read_bytes(), first, stop)
  try:
    return _cut_film(path, probe, times, first, stop)
  except av.error.FFmpegError as e:
    raise Unreadable(
        f'the frames {first}:{stop} cannot be copied ({film.reason(e)})'
    ) from e


def _cut_film(path, probe, times: np.ndarray, first: int, stop: int) -> Cut:
  entry = max((k for k in probe.keyframes if k <= first), default=0)
  begin, last = int(times[entry]), int(times[stop - 1])
  out = io.BytesIO()
  # MP4 keeps rotation tags and exact times; Matroska takes every codec.
  form = 'mp4' if probe.container.startswith('mov') else 'matroska'
  with (
      film.open_video(path) as (container, stream),
      av.open(
          out,
          'w',
          format=form,
          # Without random identifiers and the name of the program.
          container_options={'fflags': '+bitexact'},
      ) as target,
  ):
    if entry:
      container.seek(begin, stream=stream)
    packets = _packets(container.demux(stream), begin, last, not entry)
    # All of them: the copy has no edit list that would hide the first ones.
    shown = sorted(p.pts for p in packets)
    copy = target.add_stream_from_template(stream, opaque=True)
    for packet in packets:
      packet.pts -= shown[0]
      if packet.dts is not None:
        packet.dts -= shown[0]
      packet.stream = copy
      target.mux(packet)
  here = shown.index(int(times[first]))
  return Cut(out.getvalue(), here, here + stop - first)


def _packets(demuxed, begin: int, last: int, from_start: bool) -> list:
  """The packets needed for the frames from `begin` to `last`, as stored."""
  kept, needed = [], 0
  started = from_start
  for packet in demuxed:
    if not packet.size or packet.pts is None:
      continue
    started = started or packet.is_keyframe and packet.pts == begin
    # Frames of an open group lead up to the key frame; without the group
    # before it they cannot be decoded, and none behind it needs them.
    if not started or not from_start and packet.pts < begin:
      continue
    if packet.dts is not None and packet.dts > last:
      break
    kept.append(packet)
    if packet.pts <= last:
      needed = len(kept)
  if not needed:
    raise Unreadable(
        'a jump did not lead to the key frame before the piece'
    )
  return kept[:needed]
