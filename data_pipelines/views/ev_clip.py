"""EV-CLIP's recipe: resize every frame to 256 x 340 and cut a square."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from data_pipelines.views import crops
from data_pipelines.views.frames import window_frames
from data_pipelines.views.pixels import resize
from data_pipelines.views.view import Place, View


@dataclasses.dataclass(frozen=True)
class Spec:
  """Holds the sizes; their names are those of config.data.

  Attributes:
    num_frames: T, frames per clip.
    window_frames: frames of the video they are spread over.
    train_temporal: where the window lies in training: 'center' or 'random'.
    resize: 'squeeze': every frame becomes resize_height x resize_width pixels,
      whatever its aspect; 'short_side': its shorter side becomes resize_height.
    resize_height, resize_width: pixels.
    crop_pixels: P, side of the square cut out.
  """

  num_frames: int = 8
  window_frames: int = 32
  train_temporal: str = 'center'
  resize_height: int = 256
  resize_width: int = 340
  crop_pixels: int = 224
  resize: str = 'squeeze'

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """The shape of a clip, [T, P, P, 3]."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3

  def resized(self, height: int, width: int) -> tuple[int, int]:
    """Returns the height and width that a frame of a size is resized to."""
    short = self.resize_height
    if self.resize == 'squeeze':
      return short, self.resize_width
    if height < width:
      return short, short * width // height
    return short * height // width, short


def train_view(
    spec: Spec,
    total: int,
    fps: float,
    generator: np.random.Generator,
    query: bool = False,
) -> View:
  """Draws a window of frames (or takes the middle) and one crop for them."""
  del fps, query
  frames = window_frames(
      total,
      spec.num_frames,
      spec.window_frames,
      spec.train_temporal,
      generator=generator,
  )
  place = functools.partial(crops.random_offsets, generator=generator)
  return View(frames, functools.partial(cut, place=place, spec=spec))


def eval_view(
    spec: Spec,
    total: int,
    fps: float,
    place: Place,
    generator: np.random.Generator,
) -> View:
  """Takes the window and the crop at `place`; the outer ones reach the ends."""
  del fps, generator
  frames = window_frames(
      total,
      spec.num_frames,
      spec.window_frames,
      clip=place.clip,
      num_clips=place.clips,
  )
  crop = functools.partial(
      crops.view_offsets, view=place.crop, num_views=place.crops
  )
  return View(frames, functools.partial(cut, place=crop, spec=spec))


def cut(
    frames: np.ndarray,
    place: Callable[[int, int, int], tuple[int, int]],
    spec: Spec,
) -> np.ndarray:
  """Makes EV-CLIP's input pixels of the frames of a video.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    place: (height, width, P) of the resized frame -> (top, left) of the crop.
    spec: sizes.

  Returns:
    uint8 [T, P, P, 3].

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: rounded to uint8, see `pixels.resize`; 'short_side'.
  """
  height, width = spec.resized(*frames.shape[1:3])
  crop = spec.crop_pixels
  window = *place(height, width, crop), crop, crop
  return np.ascontiguousarray(resize(frames, height, width, window))
