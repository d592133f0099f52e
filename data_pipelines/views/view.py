"""What a recipe is: which frames of a clip, and what becomes of them."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class View:
  """One look at a clip: its frames and the way to its pixels.

  `pixels`, of decoded frames uint8 [T, H, W, 3], is called once: it may draw
  from the generator of its view.
  """

  # int64 [T], numbers within the clip, from 0, never falling.
  frames: np.ndarray
  pixels: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Place:
  """Names one of the fixed views that a clip is scored in.

  It is window `clip` of `clips` in time, and crop `crop` of `crops`: 1 =
  centre; 3 = left (or upper), centre, right (or lower).
  """

  clip: int = 0
  clips: int = 1
  crop: int = 0
  crops: int = 1

  @property
  def middle(self) -> float:
    """Returns where the window lies in time, 0..1; a single one at 0.5."""
    return (self.clip + 0.5) / self.clips

  @property
  def part(self) -> float:
    """Returns where the crop lies in the spare pixels, 0..1."""
    return 0.5 if self.crops == 1 else self.crop / 2


def squares(frames, side: int):
  """Returns the two squares of frames that hold one under the other.

  [..., H, W, 3] (see `Recipe.shape`) -> [..., P, P, 3], CLIP's, with P = side,
  and [..., S, S, 3], the video trunk's; twice the frames if they are square.
  """
  rows, columns = frames.shape[-3:-1]
  if rows <= columns:
    return frames, frames
  return frames[..., :side, :side, :], frames[..., side:, : rows - side, :]


class Recipe:
  """Sizes and switches, a dataclass named as the keys of config.data.

  Each recipe is the `Spec` of a module beside this one. Random choices hold for
  all frames of the clip. Colours are changed and normalised on the device, by
  the method. It chooses T = `num_frames` of a clip's `total` frames with

    train_view(total, fps, rng, query=False) -> View, drawn for a clip, a query
      of an episode or not; `rng` is that of this clip in this epoch or episode;
    eval_view(total, fps, place, rng) -> View, at a fixed `Place`.
  """

  num_frames: int
  crop_pixels: int
  trunk_pixels = 0

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """Returns the shape of a clip, [T, P, P, 3].

    With `trunk_pixels`, S, it is [T, P + S, max(P, S), 3]: under CLIP's square
    lies the same part of the frame in S x S pixels, and zeros fill what is
    left beside the smaller one. `squares` takes them apart.
    """
    above, below = self.crop_pixels, self.trunk_pixels
    return self.num_frames, above + below, max(above, below), 3
