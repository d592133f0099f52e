"""Defines recipes, which choose frames of a clip and turn them into pixels."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class View:
  """Says which frames of a clip to decode and how to make pixels of them.

  `pixels` takes the decoded frames, uint8 [T, H, W, 3]. It is called only once,
  since it may draw from a random generator.
  """

  # int64 [T], frame numbers within the clip, from 0, never decreasing.
  frames: np.ndarray
  pixels: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Place:
  """Identifies one of the fixed views in which a clip is scored.

  It is window `clip` of `clips` in time, and crop `crop` of `crops`: with 1,
  the centre; with 3, left (or top), centre, right (or bottom).
  """

  clip: int = 0
  clips: int = 1
  crop: int = 0
  crops: int = 1

  @property
  def middle(self) -> float:
    """Returns the window's relative position in time, 0..1; 0.5 if alone."""
    return (self.clip + 0.5) / self.clips

  @property
  def part(self) -> float:
    """Returns the crop's relative position in the free room, 0..1."""
    return 0.5 if self.crops == 1 else self.crop / 2


def squares(frames, side: int):
  """Takes apart frames that hold CLIP's square above the video trunk's.

  [..., H, W, 3] (see `Recipe.shape`) -> [..., P, P, 3], CLIP's, with P = side,
  and [..., S, S, 3], the trunk's. Square frames are returned twice.
  """
  rows, columns = frames.shape[-3:-1]
  if rows <= columns:
    return frames, frames
  return frames[..., :side, :side, :], frames[..., side:, : rows - side, :]


class Recipe:
  """Chooses frames of clips and makes pixels of them, as an original does.

  Each recipe is the `Spec` of a module beside this one, a dataclass whose
  fields are keys of config.data. Random choices are the same for all frames of
  a clip. Colours are changed and normalised later, on the device, by the
  method. A recipe chooses T = `num_frames` of a clip's `total` frames with

    train_view(total, fps, rng, query=False) -> View, drawn for a clip, which is
      a query of an episode or not, with the generator of its epoch or episode;
    eval_view(total, fps, place, rng) -> View, at a fixed `Place`.
  """

  num_frames: int
  crop_pixels: int
  trunk_pixels = 0

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """Returns the shape of a clip, [T, P, P, 3].

    With `trunk_pixels`, S, it is [T, P + S, max(P, S), 3]: below CLIP's square
    is the same part of the frame in S x S pixels, and zeros pad the smaller
    square to the width. `squares` takes them apart.
    """
    above, below = self.crop_pixels, self.trunk_pixels
    return self.num_frames, above + below, max(above, below), 3
