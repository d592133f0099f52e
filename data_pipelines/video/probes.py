"""What kind of file a video is and how to read it, found out once per file.

A clip may also be a folder of numbered pictures (`frame_folder.py`).

The file is looked through in a process of its own (`examine.py`), so a file
that crashes or hangs a decoder costs a message. What has passed is then read
by `readers`.
"""

import base64
import collections
import dataclasses
import hashlib
import os
import stat
import threading
import zlib
from typing import Any

import numpy as np

from data_pipelines.video import child

Source = str | os.PathLike | bytes

_EXAMINER = 'data_pipelines.video.examine'
# Time limit: decoding takes well under a second per megabyte, but the machine
# may be busy with other things.
_SECONDS = 60.0
_SECONDS_PER_MEGABYTE = 5.0
_REMEMBERED = 4_096


@dataclasses.dataclass(frozen=True)
class Probe:
  """One video file, as `probe` found it. Frames are counted as shown."""

  # Path, or '<bytes of NAME>'.
  name: str
  # Changes when the file does: path, size and time of change; or a hash.
  key: str
  size_bytes: int
  num_frames: int = 0
  # Pixels after rotation, as `read_frames` returns them.
  width: int = 0
  height: int = 0
  # Average frames per second.
  fps: float = 0.0
  # Seconds, the last frame included.
  duration: float = 0.0
  codec: str = ''
  container: str = ''
  # Degrees anticlockwise that make a stored frame upright.
  rotation: int = 0
  # 'decord' where its random access was found exact, else 'pyav'.
  decoder: str = 'pyav'
  # Timestamps (packed, see `timestamps`) in units of `time_base` seconds.
  times: str = ''
  time_base: tuple[int, int] = (0, 1)
  # Frame numbers where decoding may start; () = at the beginning only.
  keyframes: tuple[int, ...] = ()
  # Numbers (packed) of the B-frames, if leaving out those that nobody asks for
  # was found to change nothing.
  spare: str = ''
  # For numbered pictures: their names (`frame_folder.Series`) and the number
  # of the first one. Their fps and duration are unknown: 0.
  pictures: str = ''
  first_picture: int = 0
  # Pictures that are not there (`frame_folder.Series`); they count as frames.
  holes: tuple[int, ...] = ()
  # Pictures that cannot be decoded: (frame, why). Pieces without them can.
  broken: tuple[tuple[int, str], ...] = ()
  # Of a file that `cut` made of a longer one: the frames (first, stop) that
  # were asked for; what else is in it is only needed to decode them.
  piece: tuple[int, ...] = ()
  # Why the file cannot be used, or None.
  error: str | None = None

  def timestamps(self) -> np.ndarray | None:
    """int64 [num_frames], rising; None if frames go by count (AVI)."""
    return unpack(self.times) if self.times else None

  def spare_frames(self) -> list[int]:
    """Rising numbers of the frames that need not be decoded for others.

    (Of a film of pyramids of B-frames some must; its decoder knows which.)
    """
    return unpack(self.spare).tolist() if self.spare else []

  def seconds(self) -> np.ndarray:
    """float64 [num_frames]: when each frame is shown; the first at 0."""
    times = self.timestamps()
    if times is None and not self.fps:
      raise ValueError(f'{self.name} has no frames per second.')
    if times is None:
      return np.arange(self.num_frames) / self.fps
    return (times - times[0]) * (self.time_base[0] / self.time_base[1])

  def to_dict(self) -> dict[str, Any]:
    """Plain values for JSON."""
    return dataclasses.asdict(self) | {
        'time_base': list(self.time_base),
        'keyframes': list(self.keyframes),
        'piece': list(self.piece),
        'holes': list(self.holes),
        'broken': [list(x) for x in self.broken],
    }

  @classmethod
  def from_dict(cls, values: dict[str, Any]) -> 'Probe':
    """What `to_dict` gave; TypeError for other fields."""
    lists = {
        k: tuple(values.get(k, ()))
        for k in ('time_base', 'keyframes', 'piece', 'holes')
    }
    broken = tuple(tuple(x) for x in values.get('broken', ()))
    return cls(**values | lists | {'broken': broken})


def probe(
    source: Source, name: str | None = None, seconds: float | None = None
) -> Probe:
  """Looks through a video file once, whatever is in it.

  Of a folder of pictures only the first one is decoded. (A picture that is
  written over later does not change the folder's key.)

  Args:
    source: path of a file or folder, or the contents of a file as bytes.
    name: what to call the bytes in messages.
    seconds: time limit; by default 60 s and 5 s more per megabyte.

  Returns:
    A Probe. Its `error` says why a file cannot be used: no exception comes
    from what a file holds. Results are remembered per file and contents.
  """
  if isinstance(source, bytes):
    key = 'sha1:' + hashlib.sha1(source).hexdigest()
    question, contents, size = {}, source, len(source)
    name = f'<bytes of {name}>' if name else '<bytes>'
    fault = None if source else 'it is empty (0 bytes)'
  else:
    path = os.path.abspath(os.fspath(source))
    question, contents, name = {'path': path}, b'', os.fspath(source)
    key, size, fault = _look_at(path)
  if fault:
    return Probe(name, key, size, error=fault)
  known = _memory.get(key)
  if known is None:
    if seconds is None:
      seconds = _SECONDS + _SECONDS_PER_MEGABYTE * size / 1e6
    known = Probe(name, key, size, **_ask(question, contents, seconds))
    _memory.put(key, known)
  return dataclasses.replace(known, name=name)


def file_key(path: Source) -> str:
  """The `Probe.key` of a file as it is now; '' if there is none."""
  return _look_at(os.path.abspath(os.fspath(path)))[0]


def remember(found: Probe):
  """Lets `probe` answer from this earlier result, say from a cache file."""
  _memory.put(found.key, found)


def pack(times: np.ndarray) -> str:
  """Rising numbers as a short text: constant steps take 100 letters or so."""
  steps = np.diff(np.asarray(times, '<i8'), prepend=0)
  return base64.b64encode(zlib.compress(steps.tobytes())).decode()


def unpack(text: str) -> np.ndarray:
  """The int64 numbers that `pack` was given."""
  steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), '<i8')
  return np.cumsum(steps)


def close(keep: int = 0):
  """Ends the processes that wait for questions, all but `keep` of them."""
  _children.close(keep)


def _look_at(path: str) -> tuple[str, int, str | None]:
  """(key, size in bytes, fault) without opening the file."""
  try:
    info = os.stat(path)
  except FileNotFoundError:
    return '', 0, 'there is no such file'
  except (OSError, ValueError) as e:
    return '', 0, f'it cannot be opened ({getattr(e, "strerror", e)})'
  # A folder's time changes when a file in it comes or goes.
  key = f'{path}|{info.st_size}|{info.st_mtime_ns}'
  if stat.S_ISDIR(info.st_mode):
    return key, 0, None
  if not stat.S_ISREG(info.st_mode):
    return key, 0, 'it is not an ordinary file'
  if not info.st_size:
    return key, 0, 'it is empty (0 bytes)'
  if not os.access(path, os.R_OK):
    return key, info.st_size, 'it may not be read (permissions)'
  return key, info.st_size, None


def _ask(question, contents: bytes, seconds: float) -> dict[str, Any]:
  try:
    answer, _ = _children.ask(question, contents, seconds)
  except (child.Slow, child.Died) as e:
    return {'error': str(e)}
  if 'error' not in answer:
    times = answer['times']
    answer['times'] = pack(times) if times else ''
    spare = answer.get('spare')
    answer['spare'] = pack(spare) if spare else ''
    answer['time_base'] = tuple(answer['time_base'])
    answer['keyframes'] = tuple(answer['keyframes'])
    answer['holes'] = tuple(answer.get('holes', ()))
    answer['broken'] = tuple(tuple(x) for x in answer.get('broken', ()))
  return answer


class _Memory:
  """The latest probes by key."""

  def __init__(self):
    self._lock = threading.Lock()
    self._probes: collections.OrderedDict[str, Probe] = (
        collections.OrderedDict()
    )

  def get(self, key: str) -> Probe | None:
    with self._lock:
      if key in self._probes:
        self._probes.move_to_end(key)
      return self._probes.get(key)

  def put(self, key: str, found: Probe):
    with self._lock:
      self._probes[key] = found
      self._probes.move_to_end(key)
      if len(self._probes) > _REMEMBERED:
        self._probes.popitem(last=False)


_children = child.Children(_EXAMINER)
_memory = _Memory()
