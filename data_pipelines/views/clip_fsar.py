"""CLIP-FSAR's recipe: squeeze frames to a square and cut a smaller one."""

import dataclasses
import functools

import numpy as np

from data_pipelines.views import crops
from data_pipelines.views.frames import interval_frames, segment_frames
from data_pipelines.views.pixels import resize
from data_pipelines.views.view import Place, View


@dataclasses.dataclass(frozen=True)
class Spec:
  """Holds sizes and switches; their names are those of config.data.

  Attributes:
    num_frames: T, frames per clip.
    crop_pixels: P; frames are squeezed to 256 / 224 of it.
    frame_rule: 'segment': a random frame of each of T segments, also in
      testing, where the draw depends on the seed and the clip alone;
      'segment_center': in testing their middle frames; 'interval': evenly
      spaced frames (Kinetics).
    query_augment: mirror half of the training queries (Kinetics).
  """

  num_frames: int = 8
  crop_pixels: int = 224
  frame_rule: str = 'segment'
  query_augment: bool = False

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """[T, P, P, 3] of a clip."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3

  @property
  def resized_pixels(self) -> int:
    """Side of the square that frames are squeezed into."""
    return self.crop_pixels * 256 // 224


def train_view(
    spec: Spec,
    total: int,
    fps: float,
    generator: np.random.Generator,
    query: bool = False,
) -> View:
  """Draws frames and one crop for all of them; mirrors half of the queries."""
  if spec.frame_rule == 'interval':
    place = generator.random()
    frames = interval_frames(total, spec.num_frames, fps, place)
  else:
    frames = segment_frames(total, spec.num_frames, generator)
  offsets = crops.jittered_offsets(
      spec.resized_pixels, spec.crop_pixels, generator
  )
  flip = query and spec.query_augment and generator.random() < 0.5
  return View(
      frames, functools.partial(cut, offsets=offsets, spec=spec, flip=flip)
  )


def eval_view(
    spec: Spec,
    total: int,
    fps: float,
    place: Place,
    generator: np.random.Generator,
) -> View:
  """Takes the frames and the crop at `place`; windows share the room."""
  if spec.frame_rule == 'interval':
    frames = interval_frames(total, spec.num_frames, fps, place.middle)
  else:
    draws = generator if spec.frame_rule == 'segment' else None
    frames = segment_frames(total, spec.num_frames, draws)
  room = spec.resized_pixels - spec.crop_pixels
  offsets = room // 2, place.offset(room)
  return View(frames, functools.partial(cut, offsets=offsets, spec=spec))


def cut(
    frames: np.ndarray,
    offsets: tuple[int, int],
    spec: Spec,
    flip: bool = False,
) -> np.ndarray:
  """Makes CLIP-FSAR's input pixels, uint8 [T, P, P, 3], of decoded frames.

  Args:
    frames: uint8 [T, H, W, 3].
    offsets: (top, left) of the crop in the resized frame.
    spec: sizes.
    flip: mirror the frames, before anything else.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
  Differs: rounds to uint8 at the end; the original keeps floats.
  """
  if flip:
    frames = frames[:, :, ::-1]
  size = spec.resized_pixels, spec.resized_pixels
  window = (*offsets, spec.crop_pixels, spec.crop_pixels)
  pixels = resize(frames, *size, window, 'bilinear')
  return np.ascontiguousarray(pixels, np.uint8)
