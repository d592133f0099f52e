"""Reads exactly the requested frames of any clip, as numpy arrays."""

import contextlib
import os
from collections.abc import Sequence

import av
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.video import (
  decord_reader,
  image_folder,
  probes,
  pyav_reader,
)
from data_pipelines.video.container import Unreadable, reason
from data_pipelines.video.probes import Probe


class VideoError(UserError):
  """A video file that cannot be read as asked; the message names it."""


def read_frames(
    source: str | os.PathLike | bytes | tuple[bytes, ...],
    indices: Sequence[int] | np.ndarray,
    probe: Probe | None = None,
    name: str | None = None,
) -> np.ndarray:
  """Reads frames of a video by their number in display order.

  `source` is the path of a file or of a folder of numbered images; or a file's
  contents, which messages call by `name`; or the contents of images, in order,
  with their probe. `indices` are in 0..num_frames - 1, in any order, repeats
  allowed. Without a `probe`, or if the file has changed since, it is probed
  first. Safe to call from several threads.

  Returns:
    uint8 [T, H, W, 3], RGB, rotated and mirrored as a player shows it.

  Raises:
    VideoError: the file is missing, broken or no video, or has no such frame.

  Source: EV-CLIP dassl/data/data_manager.py, which decodes whole files with
    torchvision.io.read_video.
  Differs: a broken file is an error, not a shorter clip; display matrices are
    respected; AVI files with B-frames keep their order (`container.timeline`).
  """
  wanted = np.asarray(indices)
  if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in 'iu'):
    raise ValueError(
        'indices must be a list of integers, but they have shape '
        f'{wanted.shape} and type {wanted.dtype}.'
    )
  if probe is None or _changed(source, probe):
    probe = probes.probe(source, name)
  check(probe)
  if not wanted.size:
    return np.zeros((0, probe.height, probe.width, 3), np.uint8)
  outside = wanted[(wanted < 0) | (wanted >= probe.num_frames)]
  if outside.size:
    raise VideoError(
        f'cannot read frame {outside[0]} of the video {probe.name}: it has '
        f'{probe.num_frames} frames, 0 to {probe.num_frames - 1}.'
    )
  unique, place = np.unique(wanted, return_inverse=True)
  try:
    frames = _read(source, unique.tolist(), probe)
  except (Unreadable, av.error.FFmpegError) as e:
    raise VideoError(_message(probe.name, reason(e))) from e
  out = np.empty((len(wanted), probe.height, probe.width, 3), np.uint8)
  for t, k in enumerate(place):
    out[t] = frames[k]
  return out


def check(probe: Probe):
  """Raises VideoError if the probe found that a file cannot be used."""
  if probe.error:
    raise VideoError(_message(probe.name, probe.error))


def range_indices(
    probe: Probe, start: float | None = None, end: float | None = None
) -> tuple[int, int]:
  """Finds the frames shown between two times, by the file's own timestamps.

  Returns (first, stop): frames first..stop - 1 are shown at times t with start
  <= t < end, in seconds from the first frame; None = no limit.

  Raises:
    VideoError: no frame is in the range or one is damaged; a broken file.
  """
  check(probe)
  first, stop = 0, probe.num_frames
  if not (probe.fps or start is end is None):
    raise VideoError(
        f'{probe.name} holds images, which have no timestamps: give its '
        'segments by frame numbers, not seconds.'
    )
  # Lists round their times: a frame shown at 4/3 s belongs to a range that
  # begins at 1.3333.
  if start is not None:
    first = int(np.searchsorted(probe.seconds(), start - 0.01 / probe.fps))
  if end is not None:
    stop = int(np.searchsorted(probe.seconds(), end - 0.01 / probe.fps))
  if stop <= first:
    raise VideoError(
        f'no frame of the video {probe.name} is shown between {start or 0} s '
        f'and {"its end" if end is None else f"{end} s"}: it lasts '
        f'{probe.duration:.2f} s.'
    )
  check_frames(probe, first, stop)
  return first, stop


def check_frames(probe: Probe, first: int, stop: int):
  """Raises VideoError unless frames first..stop - 1 exist and are sound."""
  check(probe)
  if not 0 <= first < stop <= probe.num_frames:
    last, begin = probe.num_frames - 1, probe.first_image
    raise VideoError(
        f'cannot read the frames {first}:{stop} of the video {probe.name}: it '
        f'has {probe.num_frames} frames, 0 to {last}.'
        + f' Its images run from {begin} to {begin + last}.'
        * bool(probe.images)
    )
  for begin, end, fault in probe.broken:
    if begin < stop and first < end:
      raise VideoError(_message(probe.name, fault))


def _read(source, unique: list[int], probe: Probe) -> Sequence[np.ndarray]:
  if not isinstance(source, bytes | tuple):
    source = os.path.abspath(os.fspath(source))
  if probe.images:
    return image_folder.read(source, unique, probe)
  # A probe may come from a machine that has decord, and a damaged file that
  # decord reads by its path may crash it as bytes; PyAV is exact as well.
  tested = isinstance(source, bytes) == probe.key.startswith('sha1:')
  if probe.decoder == 'decord' and tested and decord_reader.available():
    # Only some frames were tested; PyAV may read the others, or say why not.
    with contextlib.suppress(Exception):
      return decord_reader.read(source, unique)
  return pyav_reader.read(source, unique, probe)


def _changed(source, probe: Probe) -> bool:
  """Tells whether the file has changed since it was probed."""
  if isinstance(source, tuple):
    return False
  # The probe may be of the file's path, so only the size can be compared.
  if isinstance(source, bytes):
    return len(source) != probe.size_bytes
  return probe.key != probes.file_key(source)


def _message(name: str, fault: str) -> str:
  return f'cannot read the video {name}: {fault}.'
