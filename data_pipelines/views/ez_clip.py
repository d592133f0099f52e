"""EZ-CLIP's recipe: a frame of each segment, multi-scale crops, flips.

Source: EZ-CLIP, datasets/ (frames) and utils/Augmentation.py (pixels).
"""

import dataclasses
import functools

import numpy as np
from PIL import Image

from data_pipelines.views.pixels import mirror
from data_pipelines.views.view import Place, Recipe, View

# Sides of crop boxes relative to the frame's shorter side; positions as (right,
# down) in quarters of the free room.
_SCALES = (1, 0.875, 0.75, 0.66)
_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds EZ-CLIP's settings, explained in `data_pipelines/settings.py`.

  Scoring resizes the shorter side to 256 / 224 of `crop_pixels`.
  """

  num_frames: int = 8
  train_temporal: str = 'center'
  crop_pixels: int = 224
  flip: bool = True

  def train_view(self, total, fps, rng, query=False) -> View:
    """Takes a frame per segment; `augment` draws the crop box later."""
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
    """Makes a training clip, uint8 [T, P, P, 3]: crops, resizes, flips.

    Differs: RandAugment, blur and solarising, which no configuration uses, are
      left out. Flipping is a setting (the original flips SSv2 by mistake).
    """
    side = self.crop_pixels
    top, left, tall, wide = multi_scale_box(*frames.shape[1:3], side, rng)
    boxes = frames[:, top : top + tall, left : left + wide]
    out = np.empty((len(frames), side, side, 3), np.uint8)
    for t, box in enumerate(map(np.ascontiguousarray, boxes)):
      image = Image.fromarray(box)
      out[t] = image.resize((side, side), Image.Resampling.BILINEAR)
    return mirror(out) if self.flip and rng.random() < 0.5 else out

  def cut(self, frames: np.ndarray, place: Place) -> np.ndarray:
    """Makes a clip to score, uint8 [T, P, P, 3]: resizes, then crops.

    Differs: crops other than the centre are an addition.
    """
    height, width = frames.shape[1:3]
    side = self.crop_pixels
    short = side * 256 // 224
    if height < width:
      size = int(short * width / height), short
    else:
      size = short, int(short * height / width)
    left, top = (round((s - side) / 2) for s in size)
    if width > height:
      left = round((size[0] - side) * place.part)
    else:
      top = round((size[1] - side) * place.part)
    box = left, top, left + side, top + side
    bicubic = Image.Resampling.BICUBIC
    images = map(Image.fromarray, frames)
    return np.stack([x.resize(size, bicubic).crop(box) for x in images])


def even_frames(total: int, num_frames: int, middle: float = 0.5) -> np.ndarray:
  """Takes one frame from each of T equal segments, by default the middle one.

  `middle` is the relative position in a segment, 0..1, by which temporal views
  differ. If N <= T, frames repeat. (The original counts files from 1.)

  Differs: `middle` (0.5 in the original).
  """
  if num_frames == 1:
    return np.asarray([min(int(total * middle), total - 1)], np.int64)
  steps = np.arange(num_frames)
  if total <= num_frames:
    return steps * total // num_frames
  places = steps * total / num_frames + (total / num_frames - 1) * middle
  return places.astype(np.int64)


def shifted_frames(
    total: int, num_frames: int, rng: np.random.Generator
) -> np.ndarray:
  """Draws a frame from each of T segments (random_shift in the original).

  If N <= T: every frame once and T - N uniformly drawn repeats, sorted.
  """
  if total <= num_frames:
    repeats = rng.integers(total, size=num_frames - total)
    return np.sort(np.concatenate([np.arange(total), repeats]))
  ticks = np.arange(num_frames + 1) * total // num_frames
  return rng.integers(ticks[:-1], ticks[1:])


def multi_scale_box(
    height: int, width: int, crop: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
  """Draws a crop box at one of 13 places, (top, left, height, width).

  All ten `box_sizes` and all 13 places are equally likely, even if some of them
  coincide.
  """
  pairs = box_sizes(height, width, crop)
  tall, wide = pairs[rng.integers(len(pairs))]
  x, y = _PLACES[rng.integers(len(_PLACES))]
  return y * ((height - tall) // 4), x * ((width - wide) // 4), tall, wide


def box_sizes(height: int, width: int, crop: int) -> list[tuple[int, int]]:
  """Lists the ten possible (height, width) of crop boxes.

  Sides are 100, 87.5, 75 or 66 percent of the frame's shorter side; the two
  sides of a box are equal or neighbours in this row. A side within 2 pixels of
  `crop`, to which the box will be resized, becomes `crop`.

  Differs: a side never becomes longer than the frame (with a shorter side of
    P - 2 or P - 1 the original adds black pixels).
  """
  base = min(height, width)
  sizes = [max(int(base * s), 1) for s in _SCALES]
  sizes = [crop if abs(s - crop) < 3 and crop <= base else s for s in sizes]
  places = range(len(sizes))
  pairs = [(i, j) for i in places for j in places if abs(i - j) <= 1]
  return [(sizes[i], sizes[j]) for i, j in pairs]
