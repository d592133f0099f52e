"""Finds out, once per file, what kind of video it is and how to read it.

The file is examined in a process of its own (`examine.py`), so one that crashes
or hangs a decoder costs only a message. Results are cached in memory and, by
`probe_many`, on disk.
"""

import base64
import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from data_pipelines import whole_file
from data_pipelines.video import examine, pool
from data_pipelines.video.container import AS_STORED

Media = str | os.PathLike | bytes
# (index of the path, probe) -> (first, stop) of each piece that will be read.
Pieces = Callable[[int, 'Probe'], Iterable[tuple[int, int]]]

# Time limit: generous, as the machine may be busy; decoding takes well under a
# second per megabyte.
_SECONDS = 60.0
_SECONDS_PER_MEGABYTE = 5.0
_REMEMBERED = 4_096
_EMPTY = 'it is empty (0 bytes)'
# To be increased when the meaning of a field or a verdict changes.
_VERSION = 7

_memory = collections.OrderedDict()


@dataclasses.dataclass(frozen=True)
class Probe:
  """Holds what `probe` found out about a file; frames in display order."""

  # Path, or '<bytes of NAME>'.
  name: str
  # Changes when the file does: path, size and modification time; or a hash.
  key: str
  size_bytes: int
  num_frames: int = 0
  # Pixels as `read_frames` returns them.
  width: int = 0
  height: int = 0
  # Average frames per second; seconds, last frame included. 0 for images.
  fps: float = 0.0
  duration: float = 0.0
  codec: str = ''
  container: str = ''
  # How a stored frame is rotated and mirrored (`container.display`).
  display: tuple[int, int, int, int] = AS_STORED
  # 'decord' if it was requested and found exact for this file, else 'pyav'.
  decoder: str = 'pyav'
  # Timestamps (packed, see `timestamps`) in units of `time_base` seconds.
  times: str = ''
  time_base: tuple[int, int] = (0, 1)
  # Frame numbers where decoding may start; () = at the beginning only.
  keyframes: tuple[int, ...] = ()
  # Numbers (packed) of the B-frames, if skipping them was found to change no
  # other frame.
  spare: str = ''
  # Format string of the names of numbered images, and the first number.
  images: str = ''
  first_image: int = 0
  # For a long film, the frames (first, stop) that were decoded; () = all.
  looked: tuple[tuple[int, int], ...] = ()
  # Ranges that cannot be decoded: (first, stop, why). Other pieces can be used.
  broken: tuple[tuple[int, int, str], ...] = ()
  # The clip's frames (first, stop), where the store holds only this piece.
  piece: tuple[int, ...] = ()
  # Why the file cannot be used, or None.
  error: str | None = None

  def timestamps(self) -> np.ndarray | None:
    """Returns int64 [num_frames], sorted; None if frames are counted (AVI)."""
    return unpack(self.times) if self.times else None

  def spare_frames(self) -> list[int]:
    """Returns the sorted numbers of the B-frames that may be skipped."""
    return unpack(self.spare).tolist() if self.spare else []

  def seconds(self) -> np.ndarray:
    """Returns when each frame is shown, float64 [num_frames], first at 0."""
    times = self.timestamps()
    if times is None:
      return np.arange(self.num_frames) / self.fps
    return (times - times[0]) * (self.time_base[0] / self.time_base[1])

  def to_dict(self) -> dict[str, Any]:
    """Returns plain values for JSON."""
    return dataclasses.asdict(self)

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Probe':
    """Makes a probe from `to_dict`'s result; TypeError for unknown fields."""
    return cls(**{k: _as_tuples(v) for k, v in values.items()})


def probe(
    source: Media,
    name: str | None = None,
    decoder: str = 'pyav',
) -> Probe:
  """Examines a video file; never raises because of its contents.

  `source` is the path of a file or of a folder of images (whose key changes
  when an image is added or removed, not when one is overwritten), or a file's
  contents, which messages call by `name`. With decoder='decord', tests whether
  decord reads the file exactly. The probe's `error` says why a file cannot be
  used. Results are cached.
  """
  if isinstance(source, bytes):
    key = 'sha1:' + hashlib.sha1(source).hexdigest()
    media, size, fault = source, len(source), None if source else _EMPTY
    name = f'<bytes of {name}>' if name else '<bytes>'
  else:
    media, name = os.path.abspath(os.fspath(source)), os.fspath(source)
    key, size, fault = _stat(media)
  if fault:
    return Probe(name, key, size, error=fault)
  known = _memory.get((key, decoder))
  if known is None:
    # A file that crashes or hangs decord may be sound to PyAV.
    for tried in dict.fromkeys((decoder, 'pyav')):
      try:
        limit = _limit(size)
        fields = pool.run(examine.examine, media, tried, timeout=limit)
        break
      except pool.WorkerDied as e:
        fields = {'error': str(e)}
    for packed in ('times', 'spare'):
      fields[packed] = pack(fields[packed]) if fields.get(packed) else ''
    known = _memory[key, decoder] = Probe(name, key, size, **fields)
    if len(_memory) > _REMEMBERED:
      _memory.popitem(last=False)
  return dataclasses.replace(known, name=name)


def probe_many(
    paths: Sequence[str | os.PathLike],
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    cache_file: str | os.PathLike | None = None,
    decoder: str = 'pyav',
    pieces: Pieces | None = None,
) -> list[Probe]:
  """Probes files in parallel processes; returns one probe per path.

  `workers` files at a time, 0 = one per core; `progress` is called with (files
  done, files) after each. Results are kept in `cache_file`, except those of
  broken files, since the fault may be the machine's; a cache that cannot be
  read counts as empty. `pieces` says what will be read of a file; in long
  films, these are decoded too.
  """
  known = _load(cache_file, decoder)
  before = dict(known)

  def one(place: int) -> Probe:
    path = paths[place]
    key = file_key(path)
    found = known.get(key) or probe(path, decoder=decoder)
    found = dataclasses.replace(found, name=os.fspath(path))
    for first, stop in pieces(place, found) if pieces and found.looked else ():
      found = _look(path, found, first, stop)
    if found.error is None:
      known[key] = found
    return found

  threads = concurrent.futures.ThreadPoolExecutor(pool.number(workers))
  try:
    futures = [threads.submit(one, place) for place in range(len(paths))]
    for done, _ in enumerate(concurrent.futures.as_completed(futures), 1):
      if progress:
        progress(done, len(futures))
    return [f.result() for f in futures]
  finally:
    # Even after Ctrl-C, keep the results so far.
    threads.shutdown(cancel_futures=True)
    if cache_file is not None and known != before:
      _save(cache_file, decoder, known)


def file_key(path: Media) -> str:
  """Returns the `Probe.key` of a file as it is now; '' if there is none."""
  return _stat(os.path.abspath(os.fspath(path)))[0]


def pack(times: Sequence[int] | np.ndarray) -> str:
  """Packs increasing integers as text: about 100 letters if evenly spaced."""
  steps = np.diff(np.asarray(times, '<i8'), prepend=0)
  return base64.b64encode(zlib.compress(steps.tobytes())).decode()


def unpack(text: str) -> np.ndarray:
  """Returns the int64 numbers that `pack` packed."""
  steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), '<i8')
  return np.cumsum(steps)


def _look(path, found: Probe, first: int, stop: int) -> Probe:
  """Decodes frames first..stop - 1 of a long film, unless that was done before.

  Returns the probe with this range in `looked` and any damage in `broken`.
  """
  if any(a <= first and stop <= b for a, b in found.looked):
    return found
  media, times = os.path.abspath(path), found.timestamps()
  try:
    fault = pool.run(
        examine.look, media, times, found.keyframes, range(first, stop),
        timeout=_limit(found.size_bytes),
    )  # fmt: skip
  except pool.WorkerDied as e:
    fault = first, str(e)
  broken = found.broken
  if fault:
    stop = fault[0] + 1
    broken += ((fault[0], stop, fault[1]),)
  looked = [(first, stop)]
  # Merge it with the ranges that it touches.
  for a, b in found.looked:
    if a <= looked[0][1] and looked[0][0] <= b:
      looked[0] = min(a, looked[0][0]), max(b, looked[0][1])
    else:
      looked.append((a, b))
  return dataclasses.replace(found, looked=tuple(looked), broken=broken)


def _limit(size: int) -> float:
  return _SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6


def _stat(path: str) -> tuple[str, int, str | None]:
  """(key, size in bytes, fault) without opening the file."""
  try:
    info = os.stat(path)
  except FileNotFoundError:
    return '', 0, 'there is no such file'
  except (OSError, ValueError) as e:
    return '', 0, f'it cannot be opened ({getattr(e, "strerror", e)})'
  # A folder's time changes when a file in it is added or removed.
  key = f'{path}|{info.st_size}|{info.st_mtime_ns}'
  if stat.S_ISDIR(info.st_mode):
    return key, 0, None
  if not stat.S_ISREG(info.st_mode):
    return key, 0, 'it is not an ordinary file'
  if not os.access(path, os.R_OK):
    return key, info.st_size, 'it is not readable (permissions)'
  return key, info.st_size, None if info.st_size else _EMPTY


def _load(file, decoder: str) -> dict[str, Probe]:
  try:
    values = json.loads(pathlib.Path(file).read_text()) if file else {}
    if [values['version'], values['decoder']] != [_VERSION, decoder]:
      return {}
    probes = [Probe.from_dict(v) for v in values['probes']]
  except (OSError, ValueError, TypeError, KeyError):
    return {}
  return {p.key: p for p in probes}


def _save(file, decoder: str, known: dict[str, Probe]):
  probes = [p.to_dict() for p in known.values()]
  values = {'version': _VERSION, 'decoder': decoder, 'probes': probes}
  try:
    whole_file.write(file, json.dumps(values))
  except OSError as e:
    print(
        f'note: what was found out about clips cannot be cached ({e}); they '
        'are examined again next time (cache_dir).',
        file=sys.stderr,
    )


def _as_tuples(value: Any) -> Any:
  is_list = isinstance(value, list | tuple)
  return tuple(map(_as_tuples, value)) if is_list else value
