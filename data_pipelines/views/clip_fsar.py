"""CLIP-FSAR's recipe: squeeze frames to a square and cut a smaller one."""

import dataclasses
import functools

import numpy as np

from data_pipelines.views import crops
from data_pipelines.views.frames import interval_frames, segment_frames
from data_pipelines.views.pixels import mirror, resize
from data_pipelines.views.view import Place, Recipe, View


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds sizes and switches, as `data_pipelines/settings.py` tells them."""

  num_frames: int = 8
  crop_pixels: int = 224
  frame_rule: str = 'segment'
  query_augment: bool = False

  @property
  def resized_pixels(self) -> int:
    """Side of the square that frames are squeezed into."""
    return self.crop_pixels * 256 // 224

  def train_view(self, total, fps, rng, query=False) -> View:
    """Draws frames and one crop for them; mirrors half of the queries."""
    if self.frame_rule == 'interval':
      frames = interval_frames(total, self.num_frames, fps, rng.random())
    else:
      frames = segment_frames(total, self.num_frames, rng)
    sizes = self.resized_pixels, self.crop_pixels
    offsets = crops.jittered_offsets(*sizes, rng)
    flip = query and self.query_augment and rng.random() < 0.5
    return View(frames, functools.partial(self.cut, offsets=offsets, flip=flip))

  def eval_view(self, total, fps, place: Place, rng) -> View:
    """Takes the frames and the crop at `place`; windows share the room."""
    if self.frame_rule == 'interval':
      frames = interval_frames(total, self.num_frames, fps, place.middle)
    else:
      draws = rng if self.frame_rule == 'segment' else None
      frames = segment_frames(total, self.num_frames, draws)
    room = self.resized_pixels - self.crop_pixels
    offsets = room // 2, place.offset(room)
    return View(frames, functools.partial(self.cut, offsets=offsets))

  def cut(
      self, frames: np.ndarray, offsets: tuple[int, int], flip: bool = False
  ) -> np.ndarray:
    """Makes CLIP-FSAR's input pixels, uint8 [T, P, P, 3], of decoded frames.

    `offsets` are (top, left) of the crop in the resized frame.

    Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
    Differs: rounds to uint8 at the end; the original keeps floats.
    """
    if flip:
      frames = mirror(frames)
    size = self.resized_pixels, self.resized_pixels
    window = *offsets, self.crop_pixels, self.crop_pixels
    return np.ascontiguousarray(resize(frames, *size, window, 'bilinear'))
