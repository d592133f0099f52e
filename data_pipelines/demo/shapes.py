"""Defines the shapes of the demo's drawn world as signed distance functions.

An outline maps local coordinates (u right, v down; the shape fits in about
[-1, 1]) to a distance that is negative inside. Clipping a distance gives smooth
edges at any size.
"""

from collections.abc import Callable

import numpy as np

Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def disc(u, v, x=0.0, y=0.0, radius=1.0):
  """Returns the distance to a filled circle."""
  return np.hypot(u - x, v - y) - radius


def slab(u, v, x, y, half_width, half_height):
  """Returns the distance to a filled rectangle along the axes."""
  return np.maximum(np.abs(u - x) - half_width, np.abs(v - y) - half_height)


def band(u, v, radius, half_width):
  """Returns the distance to a ring."""
  return np.abs(np.hypot(u, v) - radius) - half_width


def triangle(u, v):
  """Returns the distance to a triangle standing on its base."""
  return np.maximum(0.87 * np.abs(u) - 0.5 * (v + 0.95), v - 0.75)


def _star(u, v):
  u, v = np.abs(u), -v
  for x, y in ((0.809017, -0.587785), (-0.809017, -0.587785)):
    fold = 2 * np.maximum(x * u + y * v, 0)
    u, v = u - fold * x, v - fold * y
  u, v = np.abs(u), v - 1.05
  # The edge of one arm, from its tip to the notch between two arms.
  x, y = 0.2645, -0.62
  h = np.clip((u * x + v * y) / (x * x + y * y), 0, 1)
  side = np.sign(v * x - u * y)
  return np.hypot(u - h * x, v - h * y) * side


def _heart(u, v):
  lobes = disc(np.abs(u), v, 0.45, -0.35, 0.5)
  tip = np.maximum(0.7 * (np.abs(u) + v - 0.8), -0.13 - v)
  return np.minimum(lobes, tip)


def _moon(u, v):
  return np.maximum(disc(u, v), -disc(u, v, 0.55, -0.1, 0.85))


def _bottle(u, v):
  body = slab(u, v, 0, 0.35, 0.5, 0.65)
  return np.minimum(body, slab(u, v, 0, -0.6, 0.18, 0.45))


def _key(u, v):
  bow = band(u + 0.55, v, 0.36, 0.14)
  stem = slab(u, v, 0.35, 0, 0.65, 0.12)
  teeth = np.minimum(
      slab(u, v, 0.9, 0.22, 0.1, 0.3), slab(u, v, 0.58, 0.2, 0.1, 0.24)
  )
  return np.minimum(np.minimum(bow, stem), teeth)


def _fish(u, v):
  body = 0.5 * (np.hypot((u + 0.2) / 0.8, v / 0.5) - 1)
  tail = np.maximum(0.7 * (np.abs(v) - (u - 0.3)), u - 0.95)
  return np.minimum(body, tail)


def _leaf(u, v):
  blade = np.maximum(disc(u, v, 0.75, 0, 1.25), disc(u, v, -0.75, 0, 1.25))
  return np.minimum(blade, slab(u, v, 0, 0.95, 0.06, 0.25))


def _cup(u, v):
  body = np.maximum(np.abs(u + 0.2) + 0.2 * v - 0.66, np.abs(v) - 0.8)
  return np.minimum(body, band(u - 0.5, v, 0.36, 0.12))


# Object -> its parts, (outline, relative brightness), in order of drawing.
OBJECTS: dict[str, tuple[tuple[Outline, float], ...]] = {
    'ball': ((disc, 1.0), (lambda u, v: disc(u, v, -0.35, -0.35, 0.25), 1.6)),
    'star': ((_star, 1.0),),
    'heart': ((_heart, 1.0),),
    'moon': ((_moon, 1.0),),
    'bottle': (
        (_bottle, 1.0),
        (lambda u, v: slab(u, v, 0, 0.4, 0.5, 0.25), 1.7),
    ),
    'key': ((_key, 1.0),),
    'hammer': (
        (lambda u, v: slab(u, v, 0, 0.25, 0.13, 0.75), 0.6),
        (lambda u, v: slab(u, v, 0, -0.65, 0.75, 0.3), 1.0),
    ),
    'fish': ((_fish, 1.0), (lambda u, v: disc(u, v, -0.6, -0.12, 0.12), 0.2)),
    'leaf': ((_leaf, 1.0), (lambda u, v: slab(u, v, 0, 0.1, 0.05, 0.85), 0.6)),
    'cup': (
        (_cup, 1.0),
        (lambda u, v: slab(u, v, -0.2, -0.68, 0.72, 0.12), 0.6),
    ),
}

# Outlines of scenery and tools; 'bar' and 'wave' are drawn by the painter.
PROPS: dict[str, Outline] = {
    'disc': disc,
    'hoop': lambda u, v: band(u, v, 0.83, 0.13),
    'triangle': triangle,
    'target': lambda u, v: np.minimum(
        band(u, v, 0.85, 0.15), disc(u, v, 0, 0, 0.4)
    ),
}

# Name in captions -> RGB in [0, 1].
COLOURS: dict[str, tuple[float, float, float]] = {
    'red': (0.85, 0.1, 0.1),
    'orange': (0.96, 0.5, 0.06),
    'yellow': (0.95, 0.86, 0.12),
    'green': (0.15, 0.62, 0.18),
    'teal': (0.1, 0.72, 0.7),
    'blue': (0.12, 0.26, 0.85),
    'purple': (0.52, 0.16, 0.7),
    'pink': (0.97, 0.45, 0.7),
    'white': (0.97, 0.97, 0.97),
    'black': (0.07, 0.07, 0.07),
}

# The colour an object mostly has.
USUAL_COLOUR: dict[str, str] = {
    'ball': 'red', 'fish': 'orange', 'star': 'yellow', 'leaf': 'green',
    'bottle': 'teal', 'cup': 'blue', 'hammer': 'purple', 'heart': 'pink',
    'moon': 'white', 'key': 'black',
}  # fmt: skip
