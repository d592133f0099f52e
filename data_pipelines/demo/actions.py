"""Animates the actions of the demo's drawn world: objects, motions, tools.

An action is a function of a random generator, times in seconds, an object and
its size; it returns layers to paint, back to front, on a stage of
[-1, 1] x [-1, 1] (x right, y down). Its random parameters do not depend on the
times, so a scene is the same video at any frame rate.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

# As in real life, every action has tools of its own shape and colour.
SKIN, _SLEEVE = (0.85, 0.62, 0.48), (0.4, 0.15, 0.3)
_WOOD, _STEEL, _DARK = (0.5, 0.34, 0.2), (0.84, 0.87, 0.9), (0.16, 0.15, 0.17)
_FRAME, _MAT, _TRACK = (0.2, 0.33, 0.62), (0.08, 0.42, 0.3), (0.72, 0.52, 0.3)
_PUMP, _HANDLE = (0.55, 0.78, 0.15), (0.72, 0.12, 0.12)
_DESK, _WATER = (0.45, 0.47, 0.52), (0.15, 0.42, 0.65)


@dataclasses.dataclass
class Layer:
  """Holds one thing to paint: its position, half sizes and angle, [T] each.

  Angles are in radians, clockwise as y points down.
  """

  # An object's or a prop's name, or 'bar' (a rectangle) or 'wave'.
  shape: str
  x: np.ndarray
  y: np.ndarray
  width: np.ndarray
  height: np.ndarray
  angle: np.ndarray
  # RGB in [0, 1]; None = the colour of the scene's object.
  colour: tuple[float, float, float] | None = None
  # -1 or 1 to keep only the left or right half.
  half: int = 0


def layer(shape, t, x, y, width, height=None, angle=0.0, colour=None, half=0):
  """Makes a layer from numbers or [T] arrays."""
  height = width if height is None else height
  full = (np.asarray(a, np.float32) for a in (x, y, width, height, angle))
  full = (np.broadcast_to(a, t.shape) for a in full)
  return Layer(shape, *full, colour=colour, half=half)


def bar(t, x0, y0, x1, y1, thickness, colour):
  """Makes a straight bar between two points."""
  dx, dy = np.subtract(x1, x0), np.subtract(y1, y0)
  x, y, length = np.add(x0, x1) / 2, np.add(y0, y1) / 2, np.hypot(dx, dy) / 2
  return layer('bar', t, x, y, length, thickness, np.arctan2(dy, dx), colour)


def _wave(rng, slow, fast):
  """A frequency in radians per second and a phase."""
  return 2 * np.pi * rng.uniform(slow, fast), rng.uniform(0, 2 * np.pi)


def _sawtooth(rng, t, slow, fast):
  """Rises from 0 to 1 and jumps back; `slow` and `fast` in cycles a second."""
  return (t * rng.uniform(slow, fast) + rng.uniform()) % 1.0


def _side(rng):
  return 1.0 if rng.uniform() < 0.5 else -1.0


def swinging(rng, t, thing, size):
  omega, phase = _wave(rng, 0.7, 1.2)
  theta = rng.uniform(0.6, 0.95) * np.sin(omega * t + phase)
  length = rng.uniform(1.1, 1.3)
  x, y = length * np.sin(theta), -0.95 + length * np.cos(theta)
  return [
      bar(t, -0.9, 0.95, -0.12, -1.0, 0.06, _FRAME),
      bar(t, 0.9, 0.95, 0.12, -1.0, 0.06, _FRAME),
      layer('bar', t, 0, -0.97, 0.4, 0.09, 0, _FRAME),
      bar(t, 0 * x, -0.95 + 0 * y, x, y, 0.03, _DARK),
      layer(thing, t, x, y, size, angle=-theta),
  ]


def bouncing(rng, t, thing, size):
  omega, phase = _wave(rng, 0.6, 1.0)
  x = rng.uniform(-0.2, 0.2)
  up = np.abs(np.sin(omega * t / 2 * 1.6 + phase))
  squash = 1 - 0.3 * np.clip(1 - up * 4, 0, 1)
  y = 0.8 - size * squash - up * 1.2
  return [
      layer('bar', t, 0, 0.88, 1.0, 0.1, 0, _MAT),
      layer('bar', t, -0.8, 1.02, 0.06, 0.1, 0, _DARK),
      layer('bar', t, 0.8, 1.02, 0.06, 0.1, 0, _DARK),
      layer('disc', t, x, 0.83, size * (1.1 - 0.6 * up), 0.06, 0, _DARK),
      layer(thing, t, x, y, size / squash, size * squash),
  ]


def spinning(rng, t, thing, size):
  omega, phase = _wave(rng, 0.7, 1.3)
  turn = _side(rng) * omega * t + phase
  return [
      bar(t, 0, 0.95, 0, -0.2, 0.08, _DARK),
      layer('disc', t, 0, 0.9, 0.45, 0.16, 0, _DARK),
      layer(thing, t, 0, -0.25, size * 1.15, angle=turn),
      layer('disc', t, 0, -0.25, 0.1, colour=_STEEL),
  ]


def rolling(rng, t, thing, size):
  side, slope = _side(rng), rng.uniform(0.35, 0.5)
  along = 2.0 * _sawtooth(rng, t, 0.6, 1.0) - 1.0
  nx, ny = np.sin(slope), np.cos(slope)
  x = side * (along * 0.85 * ny + size * nx)
  y = 0.25 + along * 0.85 * nx - size * ny
  return [
      bar(t, -side * ny, 0.34 + nx, -side * ny, 0.3 - nx, 0.06, _WOOD),
      bar(t, side * ny, 0.3 + nx, -side * ny, 0.3 + nx, 0.06, _WOOD),
      bar(t, -side * ny, 0.3 - nx, side * ny, 0.3 + nx, 0.09, _WOOD),
      layer(thing, t, x, y, size, angle=side * along * 0.85 / size),
  ]


def circling(rng, t, thing, size):
  omega, phase = _wave(rng, 0.5, 0.9)
  turn, radius = _side(rng) * omega * t + phase, 0.66
  x, y = radius * np.cos(turn), radius * np.sin(turn)
  return [
      layer('hoop', t, 0, 0, radius * 1.2, colour=_TRACK),
      layer('disc', t, 0, 0, 0.2, colour=_TRACK),
      layer(thing, t, x, y, size * 0.95),
  ]


def juggling(rng, t, thing, size):
  start, spin = _sawtooth(rng, t, 0.7, 1.1), rng.uniform(-6, 6)
  layers = []
  for n in range(3):
    s = (start + n / 3) % 1.0
    x = 0.6 * np.where(s < 0.5, 4 * s - 1, 3 - 4 * s)
    y = 0.55 - 1.3 * (1 - (2 * ((2 * s) % 1.0) - 1) ** 2)
    layers.append(layer(thing, t, x, y, size * 0.8, angle=spin * (t + n)))
  for side in (-1, 1):
    lift = 0.06 * np.sin(2 * np.pi * (start + 0.25 * side))
    layers += [
        bar(t, side * 0.9, 1.2, side * 0.62, 0.8 + lift, 0.13, SKIN),
        layer('disc', t, side * 0.6, 0.73 + lift, 0.3, 0.14, 0, SKIN),
    ]
  return layers


def inflating(rng, t, thing, size):
  side, s = _side(rng), _sawtooth(rng, t, 0.5, 0.8)
  stroke = 0.18 * np.abs(np.sin(2 * np.pi * 1.5 * t + rng.uniform(0, 6)))
  grown = size * (0.55 + 1.0 * s)
  x, pump = -side * 0.3, side * 0.72
  return [
      bar(t, pump, 0.85, x, 0.05 + 0 * grown, 0.07, _DARK),
      bar(t, pump, 0.3, pump, -0.1 + stroke, 0.05, _DARK),
      layer('bar', t, pump, -0.1 + stroke, 0.28, 0.08, 0, _DARK),
      layer('bar', t, pump, 0.55, 0.2, 0.4, 0, _PUMP),
      layer(thing, t, x, 0.0, grown),
  ]


def cutting(rng, t, thing, size):
  s = _sawtooth(rng, t, 0.6, 0.9)
  blade = -0.75 + 0.95 * np.clip(np.minimum(s * 3, 3 - 3 * s), 0, 1)
  apart = 0.4 * np.clip(s * 2.2 - 0.6, 0, 1)
  tilt, size = apart * 0.8, size * 1.1
  return [
      layer('bar', t, 0, 0.88, 0.85, 0.12, 0, _WOOD),
      layer(thing, t, -apart, 0.8 - size, size, angle=-tilt, half=-1),
      layer(thing, t, apart, 0.8 - size, size, angle=tilt, half=1),
      layer('bar', t, 0, blade, 0.09, 0.42, 0, _STEEL),
      layer('bar', t, 0, blade - 0.55, 0.1, 0.2, 0, _HANDLE),
  ]


def pushing(rng, t, thing, size):
  side, omega, phase = _side(rng), *_wave(rng, 0.4, 0.7)
  x = side * (0.25 + 0.55 * np.sin(omega * t + phase))
  y = 0.6 - size
  hand = x - side * (size + 0.12)
  return [
      layer('bar', t, 0, 0.68, 1.05, 0.08, 0, _DESK),
      layer('bar', t, -0.8, 0.9, 0.08, 0.2, 0, _DESK),
      layer('bar', t, 0.8, 0.9, 0.08, 0.2, 0, _DESK),
      layer(thing, t, x, y, size),
      bar(t, hand - side * 0.9, y - 0.15, hand, y, 0.12, SKIN),
      layer('disc', t, hand, y, 0.13, 0.2, 0, SKIN),
  ]


def floating(rng, t, thing, size):
  omega, phase = _wave(rng, 0.5, 0.8)
  drift = 0.35 * np.sin(omega * t / 2 + phase)
  bob = 0.14 * np.sin(omega * t + phase)
  tilt = 0.35 * np.cos(omega * t + phase)
  return [
      layer(thing, t, drift, -0.02 + bob, size * 1.1, angle=tilt),
      layer('wave', t, 0, 0.42, 1.15, 0.5, omega * t, _WATER),
  ]


def throwing(rng, t, thing, size):
  side, s = _side(rng), _sawtooth(rng, t, 0.7, 1.1)
  x = side * (-0.7 + 1.35 * s)
  y = 0.55 - 0.75 * s - 1.6 * s * (1 - s)
  return [
      layer('disc', t, side * 0.72, -0.25, 0.36, 0.46, 0, _STEEL),
      layer('target', t, side * 0.72, -0.25, 0.36, 0.46, 0, _HANDLE),
      bar(t, -side * 0.95, 1.05, -side * 0.78, 0.75, 0.12, SKIN),
      layer('disc', t, -side * 0.75, 0.7, 0.15, colour=SKIN),
      layer(thing, t, x, y, size * 0.95, angle=rng.uniform(3, 7) * s),
  ]


def lifting(rng, t, thing, size):
  omega, phase = _wave(rng, 0.4, 0.7)
  y = 0.05 + 0.5 * np.sin(omega * t + phase)
  grip = size * 1.05
  layers = [layer(thing, t, 0, y, size * 1.1)]
  for side in (-1, 1):
    layers += [
        bar(t, side * 0.75, 1.2, side * grip, y + 0.15, 0.14, _SLEEVE),
        layer('disc', t, side * grip, y, 0.15, 0.2, 0, SKIN),
    ]
  return layers


MOTIONS: dict[str, Callable] = {
    f.__name__: f
    for f in (
        swinging, bouncing, spinning, rolling, circling, juggling,
        inflating, cutting, pushing, floating, throwing, lifting,
    )
}  # fmt: skip
