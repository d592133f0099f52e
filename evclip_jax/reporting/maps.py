"""Draws maps as SVG: which classes are confused, which clips are alike."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from evclip_jax.reporting.charts import (
  GREEN,
  RED,
  colour,
  ends,
  legend,
  svg,
  text,
)
from evclip_jax.reporting.tables import short

# Most classes with a colour of their own in a map of clips.
_MOST_CLASSES = 20
# Most classes whose names fit beside a matrix.
_NAMED = 30


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
  """Draws how often each class (row) was taken for each other (column).

  `matrix` [K, K] counts clips. With more than 30 classes, only the pointer
  shows their names.
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
    shade = GREEN if row == column else RED
    x, y = left + column * cell, row * cell
    about = f'{names[row]} → {names[column]}: {count}'
    out.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
        f'fill="{shade}" fill-opacity="{0.15 + 0.85 * share:.2f}">'
        f'<title>{text(about)}</title></rect>'
    )
    if named:
      ink = ' fill="white"' if share > 0.5 else ''
      out.append(
          f'<text x="{x + cell / 2}" y="{y + 16}" text-anchor="middle"{ink} '
          f'pointer-events="none">{count}</text>'
      )
  bottom = cell * size
  for number, name in enumerate(names if named else ()):
    said, middle = text(short(name, 24)), (number + 0.5) * cell
    out += [
        f'<text x="{left - 6}" y="{middle + 4}" text-anchor="end">{said}'
        f'<title>{text(name)}</title></text>',
        f'<text text-anchor="end" transform="translate({left + middle + 4} '
        f'{bottom + 6}) rotate(-90)">{said}</text>',
    ]
  high = bottom + long + 6
  return (
      '<div class="scroll">'
      + svg(out, round(high), f'{left + cell * size + 4:.0f}')
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

  Pointing at a dot shows its title and picture.

  Args:
    features: [N, E], whose lengths do not matter.
    labels, titles: [N], the class and a line of text for each dot.
    names: K class names; the 20 with most clips have colours, others are grey.
    wrong: [N] bool, clips to draw as rings.
    thumbnails: JPEG files of some clips, by clip number in 0..N - 1.
  """
  places, share = principal_plane(features)
  scales = [ends(column) for column in places.T]
  counts = np.bincount(labels, minlength=len(names))
  # Stable, so that ties go to the first classes.
  most = np.argsort(-counts, kind='stable')[:_MOST_CLASSES]
  shown = [k for k in sorted(most.tolist()) if counts[k]]
  colours = {k: colour(i, len(shown)) for i, k in enumerate(shown)}
  out = []
  for i, (place, label) in enumerate(zip(places, labels.tolist(), strict=True)):
    x, y = (
        3 + 94 * (v - low) / (high - low)
        for v, (low, high) in zip(place, scales, strict=True)
    )
    own = colours.get(label, '#cbd2d9')
    inside = 'white' if wrong[i] else own
    picture = thumbnails.get(i)
    held = base64.b64encode(picture).decode() if picture else ''
    out.append(
        f'<circle cx="{x:.2f}%" cy="{100 - y:.2f}%" r="5" fill="{inside}" '
        f'stroke="{own}" stroke-width="2" data-title="{text(titles[i])}" '
        f'data-picture="{held}"/>'
    )
  said = f'The two directions hold {100 * share:.0f} % of the variance.'
  return (
      f'<div class="map">{svg(out, 440)}'
      '<div class="tip" hidden><img alt="" hidden><span></span></div></div>'
      + legend([names[k] for k in shown])
      + f'<figcaption>{said}</figcaption>'
  )


def principal_plane(features: np.ndarray) -> tuple[np.ndarray, float]:
  """Projects normalised features [N, E] on their two main directions.

  Returns coordinates [N, 2], of which the largest in size is positive, and
  their share of the variance.
  """
  lengths = np.linalg.norm(features, axis=1, keepdims=True)
  unit = np.asarray(features, np.float64) / np.maximum(lengths, 1e-12)
  left, sizes, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
  places = np.zeros((len(unit), 2))
  found = (left * sizes)[:, :2]
  places[:, : found.shape[1]] = found
  largest = np.abs(places).argmax(axis=0)
  places *= np.where(places[largest, [0, 1]] < 0, -1, 1)
  total = float((sizes**2).sum())
  return places, float((sizes[:2] ** 2).sum() / total) if total else 1.0


# Shows a dot's title and picture beside the pointer.
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
