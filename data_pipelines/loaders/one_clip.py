"""One clip of a list -> the pixels a model sees: choose, decode, transform.

The only place that joins the three. A new recipe is an entry of `_RECIPES`.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import Source
from data_pipelines.stores import files
from data_pipelines.video import pool
from data_pipelines.video import read as decode
from data_pipelines.video.probes import Probe
from data_pipelines.views import clip_fsar, ev_clip, ez_clip
from data_pipelines.views.view import Place, Recipe, View

_RECIPES = {
    'ev_clip': ev_clip.Spec,
    'ez_clip': ez_clip.Spec,
    'clip_fsar': clip_fsar.Spec,
}
# A clip takes a small part of a second; the machine may be busy.
_SECONDS = 600.0


def spec_of(data: Any) -> Recipe:
  """Returns the spec that config.data describes.

  Raises:
    UserError: data.preprocess names no recipe.
  """
  recipe = _RECIPES.get(data.preprocess)
  if recipe is None:
    raise UserError(
        f'data.preprocess={data.preprocess!r}: use one of '
        f'{", ".join(_RECIPES)}.'
    )
  names = [f.name for f in dataclasses.fields(recipe)]
  return recipe(**{name: data[name] for name in names})


@dataclasses.dataclass(frozen=True)
class Reading:
  """What to read and what becomes of it; this is sent to a process.

  Attributes:
    media: path of a file or folder, or a file's contents.
    probe: of it.
    frames: int64 [T], frame numbers in the file.
    pixels: `View.pixels` of the chosen view.
    shape: [T, P, P, 3] of the result.
  """

  media: str | os.PathLike | bytes
  probe: Probe
  frames: np.ndarray
  pixels: Callable[[np.ndarray], np.ndarray]
  shape: tuple[int, int, int, int]

  def read(self) -> np.ndarray:
    """Reads it here: uint8 [T, P, P, 3].

    Raises:
      VideoError: the clip has changed or gone since it was examined.
    """
    frames = decode.read_frames(self.media, self.frames, self.probe)
    return self.pixels(frames)


def read(reading: Reading, workers: int = 0) -> np.ndarray:
  """Reads a clip in one of `pool.number(workers)` processes.

  Returns:
    uint8 [T, P, P, 3].

  Raises:
    VideoError: as `Reading.read`, and for files that crash or hang a decoder.
  """
  try:
    return pool.compute(
        Reading.read,
        reading,
        shape=reading.shape,
        workers=workers,
        timeout=_SECONDS,
    )
  except pool.WorkerDied as e:
    raise decode.VideoError(
        f'cannot read the video {reading.probe.name}: {e}.'
    ) from None


def train_clip(
    source: Source,
    index: int,
    spec: Recipe,
    generator: np.random.Generator,
    query: bool = False,
) -> Reading:
  """Chooses a training view of clip number `index` of a list.

  The generator is that of this clip in this epoch or episode; `query` says
  whether it is a query of the episode.
  """
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
    clips: temporal windows; one lies in the middle.
    crops: 1 = centre; 3 = left, centre, right.
    seed: for recipes that draw frames in testing; with the clip and its
      window it decides them, so that a clip always looks the same.
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

  Args:
    path: absolute.
    found: the probe of it.
    spans: (first, stop) frame of each piece; none = the whole.
  """
  records = [
      ClipRecord(path, 0, first=first, stop=stop) for first, stop in spans
  ] or [ClipRecord(path, 0)]
  return Source(
      ClipList('predict', tuple(records)),
      [],
      files.FileTree(os.path.dirname(path)),
      {path: found},
  )


def decoding(
    source: Source, index: int, spec: Recipe, plainly: bool = False
) -> Reading:
  """Returns only the decoding of a clip that is scored; for benchmarks.

  It gives no pixels when it is read: the frames stay where they are. `plainly`
  is as one would call a decoder oneself: decord where it is exact, else PyAV,
  frame after frame; B-frames that nobody asked for are decoded too.
  """
  clip = eval_clip(source, index, spec)
  probe = dataclasses.replace(clip.probe, spare='') if plainly else clip.probe
  shape = 0, *clip.shape[1:]
  return dataclasses.replace(clip, probe=probe, pixels=_no_pixels, shape=shape)


def _reading(source: Source, index: int, spec: Recipe, view: View) -> Reading:
  frames = source.span(index)[0] + view.frames
  media, probe = source.media(index), source.probe(index)
  return Reading(media, probe, frames, view.pixels, spec.shape)


def _no_pixels(frames: np.ndarray) -> np.ndarray:
  return frames[:0]
