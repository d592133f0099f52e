"""Charts of a whole list: accuracy per class, where its clips lie."""

import functools
from collections.abc import Callable

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from evclip_jax.reporting.tables import short

_INK, _QUIET, _BAR = '#1f2933', '#7b8794', '#2f6db5'
_LOSS = '#b3362b'
# Classes that get a colour and a name of their own in a map of clips.
_MOST_CLASSES = 20


def literal(draw: Callable) -> Callable:
  """Makes a drawing function show texts as they are, '$' as well."""

  @functools.wraps(draw)
  def drawn(*args, **kwargs):
    with matplotlib.rc_context({'text.parse_math': False}):
      return draw(*args, **kwargs)

  return drawn


@literal
def accuracy_per_class(per_class: dict[str, float]) -> Figure:
  """Draws bars of top-1 in percent, the hardest class first.

  Args:
    per_class: class name -> 0 .. 100.
  """
  items = sorted(per_class.items(), key=lambda item: item[1])
  names, values = [n for n, _ in items], [v for _, v in items]
  figure = Figure((8, 0.6 + 0.22 * len(names)), layout='tight')
  axes = figure.add_subplot()
  places = np.arange(len(names))
  axes.barh(places, values, height=0.7, color=_BAR)
  axes.set_yticks(places, map(short, names), fontsize=8, color=_INK)
  axes.set_xlim(0, 100)
  axes.set_ylim(len(names) - 0.4, -0.6)
  axes.set_xlabel('top-1 in percent', fontsize=8, color=_QUIET)
  axes.tick_params(axis='x', labelsize=8, colors=_QUIET)
  axes.spines[['top', 'right']].set_visible(False)
  return figure


@literal
def difference_per_class(points: dict[str, float]) -> Figure:
  """Draws bars of a difference in points of top-1, the largest loss first.

  Args:
    points: class name -> -100 .. 100.
  """
  items = sorted(points.items(), key=lambda item: item[1])
  values = [value for _, value in items]
  figure = Figure((8, 0.6 + 0.22 * len(items)), layout='tight')
  axes = figure.add_subplot()
  places = np.arange(len(items))
  colours = [_BAR if value >= 0 else _LOSS for value in values]
  axes.barh(places, values, height=0.7, color=colours)
  axes.axvline(0, color=_INK, linewidth=0.8)
  names = [short(name) for name, _ in items]
  axes.set_yticks(places, names, fontsize=8, color=_INK)
  axes.set_ylim(len(items) - 0.4, -0.6)
  axes.set_xlabel('points of top-1', fontsize=8, color=_QUIET)
  axes.tick_params(axis='x', labelsize=8, colors=_QUIET)
  axes.spines[['top', 'right']].set_visible(False)
  return figure


@literal
def map_of_clips(
    features: np.ndarray, labels: np.ndarray, names: list[str]
) -> Figure:
  """Draws clips as dots in the plane of the main directions of their features.

  Args:
    features: [N, E]; directions count, lengths do not.
    labels: [N], colour of each dot.
    names: K class names. Beyond 20 classes, the 20 with most clips have
      colours and the others are grey.
  """
  places, share = principal_plane(features)
  figure = Figure((8, 5), layout='tight')
  axes = figure.add_subplot()
  counts = np.bincount(labels, minlength=len(names))
  # Stable: of classes with as many clips the first ones.
  shown = np.sort(np.argsort(-counts, kind='stable')[:_MOST_CLASSES])
  others = ~np.isin(labels, shown)
  if others.any():
    axes.scatter(*places[others].T, s=10, color='#d5dae0', label='others')
  for number, label in enumerate(k for k in shown if counts[k]):
    axes.scatter(
        *places[labels == label].T,
        s=16,
        color=matplotlib.colormaps['tab20'](number % _MOST_CLASSES),
        # A name that begins with '_' would be left out of the legend.
        label=' ' + short(names[label]),
    )
  axes.set_xticks([])
  axes.set_yticks([])
  axes.set_xlabel(
      f'two directions hold {100 * share:.0f} % of the variance',
      fontsize=8,
      color=_QUIET,
  )
  axes.legend(
      fontsize=8, loc='upper left', bbox_to_anchor=(1, 1), frameon=False
  )
  return figure


def principal_plane(features: np.ndarray) -> tuple[np.ndarray, float]:
  """Returns the two main directions of normalised features.

  Args:
    features: [N, E].

  Returns:
    ([N, 2] coordinates, their share of the variance). The sign of a direction
    is such that the largest coordinate in size is positive.
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
