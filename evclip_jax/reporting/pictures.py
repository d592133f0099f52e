"""One readable picture of one clip: frames, maps, scores."""

import dataclasses

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from evclip_jax.models import pixels
from evclip_jax.reporting.charts import literal
from evclip_jax.reporting.tables import short

_FRAME_PIXELS = 120
_GAP_PIXELS = 4
_MOST_FRAMES = 8
# Mean pixel below which a clip is too dark for a reader.
_DARK = 45
_DPI = 100
_INK, _QUIET = '#1f2933', '#7b8794'
_RIGHT, _WRONG, _OPEN, _OTHER = '#23784a', '#b3362b', '#2f6db5', '#c3cad3'


@dataclasses.dataclass(frozen=True)
class ClipPicture:
  """Holds what is shown of one clip.

  Attributes:
    title: such as the file's name.
    frames: uint8 [T, H, W, 3], as the networks get them.
    scores: (class, probability) of the best classes, best first.
    truth: the right class, or None where it is not known.
    maps: name -> [H, W] or [T, H, W] in [0, 1], a method's maps of this clip,
      or coarser ones, which are enlarged. A map called 'mask' is also shown
      as what CLIP sees behind it.
    fill: colour in [0, 1] that masked pixels turn into: the mean that the
      method subtracts.
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
  """Returns frames as they look behind a mask on normalised pixels.

  Args:
    frames: uint8 [T, H, W, 3].
    mask: [H, W] or [T, H, W] in [0, 1].
    fill: colour in [0, 1] where the mask is 0.

  Returns:
    uint8 [T, H, W, 3].
  """
  colour = 255 * np.asarray(fill, np.float32)
  weight = _per_frame(mask, len(frames))[..., None]  # [T, H, W, 1]
  out = colour + weight * (frames.astype(np.float32) - colour)
  return np.clip(out.round(), 0, 255).astype(np.uint8)


def heat(frames: np.ndarray, heights: np.ndarray) -> np.ndarray:
  """Returns a map in colours over grey frames, on the fixed scale 0 .. 1.

  Args:
    frames: uint8 [T, H, W, 3].
    heights: [H, W] or [T, H, W] in [0, 1], or a coarser grid over the frames.

  Returns:
    uint8 [T, H, W, 3].
  """
  grey = frames.mean(axis=-1, keepdims=True)
  heights = _enlarged(_per_frame(heights, len(frames)), frames.shape[1:3])
  colours = colormaps['inferno'](heights)[..., :3]
  out = 0.35 * grey + 0.65 * 255 * colours
  return np.clip(out.round(), 0, 255).astype(np.uint8)


def brightened(frames: np.ndarray) -> np.ndarray:
  """Returns dark frames, their brightest percent white and darks lifted."""
  top = max(float(np.percentile(frames, 99)), 1.0)
  lifted = np.clip(frames / top, 0, 1) ** 0.6
  return (255 * lifted).round().astype(np.uint8)


@literal
def draw(clip: ClipPicture) -> Image.Image:
  """Draws a clip: rows of frames on the left, the best classes on the right."""
  rows = _rows(clip)
  width = max(strip.shape[1] for _, strip in rows) / _DPI
  heights = [strip.shape[0] / _DPI for _, strip in rows]
  margin, head, foot, gap, bars, bar = 0.12, 0.52, 0.14, 0.28, 3.7, 0.4
  # Bars of one thickness, however many rows of frames stand beside them.
  tall = bar * max(len(clip.scores), 1)
  body = max(sum(heights) + gap * (len(rows) - 1), tall)
  total_w = margin + width + bars + margin
  total_h = head + body + foot

  figure = Figure((total_w, total_h), dpi=_DPI, facecolor='white')
  FigureCanvasAgg(figure)
  top = total_h - head
  for (label, strip), height in zip(rows, heights, strict=True):
    axes = figure.add_axes((
        margin / total_w,
        (top - height) / total_h,
        strip.shape[1] / _DPI / total_w,
        height / total_h,
    ))
    axes.imshow(strip, interpolation='nearest', aspect='auto')
    axes.set_axis_off()
    figure.text(
        margin / total_w,
        (top + 0.04) / total_h,
        label,
        fontsize=8,
        color=_QUIET,
    )
    top -= height + gap
  _draw_title(figure, clip, margin / total_w, (total_h - 0.24) / total_h)
  axes = figure.add_axes((
      (margin + width + 0.25) / total_w,
      (foot + body - tall) / total_h,
      (bars - 0.25) / total_w,
      tall / total_h,
  ))
  _draw_bars(axes, clip)
  figure.canvas.draw()
  return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def _rows(clip: ClipPicture) -> list[tuple[str, np.ndarray]]:
  frames = np.asarray(clip.frames)
  total = len(frames)
  shown = min(total, _MOST_FRAMES)
  chosen = np.linspace(0, total - 1, shown).round().astype(int)
  label = f'the {total} frames' if shown == total else (
      f'{shown} of the {total} frames'
  )
  rows = [(label, _strip(frames[chosen]))]
  under = frames[chosen]
  if frames.mean() < _DARK:
    under = brightened(frames)[chosen]
    rows.append(('brightened for the reader only', _strip(under)))
  for name, heights in clip.maps.items():
    heights = _per_frame(heights, total)[chosen]
    if name == 'mask':
      seen = masked(frames[chosen], heights, clip.fill)
      rows.append(('what CLIP sees behind the mask', _strip(seen)))
    label = f'{name}: dark = 0, bright = 1'
    rows.append((label, _strip(heat(under, heights))))
  return rows


def _strip(frames: np.ndarray) -> np.ndarray:
  """[T, H, W, 3] -> one white-spaced row of small frames."""
  height, width = frames.shape[1:3]
  size = (round(_FRAME_PIXELS * width / height), _FRAME_PIXELS)
  small = [
      np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS))
      for f in frames
  ]
  gap = np.full((size[1], _GAP_PIXELS, 3), 255, np.uint8)
  parts = [part for f in small for part in (f, gap)][:-1]
  return np.concatenate(parts, axis=1)


def _per_frame(heights: np.ndarray, num_frames: int) -> np.ndarray:
  heights = np.asarray(heights, np.float32)
  if heights.ndim == 2:
    heights = heights[None]
  return np.broadcast_to(heights, (num_frames, *heights.shape[1:]))


def _enlarged(heights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """[T, h, w] -> [T, *size], smoothly, each map between its own ends."""
  if heights.shape[1:] == size:
    return heights
  bilinear = Image.Resampling.BILINEAR
  return np.stack([
      np.asarray(Image.fromarray(h).resize(size[::-1], bilinear))
      for h in np.ascontiguousarray(heights)
  ])


def _draw_title(figure: Figure, clip: ClipPicture, x: float, y: float):
  shown = figure.text(
      x, y, short(clip.title, 60), fontsize=11, color=_INK, weight='bold'
  )
  # Measured, so that the verdict begins where the title ends.
  box = shown.get_window_extent(figure.canvas.get_renderer())
  verdict, colour = _verdict(clip)
  figure.text(
      box.x1 / figure.bbox.width + 0.012, y, verdict, fontsize=11, color=colour
  )


def _verdict(clip: ClipPicture) -> tuple[str, str]:
  if not clip.scores:
    return '', _INK
  best = short(clip.scores[0][0])
  if clip.truth is None:
    return best, _OPEN
  if clip.truth == clip.scores[0][0]:
    return f'{best}: right', _RIGHT
  return f'{best}: wrong, it is {short(clip.truth)}', _WRONG


def _draw_bars(axes, clip: ClipPicture):
  names = [short(name) for name, _ in clip.scores]
  values = [100 * p for _, p in clip.scores]
  colours = [_OTHER] * len(names)
  if clip.truth is None and colours:
    colours[0] = _OPEN
  elif colours:
    colours[0] = _WRONG
  for i, (name, _) in enumerate(clip.scores):
    if name == clip.truth:
      colours[i] = _RIGHT
  places = np.arange(len(names))
  axes.barh(places, [100] * len(names), height=0.22, color='#f0f2f5')
  axes.barh(places, values, height=0.22, color=colours)
  for place, name, value in zip(places, names, values, strict=True):
    axes.text(0, place - 0.22, name, fontsize=9, color=_INK, va='bottom')
    axes.text(
        100,
        place - 0.22,
        f'{value:.0f} %' if value >= 1 else '< 1 %',
        fontsize=9,
        color=_INK,
        va='bottom',
        ha='right',
    )
  axes.set_xlim(0, 100)
  axes.set_ylim(len(names) - 0.6, -0.8)
  axes.set_axis_off()
