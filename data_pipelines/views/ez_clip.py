"""EZ-CLIP's recipe: boxes of several sizes, flips."""

import dataclasses
import functools

import numpy as np
from PIL import Image

from data_pipelines.views import crops
from data_pipelines.views.frames import even_frames, shifted_frames
from data_pipelines.views.pixels import mirror
from data_pipelines.views.view import Place, Recipe, View


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds sizes and switches, as `data_pipelines/settings.py` tells them.

  Scoring resizes the shorter side to 256 / 224 of `crop_pixels`.
  """

  num_frames: int = 8
  train_temporal: str = 'center'
  crop_pixels: int = 224
  flip: bool = True

  def train_view(self, total, fps, rng, query=False) -> View:
    """Takes a frame per segment; its pixels draw a box that fits the frames."""
    if self.train_temporal == 'random':
      frames = shifted_frames(total, self.num_frames, rng)
    else:
      frames = even_frames(total, self.num_frames)
    return View(frames, functools.partial(self.augment, rng=rng))

  def eval_view(self, total, fps, place: Place, rng) -> View:
    """Takes a frame per segment, and a crop of the longer side."""
    frames = even_frames(total, self.num_frames, place.middle)
    return View(frames, functools.partial(self.cut, place=place))

  def augment(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Makes a training clip, uint8 [T, P, P, 3]: box, resize, flip.

    Source: EZ-CLIP, utils/Augmentation.py.
    Differs: RandAugment, blur and solarising, which no configuration uses, are
      left out. Flipping is a setting (the original flips SSv2 by mistake).
    """
    side = self.crop_pixels
    box = crops.multi_scale_box(*frames.shape[1:3], side, rng)
    top, left, tall, wide = box
    out = np.empty((len(frames), side, side, 3), np.uint8)
    for t, frame in enumerate(frames[:, top : top + tall, left : left + wide]):
      image = Image.fromarray(np.ascontiguousarray(frame))
      out[t] = image.resize((side, side), Image.Resampling.BILINEAR)
    if self.flip and rng.random() < 0.5:
      out = mirror(out)
    return out

  def cut(self, frames: np.ndarray, place: Place) -> np.ndarray:
    """Makes a clip to score, uint8 [T, P, P, 3]: resizes the shorter side.

    Source: EZ-CLIP, utils/Augmentation.py.
    Differs: crops beside the centre.
    """
    height, width = frames.shape[1:3]
    side = self.crop_pixels
    short = side * 256 // 224
    if height < width:
      size = short, int(short * width / height)
    else:
      size = int(short * height / width), short
    room = [s - side for s in size]
    longer = int(width > height)
    offsets = [round(r / 2) for r in room]
    offsets[longer] = place.offset(room[longer])
    top, left = offsets
    box = left, top, left + side, top + side
    images = (Image.fromarray(np.ascontiguousarray(f)) for f in frames)
    resized = (x.resize(size[::-1], Image.Resampling.BICUBIC) for x in images)
    return np.stack([np.asarray(x.crop(box)) for x in resized])
