"""Draws charts as SVG in a page, as wide as there is room.

Horizontal positions are percentages, so that a narrow page moves what is drawn
but keeps the size of texts. All texts are escaped here.
"""

import html
from collections.abc import Container, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import colors, ticker

from evclip_jax.reporting.tables import printable, short

BLUE, GREEN, RED = '#2f6db5', '#23784a', '#b3362b'
INK, GREY = '#1f2933', '#c3cad3'
# The part of the width, in percent, that is left to the numbers of curves.
_TICKS = 6


def bars(
    values: Mapping[str, float],
    marks: Mapping[str, float] | None = None,
    colours: Mapping[str, str] | None = None,
) -> str:
  """Draws a bar for each percentage, from top to bottom.

  `marks` are lines across the bars, also in percent; `colours` replace blue.
  """
  marks, colours, high, out = marks or {}, colours or {}, 22, []
  for row, (name, value) in enumerate(values.items()):
    top, own = row * high, colours.get(name, BLUE)
    said = f'{value:.0f} %' if value >= 1 or not value else '&lt; 1 %'
    out += [
        _name(name, row),
        box(40, top + 6, 48, 10, '#eef1f4'),
        box(40, top + 6, 0.48 * value, 10, own),
        f'<text x="89%" y="{top + 15}">{said}</text>',
    ]
    if name in marks:
      out.append(box(39.7 + 0.48 * marks[name], top + 3, 0.3, 16, INK))
  return svg(out, high * len(values))


def difference_per_class(
    points: Mapping[str, float], quiet: Container[str] = ()
) -> str:
  """Draws bars to both sides, the lowest value first; `quiet` ones in grey."""
  most, out = max(map(abs, points.values()), default=0) or 1, []
  items = sorted(points.items(), key=lambda item: item[1])
  for row, (name, value) in enumerate(items):
    long = 23 * abs(value) / most
    own = GREY if name in quiet else BLUE if value >= 0 else RED
    out += [
        _name(name, row),
        box(64 - long * (value < 0), 22 * row + 6, long, 10, own),
        f'<text x="89%" y="{22 * row + 15}">{value:+.1f}</text>',
    ]
  out.append(box(64, 0, 0.15, 22 * len(items), INK))
  return svg(out, 22 * len(items))


def curves(
    series: Mapping[str, Sequence[tuple[float, ...]]], x: str, y: str
) -> str:
  """Draws lines of points (x, y), or (x, y, low, high), in the order of x.

  `x` and `y` are the titles of the axes, with their units.
  """
  points = np.array([p for line in series.values() for p in line], float)
  ticks = ticker.MaxNLocator(4).tick_values(*ends(points[:, 1:]))
  low, high = ends(points[:, 0])
  top, height = 34, 180

  def right(value):
    return (value - low) / (high - low)

  def down(value):
    return 1 - (value - ticks[0]) / (ticks[-1] - ticks[0])

  out = [f'<text x="0" y="12" class="quiet">{text(y)}</text>']
  for tick in ticks:
    line = top + height * down(tick)
    out += [
        box(0, line, 100, 1, '#e4e7eb'),
        f'<text x="0" y="{line - 3:.1f}" class="quiet">{tick:g}</text>',
    ]
  for number, line in enumerate(series.values()):
    own = colour(number, len(series))
    path = ' '.join(
        f'{1000 * right(a):.1f},{1000 * down(b):.1f}' for a, b, *_ in line
    )
    out.append(
        f'<svg x="{_TICKS}%" y="{top}" width="{100 - _TICKS}%" '
        f'height="{height}" viewBox="0 0 1000 1000"'
        f' preserveAspectRatio="none"><polyline points="{path}" fill="none" '
        f'stroke="{own}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
    # Mark the points of a line of few; a single point is not seen otherwise.
    for a, b, *interval in line if len(line) <= 30 else ():
      left = f'{_TICKS + (100 - _TICKS) * right(a):.2f}%'
      out.append(
          f'<circle cx="{left}" cy="{top + height * down(b):.1f}" r="3" '
          f'fill="{own}"/>'
      )
      if interval:
        y1, y2 = (top + height * down(c) for c in interval)
        out.append(
            f'<line x1="{left}" x2="{left}" y1="{y1:.1f}" y2="{y2:.1f}" '
            f'stroke="{own}"/>'
        )
  bottom = top + height + 16
  for left, anchor, said in (
      (_TICKS, 'start', f'{low:g}'),
      ((_TICKS + 100) / 2, 'middle', x),
      (100, 'end', f'{high:g}'),
  ):
    out.append(
        f'<text x="{left}%" y="{bottom}" text-anchor="{anchor}" class="quiet">'
        f'{text(said)}</text>'
    )
  return svg(out, bottom + 6) + legend(list(series))


def svg(parts: Sequence[str], height: float, width: str = '100%') -> str:
  """Returns an SVG of parts; `width` has a unit, `height` is in pixels."""
  return (
      f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
      f'height="{height}">{"".join(parts)}</svg>'
  )


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
  """Returns a rectangle; x and width are in percent, y and height in pixels."""
  return (
      f'<rect x="{x:.2f}%" y="{y:.1f}" width="{width:.2f}%" '
      f'height="{height}" fill="{colour}"/>'
  )


def legend(names: Sequence[str]) -> str:
  """Returns the legend of the colours; '' for a single name."""
  if len(names) < 2:
    return ''
  items = ''.join(
      f'<span><i style="background:{colour(i, len(names))}"></i>'
      f'{text(short(name, 24))}</span>'
      for i, name in enumerate(names)
  )
  return f'<div class="legend">{items}</div>'


def colour(number: int, total: int) -> str:
  """Returns the colour of item `number` among `total`."""
  table = 'tab10' if total <= 10 else 'tab20'
  return colors.to_hex(matplotlib.colormaps[table](number % 20))


def ends(values: np.ndarray) -> tuple[float, float]:
  """Returns the ends, which always differ, of a scale for values."""
  low, high = float(values.min()), float(values.max())
  return (low, high) if low < high else (low - 0.5, high + 0.5)


def text(text: str) -> str:
  """Returns a text escaped for a page."""
  return html.escape(printable(text))


def _name(name: str, row: int) -> str:
  """Returns a name beside a bar, cut to the room there is."""
  return (
      f'<svg y="{22 * row}" width="39%" height="22" class="cut"><text y="15">'
      f'{text(short(name, 48))}<title>{text(name)}</title></text></svg>'
  )
