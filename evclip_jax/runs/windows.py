"""Spreads windows over a video, in which a model looks at it.

A window is as long as the clips that a method was trained on: the window of
EV-CLIP's recipe, or ten seconds for recipes that spread their frames over a
clip. A video no longer than a window has the views of a clip in evaluation.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.video import probe
from evclip_jax.evaluation import look

# A path, or decoded frames.
Video = str | os.PathLike | np.ndarray
Videos = Video | Sequence[Video] | Iterator[Video]

# Length of a window for recipes that name none.
_SECONDS = 10.0
# Frames per second where this is not known.
_RATE = 30.0
# Most windows of a video, and of one whose scores are wanted along it.
_SPREAD, _ALONG = 16, 1000


@dataclasses.dataclass(frozen=True)
class Film:
  """Holds a video's windows and their views.

  Attributes:
    total: number of frames in the video.
    rate: frames per second; 0 where this is not known.
    spans: (first, stop) frame of each window, in the order of time.
    views: functions that read uint8 [T, P, P, 3], as many for each window.
    seen: number of different frames in all views.
  """

  total: int
  rate: float
  spans: list[tuple[int, int]]
  views: list[Callable[[], np.ndarray]]
  seen: int

  def seconds(self, window: int) -> tuple[float, float]:
    """Returns when a window begins and ends, in seconds."""
    first, stop = self.spans[window]
    return first / (self.rate or _RATE), stop / (self.rate or _RATE)


def open_film(
    video: Video, config, clips: int = 0, along: bool = False
) -> Film:
  """Chooses the windows of a video; reads no frame yet.

  Args:
    video: a path, or frames uint8 [T, H, W, 3].
    config: the run's, with its recipe, eval.clips and eval.crops.
    clips: number of windows; 0 = as many as cover the video, at most 16.
    along: whether scores along the video are wanted: at most 1,000 windows.
  """
  if clips < 0:
    raise UserError(f'clips={clips}: use 1 or more, or 0 for all of a video.')
  spec = one_clip.spec_of(config.data)
  frames = isinstance(video, np.ndarray)
  if frames:
    total, rate = len(video), 0.0
  else:
    path = os.path.abspath(video)
    found = probe(path)
    source = one_clip.one_video(path, found)
    total, rate = source.span(0)[1], found.fps
  width = getattr(spec, 'window_frames', round(_SECONDS * (rate or _RATE)))
  most = _ALONG if along else _SPREAD
  number = clips or min(math.ceil(total / width), most)
  crops = config.eval.crops
  if total <= width or number == 1:
    # As in evaluation, whose views do not differ in their place alone.
    inner, spans = clips or config.eval.clips, [(0, total)]
  else:
    room = total - width
    starts = [int(i * room / (number - 1)) for i in range(number)]
    inner, spans = 1, [(first, first + width) for first in starts]
  if not frames:
    source = one_clip.one_video(path, found, spans)
  views, seen = [], set()
  for number, (first, stop) in enumerate(spans):
    for view in range(inner * crops):
      place = view, inner, crops
      if frames:
        chosen = one_clip.eval_view(spec, stop - first, 0.0, 0, *place)
        taken = first + chosen.frames
        own = functools.partial(lambda i, v: v.pixels(video[i]), taken, chosen)
      else:
        reading = one_clip.eval_clip(source, number, spec, *place)
        own = functools.partial(one_clip.read, reading, config.data.workers)
        taken = reading.frames
      views.append(own)
      seen.update(taken.tolist())
  return Film(total, rate, spans, views, len(seen))


def gathered(
    film: Film,
    views: Iterable[look.Seen | UserError],
    crops: int,
    every: bool = False,
) -> look.Seen | UserError:
  """Returns the mean over all views of a film, or why one cannot be read.

  `crops` is the number of views per window; `every` keeps all windows' maps.
  """
  shares, features, maps = [], [], []
  middle, error = None, None
  for number, seen in enumerate(views):
    if isinstance(seen, UserError):
      error = seen
      continue
    shares.append(seen.probabilities)
    features.append(seen.features)
    window, crop = divmod(number, crops)
    if crop != crops // 2:
      continue
    if window == len(film.views) // crops // 2:
      middle = seen
    if every:
      # As bytes, since a long video has many.
      maps.append({k: (255 * m).astype(np.uint8) for k, m in seen.maps.items()})
  if error:
    return error
  shares = np.stack(shares)
  return dataclasses.replace(
      middle,
      probabilities=shares.mean(axis=0),
      features=np.stack(features).mean(axis=0),
      windows=np.stack([x.mean(0) for x in np.split(shares, len(film.spans))]),
      window_maps=maps,
      film=film,
  )


def listed(videos: Videos) -> list[Video]:
  """Returns one or several videos as a list; UserError for anything else."""
  if isinstance(videos, (str, os.PathLike)) and videos:
    return [videos]
  if hasattr(videos, 'ndim'):
    frames = np.asarray(videos)
    if frames.dtype.kind in 'OU':
      # An array of paths, such as the column of a table.
      return listed(frames.tolist())
    frames = _checked(frames)
    return list(frames) if frames.ndim == 5 else [frames]
  several = isinstance(videos, (Sequence, Iterator))
  found = [one for video in videos for one in listed(video)] if several else []
  if not found:
    raise UserError(
        'wanted a path, uint8 frames [T, H, W, 3], or a list of such videos, '
        f'but got {videos!r:.60}.'
    )
  return found


def _checked(frames: np.ndarray) -> np.ndarray:
  fault = ''
  if frames.dtype != np.uint8:
    fault = (
        f'they are {frames.dtype}. Convert floats in 0..1 by '
        "(frames * 255).round().astype('uint8')."
    )
  elif frames.ndim not in (4, 5) or frames.shape[-1] != 3:
    fault = (
        f'their shape is {frames.shape}. np.moveaxis moves axes, np.stack '
        'makes a video of a list of frames.'
    )
  elif frames.shape[-4] < 2:
    fault = f'their shape is {frames.shape}: one frame is no video.'
  elif not frames.size:
    fault = f'their shape is {frames.shape}: there is no pixel.'
  if fault:
    raise UserError(
        'wanted uint8 frames [T, H, W, 3] or [B, T, H, W, 3] of 0..255 with T '
        f'of 2 or more, but {fault}'
    )
  return frames
