"""EV-CLIP's recipe: resize every frame to 256 x 340 and cut a square."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from data_pipelines.views import crops
from data_pipelines.views.frames import window_frames
from data_pipelines.views.pixels import resample, resize
from data_pipelines.views.view import Place, Recipe, View


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds sizes and switches, as `data_pipelines/settings.py` tells them."""

  num_frames: int = 8
  window_frames: int = 32
  train_temporal: str = 'center'
  resize_height: int = 256
  resize_width: int = 340
  crop_pixels: int = 224
  trunk_pixels: int = 0
  resize: str = 'squeeze'

  def resized(self, height: int, width: int) -> tuple[int, int]:
    """Returns the height and width that a frame of a size is resized to."""
    short = self.resize_height
    if self.resize == 'squeeze':
      return short, self.resize_width
    if height < width:
      return short, short * width // height
    return short * height // width, short

  def train_view(self, total, fps, rng, query=False) -> View:
    """Draws a window of frames (or takes the middle) and one crop for them."""
    window = self.window_frames, self.train_temporal
    frames = window_frames(total, self.num_frames, *window, generator=rng)
    place = functools.partial(crops.random_offsets, generator=rng)
    return View(frames, functools.partial(self.cut, place=place))

  def eval_view(self, total, fps, place: Place, rng) -> View:
    """Takes window and crop at `place`; the outer ones reach the ends."""
    sizes = total, self.num_frames, self.window_frames
    frames = window_frames(*sizes, clip=place.clip, num_clips=place.clips)
    crop = functools.partial(
        crops.view_offsets, view=place.crop, num_views=place.crops
    )
    return View(frames, functools.partial(self.cut, place=crop))

  def cut(
      self,
      frames: np.ndarray,
      place: Callable[[int, int, int], tuple[int, int]],
  ) -> np.ndarray:
    """Makes EV-CLIP's input pixels, uint8 `shape`, of decoded frames.

    `place` is (height, width, P) of the resized frame -> (top, left) of the
    crop.

    Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
    Differs: rounded to uint8, see `pixels.resize`; 'short_side'; a second
      square.
    """
    size = self.resized(*frames.shape[1:3])
    crop, side = self.crop_pixels, self.trunk_pixels
    window = *place(*size, crop), crop, crop
    upper = resize(frames, *size, window)
    if not side:
      return np.ascontiguousarray(upper)
    out = np.zeros((len(frames), *self.shape[1:]), np.uint8)
    out[:, :crop, :crop] = upper
    out[:, crop:, :side] = resample(frames, size, window, side)
    return out
