"""Colours of float frames: brightness, contrast, saturation, hue, grey.

Frames are [..., H, W, 3], red, green, blue in 0..1, and stay in 0..1.
"""

import dataclasses

import numpy as np

_LUMA = np.asarray([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class Jitter:
  """One draw of CLIP-FSAR's colour jitter, the same for a whole clip.

  Attributes:
    brightness, contrast, saturation: factors; 1 changes nothing.
    hue: shift in turns of the colour circle.
    order: in which the four are applied, by their number.
    grey: whether the clip is made grey first.
  """

  brightness: float
  contrast: float
  saturation: float
  hue: float
  order: tuple[int, ...] = (0, 1, 2, 3)
  grey: bool = False

  @classmethod
  def draw(cls, generator: np.random.Generator) -> 'Jitter':
    """Factors 0.5..1.5, hue -0.25..0.25, any order, grey in 3 of 10."""
    factors = generator.uniform(0.5, 1.5, 3)
    hue = generator.uniform(-0.25, 0.25)
    order = tuple(generator.permutation(4).tolist())
    return cls(*factors.tolist(), hue, order, generator.random() < 0.3)

  def apply(self, frames: np.ndarray) -> np.ndarray:
    """The changed frames.

    Source: CLIP-FSAR, datasets/utils/transformations.py, ColorJitter.
    Differs: none.
    """
    steps = (
        lambda x: brightness(x, self.brightness),
        lambda x: contrast(x, self.contrast),
        lambda x: saturation(x, self.saturation),
        lambda x: hue(x, self.hue),
    )
    if self.grey:
      frames = grey(frames)
    for number in self.order:
      frames = steps[number](frames)
    return frames


def blend(one: np.ndarray, other, share: float) -> np.ndarray:
  """share * one + (1 - share) * other, limited to 0..1."""
  return np.clip(share * one + (1 - share) * other, 0, 1, dtype=one.dtype)


def grey(frames: np.ndarray) -> np.ndarray:
  """Three equal channels of luma."""
  luma = frames @ _LUMA.astype(frames.dtype)
  return np.repeat(luma[..., None], 3, axis=-1)


def brightness(frames: np.ndarray, factor: float) -> np.ndarray:
  """Blends with black."""
  return blend(frames, 0, factor)


def contrast(frames: np.ndarray, factor: float) -> np.ndarray:
  """Blends each frame with its mean luma."""
  return blend(frames, grey(frames).mean((-3, -2, -1), keepdims=True), factor)


def saturation(frames: np.ndarray, factor: float) -> np.ndarray:
  """Blends with the grey frames."""
  return blend(frames, grey(frames), factor)


def hue(frames: np.ndarray, shift: float) -> np.ndarray:
  """Turns the colour circle by `shift` turns, in HSV."""
  most, least = frames.max(-1), frames.min(-1)
  span = most - least
  # Where a colour is greatest, the sector of the circle around it.
  safe = np.where(span > 0, span, 1)
  red, green, blue = ((most - frames[..., c]) / safe for c in range(3))
  angle = np.where(
      frames[..., 0] == most,
      blue - green,
      np.where(frames[..., 1] == most, 2 + red - blue, 4 + green - red),
  )
  angle = (angle / 6 + shift) % 1 * 6
  out = np.empty_like(frames)
  for channel, corner in enumerate((5, 3, 1)):
    k = (angle + corner) % 6
    out[..., channel] = most - span * np.clip(np.minimum(k, 4 - k), 0, 1)
  return out
