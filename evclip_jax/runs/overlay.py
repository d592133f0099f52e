"""Writes a video with its answers below it and the method's map beside it."""

import fractions
import pathlib
from collections.abc import Sequence

import av
import numpy as np
from PIL import Image

from data_pipelines.loaders import one_clip
from data_pipelines.video import probe, read_frames
from data_pipelines.views.view import squares
from evclip_jax.evaluation.look import Seen
from evclip_jax.reporting import charts, pictures
from evclip_jax.reporting.tables import short

# Heights in pixels: of the pictures, those in a GIF, the words below them.
_HEIGHT, _GIF_HEIGHT, _WORDS = 360, 200, 120
# Frames read at once, so that memory does not grow with the video.
_CHUNK = 32
_BEST = 3
# Frames per second; with more a GIF would be larger than the video.
_GIF_RATE = 10


def write(
    path: pathlib.Path,
    video: str,
    seen: Seen,
    names: Sequence[str],
    spec: one_clip.Recipe,
    fill: tuple[float, float, float],
    least: float = 0.0,
):
  """Writes a video, .mp4 or .gif, that shows what was seen when.

  The video is on the left; if the method has maps, what it sees in the nearest
  window is on the right: the frames behind the mask, or its attention. `fill`
  is as in `ClipPicture`, `least` as for `prediction.predict`.
  """
  film, gif = seen.film, path.suffix == '.gif'
  rate = film.rate or 25.0
  high = _GIF_HEIGHT if gif else _HEIGHT
  step = max(round(rate / _GIF_RATE), 1) if gif else 1
  exact = fractions.Fraction(rate / step).limit_denominator(1000)
  middles, found = np.mean(film.spans, axis=1), probe(video)
  shown = np.arange(0, film.total, step)
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('gif' if gif else 'libx264', rate=exact)
    stream.pix_fmt = 'rgb8' if gif else 'yuv420p'
    for start in range(0, len(shown), _CHUNK):
      chunk = shown[start : start + _CHUNK]
      frames = crops = read_frames(video, chunk, found)
      if seen.window_maps:
        crops = one_clip.eval_view(spec, len(frames)).pixels(frames)
        crops = squares(crops, spec.crop_pixels)[0]
      for place, frame, crop in zip(chunk, frames, crops, strict=True):
        window = int(np.abs(middles - place).argmin())
        parts = [_sized(frame, high)]
        if seen.window_maps:
          maps = seen.window_maps[window]
          parts.append(_sized(_behind(crop, maps, fill), high))
        picture = np.concatenate(parts, axis=1)
        words = _words(seen.windows[window], names, picture.shape[1], least)
        picture = np.concatenate([picture, words])
        if not place:
          stream.height, stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _behind(crop, maps, fill) -> np.ndarray:
  """Shows a frame behind the mask, or under the mean of another map."""
  name = 'mask' if 'mask' in maps else next(iter(maps))
  heights = maps[name].astype(np.float32) / 255
  if name == 'mask':
    return pictures.masked(crop[None], heights, fill)[0]
  heights = heights if heights.ndim == 2 else heights.mean(axis=0)
  return pictures.heat(crop[None], heights)[0]


def _sized(frame: np.ndarray, high: int) -> np.ndarray:
  height, width = frame.shape[:2]
  size = 2 * round(high * width / height / 2), high
  return np.asarray(Image.fromarray(frame).resize(size))


def _words(shares, names, width: int, least: float) -> np.ndarray:
  """Draws the best classes with their probabilities, uint8 [120, width, 3]."""
  order = np.argsort(-shares, kind='stable')[:_BEST]
  scores = [(names[k], float(shares[k])) for k in order]
  best, share = scores[0]
  if share < least:
    scores[0] = f'none of these ({short(best, 16)})', share
  colours = dict.fromkeys((name for name, _ in scores), charts.GREY)
  # Grey if it is none of these.
  colours |= {best: charts.BLUE} if share >= least else {}
  words = pictures.answers(scores, colours, width - 16, _WORDS // _BEST)
  whole = np.full((_WORDS, width, 3), 255, np.uint8)
  whole[: words.height, 8:-8] = words
  return whole
