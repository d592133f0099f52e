"""Charts as SVG inside of a page: sharp, and as wide as there is room.

Places along the width are percentages, so that a narrow page moves what is
drawn and leaves texts at their size. All texts are escaped here.
"""

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps, colors, ticker

from evclip_jax.reporting.charts import principal_plane
from evclip_jax.reporting.tables import printable, short

BLUE, GREY, GREEN, RED = '#2f6db5', '#7b8794', '#23784a', '#b3362b'
# Classes that get a colour and a name of their own in a map of clips.
_MOST_CLASSES = 20
# Classes whose names fit beside a matrix.
_NAMED = 30


def bars(
    values: Mapping[str, float],
    marks: Mapping[str, float] | None = None,
    colours: Mapping[str, str] | None = None,
) -> str:
  """Draws a bar for each percentage.

  Args:
    values: name -> 0..100, from top to bottom.
    marks: name -> 0..100, a line across the bar of that name.
    colours: name -> colour; blue where there is none.
  """
  marks, colours, high, out = marks or {}, colours or {}, 22, []
  for row, (name, value) in enumerate(values.items()):
    top, colour = row * high, colours.get(name, BLUE)
    said = f'{value:.0f} %' if value >= 1 or not value else '&lt; 1 %'
    out += [
        # As much of a name as there is room for.
        f'<svg y="{top}" width="39%" height="{high}" class="cut"><text y="15">'
        f'{_text(short(name, 48))}<title>{_text(name)}</title></text></svg>',
        _box(40, top + 6, 48, 10, '#eef1f4'),
        _box(40, top + 6, 0.48 * value, 10, colour),
        f'<text x="89%" y="{top + 15}">{said}</text>',
    ]
    if name in marks:
      out.append(_box(39.7 + 0.48 * marks[name], top + 3, 0.3, 16, '#1f2933'))
  return _svg(out, high * len(values))


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str
) -> str:
  """Draws numbers that change along a line: over steps, over seconds.

  Args:
    series: name -> (x, y) in the order of x; a name of its own for each line.
    x, y: what the axes are, with the unit.
  """
  points = np.array([p for line in series.values() for p in line], float)
  ticks = ticker.MaxNLocator(4).tick_values(*_ends(points[:, 1]))
  low, high = _ends(points[:, 0])
  top, height = 34, 180

  def place(point):
    right = (point[0] - low) / (high - low)
    up = (point[1] - ticks[0]) / (ticks[-1] - ticks[0])
    return 1000 * right, 1000 * (1 - up)

  out = [f'<text x="0" y="12" class="quiet">{_text(y)}</text>']
  for tick in ticks:
    line = top + height * place((low, tick))[1] / 1000
    out += [
        _box(0, line, 100, 1, '#e4e7eb'),
        f'<text x="0" y="{line - 3:.1f}" class="quiet">{tick:g}</text>',
    ]
  for number, line in enumerate(series.values()):
    colour, spots = _colour(number, len(series)), [place(p) for p in line]
    path = ' '.join(f'{a:.1f},{b:.1f}' for a, b in spots)
    out.append(
        f'<svg y="{top}" width="100%" height="{height}" viewBox="0 0 1000 1000"'
        f' preserveAspectRatio="none"><polyline points="{path}" fill="none" '
        f'stroke="{colour}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
    # A line of few points, or of one, is seen by them.
    if len(spots) <= 30:
      out += [
          f'<circle cx="{a / 10:.2f}%" cy="{top + height * b / 1000:.1f}" r="3"'
          f' fill="{colour}"/>'
          for a, b in spots
      ]
  bottom = top + height + 16
  for left, anchor, said in (
      (0, 'start', f'{low:g}'),
      (50, 'middle', x),
      (100, 'end', f'{high:g}'),
  ):
    out.append(
        f'<text x="{left}%" y="{bottom}" text-anchor="{anchor}" class="quiet">'
        f'{_text(said)}</text>'
    )
  return _svg(out, bottom + 6) + _legend(list(series))


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
  """Draws how often each class (row) was taken for each other (column).

  Args:
    matrix: [K, K] counts of clips.
    names: of the classes; beyond 30 they are told by the pointer alone.
  """
  matrix, size = np.asarray(matrix), len(names)
  named = size <= _NAMED
  cell = 24 if named else max(700 / size, 3)
  long = 8 * max(len(short(name, 24)) for name in names) if named else 0
  left = long and long + 6
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  out = [
      f'<rect x="{left}" width="{cell * size:.1f}" height="{cell * size:.1f}" '
      'fill="#f6f7f9" stroke="#cbd2d9"/>'
  ]
  for row, column in np.argwhere(matrix):
    count, share = matrix[row, column], shares[row, column]
    colour = GREEN if row == column else RED
    x, y = left + column * cell, row * cell
    about = f'{names[row]} → {names[column]}: {count}'
    out.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
        f'fill="{colour}" fill-opacity="{0.15 + 0.85 * share:.2f}">'
        f'<title>{_text(about)}</title></rect>'
    )
    if named:
      ink = ' fill="white"' if share > 0.5 else ''
      out.append(
          f'<text x="{x + cell / 2}" y="{y + 16}" text-anchor="middle"{ink} '
          f'pointer-events="none">{count}</text>'
      )
  bottom = cell * size
  for number, name in enumerate(names if named else ()):
    said, middle = _text(short(name, 24)), (number + 0.5) * cell
    out += [
        f'<text x="{left - 6}" y="{middle + 4}" text-anchor="end">{said}'
        f'<title>{_text(name)}</title></text>',
        f'<text text-anchor="end" transform="translate({left + middle + 4} '
        f'{bottom + 6}) rotate(-90)">{said}</text>',
    ]
  high = bottom + long + 6
  return (
      '<div class="scroll">'
      + _svg(out, round(high), f'{left + cell * size + 4:.0f}')
      + '</div>'
  )


def map_of_clips(
    features: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    titles: Sequence[str],
    wrong: np.ndarray,
    thumbnails: Mapping[int, bytes],
) -> str:
  """Draws clips as dots in the plane of the main directions of their features.

  The pointer on a dot shows its title and its picture.

  Args:
    features: [N, E]; directions count, lengths do not.
    labels: [N], colour of each dot.
    names: K class names. Beyond 20 classes, the 20 with most clips have
      colours and the others are grey.
    titles: N lines about the clips.
    wrong: [N] bool, clips to be drawn as rings.
    thumbnails: JPEG files of some of the clips, by their number in 0..N - 1.
  """
  places, share = principal_plane(features)
  ends = [_ends(column) for column in places.T]
  counts = np.bincount(labels, minlength=len(names))
  # Stable: of classes with as many clips the first ones.
  most = np.argsort(-counts, kind='stable')[:_MOST_CLASSES]
  shown = [k for k in sorted(most.tolist()) if counts[k]]
  colours = {k: _colour(i, len(shown)) for i, k in enumerate(shown)}
  out = []
  for i, (place, label) in enumerate(zip(places, labels.tolist(), strict=True)):
    x, y = (
        3 + 94 * (v - low) / (high - low)
        for v, (low, high) in zip(place, ends, strict=True)
    )
    colour = colours.get(label, '#cbd2d9')
    inside = 'white' if wrong[i] else colour
    picture = thumbnails.get(i)
    held = base64.b64encode(picture).decode() if picture else ''
    out.append(
        f'<circle cx="{x:.2f}%" cy="{100 - y:.2f}%" r="5" fill="{inside}" '
        f'stroke="{colour}" stroke-width="2" data-title="{_text(titles[i])}" '
        f'data-picture="{held}"/>'
    )
  said = f'The two directions hold {100 * share:.0f} % of the variance.'
  return (
      f'<div class="map">{_svg(out, 440)}'
      '<div class="tip" hidden><img alt="" hidden><span></span></div></div>'
      + _legend([names[k] for k in shown])
      + f'<figcaption>{said}</figcaption>'
  )


# Shows the tip of a map of clips beside the dot under the pointer.
SCRIPT = """
for (const map of document.querySelectorAll('.map')) {
  const tip = map.querySelector('.tip'), picture = tip.querySelector('img');
  map.addEventListener('pointerover', event => {
    const dot = event.target.closest('circle');
    tip.hidden = !dot;
    if (!dot) return;
    tip.querySelector('span').textContent = dot.dataset.title;
    picture.hidden = !dot.dataset.picture;
    if (dot.dataset.picture)
      picture.src = 'data:image/jpeg;base64,' + dot.dataset.picture;
    const box = dot.getBoundingClientRect(), all = map.getBoundingClientRect();
    const left = box.left - all.left + 14, room = all.width - tip.offsetWidth;
    tip.style.left = Math.max(0, Math.min(left, room)) + 'px';
    tip.style.top = box.top - all.top + 14 + 'px';
  });
}
"""


def _svg(parts: Sequence[str], height: float, width: str = '100%') -> str:
  return (
      f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
      f'height="{height}">{"".join(parts)}</svg>'
  )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
  return (
      f'<rect x="{x:.2f}%" y="{y:.1f}" width="{width:.2f}%" '
      f'height="{height}" fill="{colour}"/>'
  )


def _legend(names: Sequence[str]) -> str:
  if len(names) < 2:
    return ''
  items = ''.join(
      f'<span><i style="background:{_colour(i, len(names))}"></i>'
      f'{_text(short(name, 24))}</span>'
      for i, name in enumerate(names)
  )
  return f'<div class="legend">{items}</div>'


def _colour(number: int, total: int) -> str:
  table = 'tab10' if total <= 10 else 'tab20'
  return colors.to_hex(colormaps[table](number % 20))


def _ends(values: np.ndarray) -> tuple[float, float]:
  low, high = float(values.min()), float(values.max())
  return (low, high) if low < high else (low - 0.5, high + 0.5)


def _text(text: str) -> str:
  return html.escape(printable(text))
