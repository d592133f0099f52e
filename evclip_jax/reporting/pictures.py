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
    frames: uint8 [T, H, W, 3], as what is returned.
    mask: [H, W] or [T, H, W] in [0, 1].
    fill: colour in [0, 1] where the mask is 0.
  """
  colour = 255 * np.asarray(fill, np.float32)
  weight = _per_frame(mask, len(frames))[..., None]  # [T, H, W, 1]
  out = colour + weight * (frames.astype(np.float32) - colour)
  return np.clip(out.round(), 0, 255).astype(np.uint8)


def heat(frames: np.ndarray, heights: np.ndarray) -> np.ndarray:
  """Returns a map in colours over grey frames, on the fixed scale 0 .. 1.

  Args:
    frames: uint8 [T, H, W, 3], as what is returned.
    heights: [H, W] or [T, H, W] in [0, 1], or a coarser grid over the frames.
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
  strips = rows(clip)
  width = strips[0][1].shape[1]
  margin, head, foot, gap, bars, bar = 12, 52, 14, 28, 370, 40
  # Bars of one thickness, however many rows of frames stand beside them.
  tall = bar * max(len(clip.scores), 1)
  body = max((_FRAME_PIXELS + gap) * len(strips) - gap, tall)
  wide, high = 2 * margin + width + bars, head + body + foot
  figure = Figure((wide / _DPI, high / _DPI), dpi=_DPI, facecolor='white')
  canvas = FigureCanvasAgg(figure)

  def box(left, top, width, height):
    """Axes without an axis, in pixels from the upper left corner."""
    bottom = high - top - height
    axes = figure.add_axes(
        (left / wide, bottom / high, width / wide, height / high)
    )
    axes.set_axis_off()
    return axes

  top = head
  for label, strip in strips:
    axes = box(margin, top, *strip.shape[1::-1])
    axes.imshow(strip, interpolation='nearest', aspect='auto')
    place = margin / wide, (high - top + 4) / high
    figure.text(*place, label, fontsize=8, color=_QUIET)
    top += _FRAME_PIXELS + gap
  _draw_title(figure, clip, margin / wide, (high - 24) / high)
  _draw_bars(box(margin + width + 25, head, bars - 25, tall), clip)
  canvas.draw()
  return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def rows(clip: ClipPicture) -> list[tuple[str, np.ndarray]]:
  """Returns labels and rows of frames uint8 [120, W, 3], top to bottom."""
  frames, total = np.asarray(clip.frames), len(clip.frames)
  shown = min(total, _MOST_FRAMES)
  chosen = np.linspace(0, total - 1, shown).round().astype(int)
  of_them = f'{shown} of the' if shown < total else 'the'
  under = frames[chosen]
  out = [(f'{of_them} {total} frames', _strip(under))]
  if frames.mean() < _DARK:
    under = brightened(frames)[chosen]
    out.append(('brightened for the reader only', _strip(under)))
  for name, heights in clip.maps.items():
    heights = _per_frame(heights, total)[chosen]
    if name == 'mask':
      seen = masked(frames[chosen], heights, clip.fill)
      out.append(('what CLIP sees behind the mask', _strip(seen)))
    out.append(
        (f'{name}: dark = 0, bright = 1', _strip(heat(under, heights)))
    )
  return out


def _strip(frames: np.ndarray) -> np.ndarray:
  """[T, H, W, 3] -> one white-spaced row of small frames."""
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
  """[T, h, w] -> [T, *size], smoothly, each map between its own ends."""
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
  said, colour = verdict(clip)
  figure.text(
      box.x1 / figure.bbox.width + 0.012, y, said, fontsize=11, color=colour
  )


def verdict(clip: ClipPicture) -> tuple[str, str]:
  """Returns what is answered, whether it is right, and a colour for it."""
  if not clip.scores:
    return '', _INK
  best = short(clip.scores[0][0])
  if clip.truth is None:
    return best, _OPEN
  if clip.truth == clip.scores[0][0]:
    return f'{best}: right', _RIGHT
  return f'{best}: wrong, it is {short(clip.truth)}', _WRONG


def colours(clip: ClipPicture) -> dict[str, str]:
  """Returns the colour of each class's bar: right, wrong, or not known."""
  found = {
      name: _RIGHT if name == clip.truth else _OTHER for name, _ in clip.scores
  }
  if clip.scores and clip.scores[0][0] != clip.truth:
    found[clip.scores[0][0]] = _OPEN if clip.truth is None else _WRONG
  return found


def _draw_bars(axes, clip: ClipPicture):
  colour = colours(clip)
  for place, (name, share) in enumerate(clip.scores):
    value = 100 * share
    axes.barh(place, 100, height=0.22, color='#f0f2f5')
    axes.barh(place, value, height=0.22, color=colour[name])
    style = {'fontsize': 9, 'color': _INK, 'va': 'bottom'}
    axes.text(0, place - 0.22, short(name), **style)
    said = f'{value:.0f} %' if value >= 1 else '< 1 %'
    axes.text(100, place - 0.22, said, ha='right', **style)
  axes.set_xlim(0, 100)
  axes.set_ylim(len(clip.scores) - 0.6, -0.8)
