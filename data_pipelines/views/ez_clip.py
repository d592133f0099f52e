"""EZ-CLIP's recipe: boxes of several sizes, flips."""

import dataclasses
import functools

import numpy as np
from PIL import Image

from data_pipelines.views import crops
from data_pipelines.views.frames import even_frames, shifted_frames
from data_pipelines.views.view import Place, View


@dataclasses.dataclass(frozen=True)
class Spec:
  """Holds sizes and switches; their names are those of config.data.

  Attributes:
    num_frames: T, frames per clip.
    train_temporal: 'center': the middle frame of each of T segments;
      'random': in training a random one.
    crop_pixels: P; scoring resizes the shorter side to 256 / 224 of it.
    flip: mirror half of the training clips. Not for classes that differ in
      left and right (Something-Something).
  """

  num_frames: int = 8
  train_temporal: str = 'center'
  crop_pixels: int = 224
  flip: bool = True

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """[T, P, P, 3] of a clip."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3


def train_view(
    spec: Spec,
    total: int,
    fps: float,
    generator: np.random.Generator,
    query: bool = False,
) -> View:
  """Takes a frame per segment; its pixels draw a box that fits the frames."""
  del fps, query
  if spec.train_temporal == 'random':
    frames = shifted_frames(total, spec.num_frames, generator)
  else:
    frames = even_frames(total, spec.num_frames)
  return View(
      frames, functools.partial(augment, spec=spec, generator=generator)
  )


def eval_view(
    spec: Spec,
    total: int,
    fps: float,
    place: Place,
    generator: np.random.Generator,
) -> View:
  """Takes a frame per segment, and the crop at `place` of the longer side."""
  del fps, generator
  frames = even_frames(total, spec.num_frames, place.middle)
  return View(frames, functools.partial(cut, spec=spec, place=place))


def augment(
    frames: np.ndarray, spec: Spec, generator: np.random.Generator
) -> np.ndarray:
  """Makes a training clip: box, resize, flip.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    spec: sizes and switches.
    generator: draws the box (`crops.multi_scale_box`), then the flip.

  Returns:
    uint8 [T, P, P, 3].

  Source: EZ-CLIP, utils/Augmentation.py.
  Differs: RandAugment, blur and solarising, which no configuration uses, are
    left out. Flipping is a setting (the original flips SSv2 by mistake).
  """
  top, left, tall, wide = crops.multi_scale_box(
      *frames.shape[1:3], spec.crop_pixels, generator
  )
  out = np.empty((len(frames), *spec.shape[1:]), np.uint8)
  for t, frame in enumerate(frames):
    box = np.ascontiguousarray(frame[top : top + tall, left : left + wide])
    out[t] = Image.fromarray(box).resize(
        (spec.crop_pixels, spec.crop_pixels), Image.Resampling.BILINEAR
    )
  if spec.flip and generator.random() < 0.5:
    out = np.ascontiguousarray(out[:, :, ::-1])
  return out


def cut(frames: np.ndarray, spec: Spec, place: Place) -> np.ndarray:
  """Makes a clip to score, uint8 [T, P, P, 3]: resizes the shorter side, crops.

  Source: EZ-CLIP, utils/Augmentation.py.
  Differs: crops beside the centre.
  """
  height, width = frames.shape[1:3]
  short = spec.crop_pixels * 256 // 224
  if height < width:
    size = short, int(short * width / height)
  else:
    size = int(short * height / width), short
  room = tuple(s - spec.crop_pixels for s in size)
  longer = int(width > height)
  offsets = [round(r / 2) for r in room]
  offsets[longer] = place.offset(room[longer])
  top, left = offsets
  box = left, top, left + spec.crop_pixels, top + spec.crop_pixels
  images = (Image.fromarray(np.ascontiguousarray(f)) for f in frames)
  resized = (x.resize(size[::-1], Image.Resampling.BICUBIC) for x in images)
  return np.stack([np.asarray(x.crop(box)) for x in resized])
