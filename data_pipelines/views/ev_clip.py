"""EV-CLIP's recipe: squeeze every frame to 256 x 340 and cut a square."""

import dataclasses
import functools

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
    resize_height, resize_width: pixels every frame is squeezed into.
    crop_pixels: P, side of the square cut out.
  """

  num_frames: int = 8
  window_frames: int = 32
  train_temporal: str = 'center'
  resize_height: int = 256
  resize_width: int = 340
  crop_pixels: int = 224

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """The shape of a clip, [T, P, P, 3]."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3

  @property
  def sizes(self) -> tuple[int, int, int]:
    """Height and width after the resizing, and P."""
    return self.resize_height, self.resize_width, self.crop_pixels


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
  offsets = crops.random_offsets(*spec.sizes, generator)
  return View(frames, functools.partial(cut, offsets=offsets, spec=spec))


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
  offsets = crops.view_offsets(*spec.sizes, place.crop, place.crops)
  return View(frames, functools.partial(cut, offsets=offsets, spec=spec))


def cut(
    frames: np.ndarray, offsets: tuple[int, int], spec: Spec
) -> np.ndarray:
  """Makes EV-CLIP's input pixels of the frames of a video.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    offsets: (top, left) of the crop in the resized frame.
    spec: sizes.

  Returns:
    uint8 [T, P, P, 3].

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: rounded to uint8, see `pixels.resize`.
  """
  height, width, crop = spec.sizes
  return np.ascontiguousarray(
      resize(frames, height, width, (*offsets, crop, crop))
  )
