"""One clip of a list -> the pixels a model sees: choose, decode, transform."""

import collections
import dataclasses
import importlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipelines import randomness
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import Source
from data_pipelines.stores import files
from data_pipelines.video import pool
from data_pipelines.video import read as decode
from data_pipelines.video.probes import Probe
from data_pipelines.views.view import Place, Recipe, View

# A clip takes a small part of a second; the machine may be busy.
_SECONDS = 600.0


def spec_of(data: Any) -> Recipe:
  """Returns the spec that config.data describes."""
  module = importlib.import_module(f'data_pipelines.views.{data.preprocess}')
  names = [field.name for field in dataclasses.fields(module.Spec)]
  return module.Spec(**{name: data[name] for name in names})


@dataclasses.dataclass(frozen=True)
class Reading:
  """Tells a process what to read and what to make of it; it is sent there."""

  media: str | os.PathLike | bytes
  probe: Probe
  # int64 [T], numbers in the file.
  frames: np.ndarray
  # Of the chosen view.
  pixels: Callable[[np.ndarray], np.ndarray]
  # Of the result, [T, P, P, 3].
  shape: tuple[int, int, int, int]

  def read(self) -> np.ndarray:
    """Reads it here: uint8 [T, P, P, 3].

    Raises:
      VideoError: the clip has changed or gone since it was examined.
    """
    frames = decode.read_frames(self.media, self.frames, self.probe)
    return self.pixels(frames)


def read(
    reading: Reading, workers: int = 0, closed: threading.Event | None = None
) -> np.ndarray:
  """Reads a clip in one of `pool.number(workers)` processes.

  As `Reading.read`, with a VideoError also for files that crash or hang it.
  """
  clips = Clips(reading.shape, workers, closed)
  clips.add(reading)
  return clips.next()


class Clips:
  """Clips of one shape that are read at once, and come in order."""

  def __init__(
      self,
      shape: tuple[int, int, int, int],
      workers: int = 0,
      closed: threading.Event | None = None,
  ):
    """`workers` as for `read`, `closed` as for `pool.Tasks`."""
    self._tasks = pool.Tasks(workers, _SECONDS, shape, closed)
    self._added: collections.deque[Reading] = collections.deque()

  @property
  def full(self) -> bool:
    """Whether more clips would make no process busier."""
    return self._tasks.full

  def add(self, reading: Reading):
    """Asks for one more clip."""
    self._tasks.add(Reading.read, reading)
    self._added.append(reading)

  def next(self, out: np.ndarray | None = None) -> np.ndarray:
    """Returns the clip that was added first, or raises as `read`.

    It is written to `out`, if that is given.
    """
    name = self._added.popleft().probe.name
    try:
      return self._tasks.next(out)
    except pool.WorkerDied as e:
      raise decode.VideoError(f'cannot read the video {name}: {e}.') from None


def train_clip(
    source: Source,
    index: int,
    spec: Recipe,
    generator: np.random.Generator,
    query: bool = False,
) -> Reading:
  """Chooses a training view of a clip, perhaps a query of an episode."""
  total, fps = source.span(index)[1], source.probe(index).fps
  view = spec.train_view(total, fps, generator, query)
  return _reading(source, index, spec, view)


def eval_clip(
    source: Source,
    index: int,
    spec: Recipe,
    view: int = 0,
    clips: int = 1,
    crops: int = 1,
    seed: int = 0,
) -> Reading:
  """Chooses one of the fixed views that a clip is scored in.

  Args:
    source, index, spec: the list, which of its clips, sizes and switches.
    view: 0 .. clips * crops - 1; the crop changes fastest.
    clips, crops: see `Place`.
    seed: for recipes that draw frames in testing, by clip and window.
  """
  total, fps = source.span(index)[1], source.probe(index).fps
  chosen = eval_view(spec, total, fps, index, view, clips, crops, seed)
  return _reading(source, index, spec, chosen)


def eval_view(
    spec: Recipe,
    total: int,
    fps: float = 0.0,
    index: int = 0,
    view: int = 0,
    clips: int = 1,
    crops: int = 1,
    seed: int = 0,
) -> View:
  """Returns the view of `eval_clip`, of a clip of `total` frames.

  Frames alone have no frames per second, as pictures.
  """
  clip, crop = divmod(view, crops)
  generator = randomness.generator(seed, 'view', index, clip)
  return spec.eval_view(total, fps, Place(clip, clips, crop, crops), generator)


def one_video(
    path: str, found: Probe, spans: Sequence[tuple[int, int]] = ()
) -> Source:
  """Returns a list of one video, or of pieces of it, read as in an evaluation.

  `path` is absolute; `spans` are the (first, stop) frame of each piece.
  """
  pieces = [ClipRecord(path, 0, first=a, stop=b) for a, b in spans]
  clips = ClipList('predict', tuple(pieces or [ClipRecord(path, 0)]))
  return Source(clips, [], files.FileTree(os.path.dirname(path)), {path: found})


def decoding(reading: Reading, plainly: bool = False) -> Reading:
  """Returns the decoding of a clip without its pixels, for benchmarks.

  `plainly` is as one would call a decoder oneself: decord where it is exact,
  else PyAV; B-frames that nobody asked for are decoded too.
  """
  probe = reading.probe
  return dataclasses.replace(
      reading,
      probe=dataclasses.replace(probe, spare='') if plainly else probe,
      pixels=_no_pixels,
      shape=(0, *reading.shape[1:]),
  )


def _reading(source: Source, index: int, spec: Recipe, view: View) -> Reading:
  frames = source.span(index)[0] + view.frames
  media, probe = source.media(index), source.probe(index)
  return Reading(media, probe, frames, view.pixels, spec.shape)


def _no_pixels(frames: np.ndarray) -> np.ndarray:
  return frames[:0]
