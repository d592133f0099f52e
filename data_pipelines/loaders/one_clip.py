"""Reads one clip of a list as a model sees it: choose, decode, transform."""

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

# Seconds per clip: generous, since the machine may be busy.
TIME_LIMIT = 600.0


def spec_of(data: Any) -> Recipe:
  """Makes the recipe that config.data describes (data.preprocess names it)."""
  module = importlib.import_module(f'data_pipelines.views.{data.preprocess}')
  names = [field.name for field in dataclasses.fields(module.Spec)]
  return module.Spec(**{name: data[name] for name in names})


@dataclasses.dataclass(frozen=True)
class Reading:
  """Tells a process what to read and how to transform it; is pickled."""

  media: str | os.PathLike | bytes
  probe: Probe
  # int64 [T], frame numbers in the file.
  frames: np.ndarray
  # `View.pixels` of the chosen view.
  pixels: Callable[[np.ndarray], np.ndarray]
  # Shape of the result, [T, P, P, 3].
  shape: tuple[int, int, int, int]

  def read(self) -> np.ndarray:
    """Reads the clip in this process: uint8 [T, P, P, 3].

    Raises:
      VideoError: the clip has changed or gone since it was examined.
    """
    frames = decode.read_frames(self.media, self.frames, self.probe)
    return self.pixels(frames)


def read(
    reading: Reading, workers: int = 0, closed: threading.Event | None = None
) -> np.ndarray:
  """Reads a clip in one of `pool.number(workers)` processes.

  As `Reading.read`, but a file that crashes or hangs the process is also a
  VideoError. `closed` is as for `pool.Tasks`.
  """
  tasks = pool.Tasks(workers, TIME_LIMIT, reading.shape, closed)
  tasks.add(Reading.read, reading)
  return result(tasks, reading)


def result(
    tasks: pool.Tasks, reading: Reading, out: np.ndarray | None = None
) -> np.ndarray:
  """Returns the oldest task's clip, in `out` if given; raises as `read`."""
  try:
    return tasks.next(out)
  except pool.WorkerDied as e:
    name = reading.probe.name
    raise decode.VideoError(f'cannot read the video {name}: {e}.') from None


def train_clip(
    source: Source,
    index: int,
    spec: Recipe,
    generator: np.random.Generator,
    query: bool = False,
) -> Reading:
  """Draws a training view of a clip; `query`: it is a query of an episode."""
  total, fps = source.span(index)[1], source.probe(index).fps
  view = spec.train_view(total, fps, generator, query)
  return _reading(source, index, spec, view)


def eval_clip(source: Source, index: int, spec: Recipe, *view: int) -> Reading:
  """Chooses one of the fixed views that a clip of a list is scored in.

  `view` are the arguments view, clips, crops and seed of `eval_view`.
  """
  total, fps = source.span(index)[1], source.probe(index).fps
  chosen = eval_view(spec, total, fps, index, *view)
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
  """Returns one of the fixed views that a clip of `total` frames is scored in.

  Args:
    spec, total, index: the recipe, the clip's length, and its place in a list.
    fps: 0 where it is unknown, as for images and bare arrays of frames.
    view: 0 .. clips * crops - 1; the crop changes fastest.
    clips, crops: see `Place`.
    seed: for recipes that draw frames also in testing, per clip and window.
  """
  clip, crop = divmod(view, crops)
  generator = randomness.generator(seed, 'view', index, clip)
  return spec.eval_view(total, fps, Place(clip, clips, crop, crops), generator)


def one_video(
    path: str, found: Probe, spans: Sequence[tuple[int, int]] = ()
) -> Source:
  """Makes a list of one video, or of pieces of it, to be predicted.

  `path` is absolute; `spans` are the frames (first, stop) of each piece.
  """
  pieces = [ClipRecord(path, 0, first=a, stop=b) for a, b in spans]
  clips = ClipList('predict', tuple(pieces or [ClipRecord(path, 0)]))
  return Source(clips, [], files.FileTree(os.path.dirname(path)), {path: found})


def decoding(reading: Reading, plainly: bool = False) -> Reading:
  """Returns a reading that decodes a clip and discards it, for benchmarks.

  `plainly` decodes also the B-frames that nobody asks for, as a plain call of
  PyAV would.
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
