"""Draws a clip as one picture: frames, maps, scores."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps, font_manager
from PIL import Image, ImageDraw, ImageFont

from evclip_jax.models import pixels
from evclip_jax.reporting.charts import BLUE, GREEN, GREY, INK, RED
from evclip_jax.reporting.tables import short

_FRAME_PIXELS, _GAP_PIXELS, _LABEL = 120, 4, 28
_MOST_FRAMES = 8
# Mean pixel value below which a clip is too dark to be seen.
_DARK = 45
_QUIET = '#7b8794'


@dataclasses.dataclass(frozen=True)
class ClipPicture:
  """Holds what is shown of one clip.

  Attributes:
    title: such as the file's name.
    frames: uint8 [T, H, W, 3], as the networks get them.
    scores: (class, probability) of the best classes, best first.
    truth: the right class, or None where it is not known.
    maps: name -> [H, W] or [T, H, W] in [0, 1], perhaps coarser. One called
      'mask' is also shown as what CLIP sees behind it.
    fill: colour in [0, 1] of masked pixels.
  """

  title: str
  frames: np.ndarray
  scores: list[tuple[str, float]]
  truth: str | None = None
  maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  fill: tuple[float, float, float] = pixels.IMAGENET_MEAN


def masked(
    frames: np.ndarray,
    mask: np.ndarray,
    fill: tuple[float, float, float] = pixels.IMAGENET_MEAN,
) -> np.ndarray:
  """Returns frames uint8 [T, H, W, 3] as they look behind a mask.

  Where the mask, [H, W] or [T, H, W] in [0, 1], is 0, they have the colour
  `fill` in [0, 1].
  """
  colour = 255 * np.asarray(fill, np.float32)
  weight = _per_frame(mask, len(frames))[..., None]  # [T, H, W, 1]
  out = colour + weight * (frames.astype(np.float32) - colour)
  return np.clip(out.round(), 0, 255).astype(np.uint8)


def heat(frames: np.ndarray, heights: np.ndarray) -> np.ndarray:
  """Returns frames uint8 [T, H, W, 3] in grey under a coloured map.

  `heights` [H, W] or [T, H, W] in [0, 1] may be a coarser grid.
  """
  grey = frames.mean(axis=-1, keepdims=True)
  heights = _enlarged(_per_frame(heights, len(frames)), frames.shape[1:3])
  colours = colormaps['inferno'](heights)[..., :3]
  out = 0.35 * grey + 0.65 * 255 * colours
  return np.clip(out.round(), 0, 255).astype(np.uint8)


def brightened(frames: np.ndarray) -> np.ndarray:
  """Brightens dark frames: the brightest percent of values becomes white."""
  top = max(float(np.percentile(frames, 99)), 1.0)
  lifted = np.clip(frames / top, 0, 1) ** 0.6
  return (255 * lifted).round().astype(np.uint8)


def draw(clip: ClipPicture) -> Image.Image:
  """Draws a clip: rows of frames on the left, the best classes on the right."""
  strips, bars = rows(clip), answers(clip.scores, colours(clip), 345)
  step = _FRAME_PIXELS + _LABEL
  width = strips[0][1].shape[1]
  height = max(step * len(strips), bars.height)
  title, (said, colour) = short(clip.title, 60) + '  ', verdict(clip)
  answer = 12 + font(15).getlength(title)
  least = math.ceil(answer + font(15).getlength(said)) + 12
  size = max(width + bars.width + 49, least), height + 54
  image = Image.new('RGB', size, 'white')
  pen = ImageDraw.Draw(image)
  pen.text((12, 6), title, INK, font(15))
  pen.text((answer, 6), said, colour, font(15))
  for row, (label, strip) in enumerate(strips):
    top = 52 + step * row
    pen.text((12, top - 17), label, _QUIET, font(11))
    image.paste(Image.fromarray(strip), (12, top))
  image.paste(bars, (width + 37, 52))
  return image


def answers(
    scores: Sequence[tuple[str, float]],
    colours: Mapping[str, str],
    width: int,
    row: int = 40,
) -> Image.Image:
  """Draws classes with their probabilities and bars, in rows `row` px high."""
  image = Image.new('RGB', (width, row * max(len(scores), 1)), 'white')
  pen, size = ImageDraw.Draw(image), row * 2 // 5
  for place, (name, share) in enumerate(scores):
    top, end = row * place, row * (place + 1) - 4
    said = f'{100 * share:.0f} %' if share >= 0.01 else '< 1 %'
    shown = short(name, max((width - 4 * size) * 5 // (3 * size), 4))
    pen.text((0, top), shown, INK, font(size))
    pen.text((width, top), said, INK, font(size), 'ra')
    pen.rectangle((0, end - row // 5, width, end), '#f0f2f5')
    pen.rectangle((0, end - row // 5, width * share, end), colours[name])
  return image


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
  """Returns a font with letters of many languages."""
  return ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)


def rows(clip: ClipPicture) -> list[tuple[str, np.ndarray]]:
  """Returns (label, row of frames uint8 [120, W, 3]), from top to bottom."""
  frames, total = np.asarray(clip.frames), len(clip.frames)
  shown = min(total, _MOST_FRAMES)
  chosen = np.linspace(0, total - 1, shown).round().astype(int)
  of_them = f'{shown} of the' if shown < total else 'the'
  under = frames[chosen]
  out = [
      (f'{of_them} {total} frames' if total > 1 else 'the frame', strip(under))
  ]
  if frames.mean() < _DARK:
    under = brightened(frames)[chosen]
    out.append(('brightened for the reader only', strip(under)))
  for name, heights in clip.maps.items():
    heights = _per_frame(heights, total)[chosen]
    if name == 'mask':
      seen = masked(frames[chosen], heights, clip.fill)
      out.append(('what CLIP sees behind the mask', strip(seen)))
    out.append((f'{name}: dark = 0, bright = 1', strip(heat(under, heights))))
  return out


def strip(frames: np.ndarray) -> np.ndarray:
  """Returns frames [T, H, W, 3] small and in a row, with gaps of white."""
  height, width = frames.shape[1:3]
  size = (round(_FRAME_PIXELS * width / height), _FRAME_PIXELS)
  small = [
      np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS))
      for f in frames
  ]
  gaps = ((0, 0), (0, _GAP_PIXELS), (0, 0))
  row = np.concatenate([np.pad(f, gaps, constant_values=255) for f in small], 1)
  return row[:, :-_GAP_PIXELS]


def _per_frame(heights: np.ndarray, num_frames: int) -> np.ndarray:
  heights = np.asarray(heights, np.float32)
  return np.broadcast_to(heights, (num_frames, *heights.shape[-2:]))


def _enlarged(heights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Enlarges maps [T, h, w] to [T, *size] by bilinear interpolation."""
  bilinear = Image.Resampling.BILINEAR
  return np.stack([
      np.asarray(Image.fromarray(h).resize(size[::-1], bilinear))
      for h in np.ascontiguousarray(heights)
  ])


def verdict(clip: ClipPicture) -> tuple[str, str]:
  """Returns the answer, with whether it is right, and a colour for it."""
  if not clip.scores:
    return '', INK
  best = short(clip.scores[0][0])
  if clip.truth is None:
    return best, BLUE
  if clip.truth == clip.scores[0][0]:
    return f'{best}: right', GREEN
  return f'{best}: wrong, it is {short(clip.truth)}', RED


def colours(clip: ClipPicture) -> dict[str, str]:
  """Returns the colour of each class's bar: right, wrong, open or other."""
  found = {
      name: GREEN if name == clip.truth else GREY for name, _ in clip.scores
  }
  if clip.scores and clip.scores[0][0] != clip.truth:
    found[clip.scores[0][0]] = BLUE if clip.truth is None else RED
  return found
