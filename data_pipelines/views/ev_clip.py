"""EV-CLIP's recipe: a window of frames, resized to 256 x 340, a square crop.

Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
"""

import dataclasses
import functools

import numpy as np

from data_pipelines.views.pixels import resample, resize
from data_pipelines.views.view import Place, Recipe, View


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds EV-CLIP's settings, explained in `data_pipelines/settings.py`."""

  num_frames: int = 8
  window_frames: int = 32
  train_temporal: str = 'center'
  resize_height: int = 256
  resize_width: int = 340
  crop_pixels: int = 224
  trunk_pixels: int = 0
  resize: str = 'squeeze'

  def train_view(self, total, fps, rng, query=False) -> View:
    """Draws a window of frames (or takes the middle one) and a crop."""
    place = rng if self.train_temporal == 'random' else Place()
    frames = window_frames(total, self.num_frames, self.window_frames, place)
    return View(frames, functools.partial(self._pixels, place=rng))

  def eval_view(self, total, fps, place: Place, rng) -> View:
    """Takes window and crop at `place`; the outermost touch the ends."""
    frames = window_frames(total, self.num_frames, self.window_frames, place)
    return View(frames, functools.partial(self._pixels, place=place))

  def _pixels(self, frames, place) -> np.ndarray:
    size = self._resized(*frames.shape[1:3])
    return self.cut(frames, crop_offsets(*size, self.crop_pixels, place))

  def _resized(self, height: int, width: int) -> tuple[int, int]:
    short = self.resize_height
    if self.resize == 'squeeze':
      return short, self.resize_width
    if height < width:
      return short, short * width // height
    return short * height // width, short

  def cut(self, frames: np.ndarray, offsets: tuple[int, int]) -> np.ndarray:
    """Makes EV-CLIP's input pixels, uint8 `shape`, from decoded frames.

    `offsets` are (top, left) of the crop in the resized frame.

    Differs: pixels are rounded to uint8 (see `pixels.resize`); resize=
      'short_side' and the trunk's second square are additions.
    """
    size = self._resized(*frames.shape[1:3])
    crop, side = self.crop_pixels, self.trunk_pixels
    window = *offsets, crop, crop
    upper = resize(frames, *size, window)
    if not side:
      return np.ascontiguousarray(upper)
    out = np.zeros((len(frames), *self.shape[1:]), np.uint8)
    out[:, :crop, :crop] = upper
    out[:, crop:, :side] = resample(frames, size, window, side)
    return out


def window_frames(
    total: int, num_frames: int, window: int, place: Place | np.random.Generator
) -> np.ndarray:
  """Takes every d-th frame of a window of consecutive frames.

  With w = min(window, total), the window begins at (total - w) // 2 (one clip),
  at int(clip * (total - w) / (clips - 1)) (several clips: the first at the
  beginning, the last at the end), or at a random frame of 0..total - w,
  inclusive. The step is d = max(w // T, 1), whatever the frame rate.

  Differs: if the window holds fewer than T frames, the last one is repeated;
    the original returns a shorter clip and then fails. Whether training draws
    its window is a separate setting (the original draws only if it tests with
    several clips).
  """
  width = min(window, total)
  room = total - width
  if width == 1:
    return np.full(num_frames, total // 2, np.int64)
  if not isinstance(place, Place):
    start = int(place.integers(room, endpoint=True))
  elif place.clips == 1:
    start = room // 2
  else:
    start = int(place.clip * (room / (place.clips - 1)))
  step = max(width // num_frames, 1)
  frames = start + step * np.arange(num_frames, dtype=np.int64)
  return np.minimum(frames, start + width - 1)


def crop_offsets(
    height: int, width: int, crop: int, place: Place | np.random.Generator
) -> tuple[int, int]:
  """Returns the top left corner of a square crop, (top, left).

  With a generator, all positions are equally likely: for 256 x 340 and 224
  pixels, 0..32 down and 0..116 to the right. With a `Place`, a single crop is
  the centre, (16, 58); three lie at 0, 58 and 116 pixels from the left, in
  portrait frames from the top.

  Differs: portrait frames, which the original does not have.
  """
  room = height - crop, width - crop
  if min(room) < 0:
    raise ValueError(
        f'a crop of {crop} pixels does not fit into {height}x{width} pixels '
        '(data.crop_pixels, data.resize_height, data.resize_width).'
    )
  if not isinstance(place, Place):
    return tuple(int(place.integers(r, endpoint=True)) for r in room)
  if height > width:
    return int(room[0] * place.part), room[1] // 2
  return room[0] // 2, int(room[1] * place.part)
