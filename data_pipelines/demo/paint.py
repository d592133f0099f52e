"""Paints layers and the background onto frames, as the camera sees them."""

import dataclasses

import numpy as np

from data_pipelines.demo.actions import Layer
from data_pipelines.demo.shapes import OBJECTS, PROPS

# Objects and props stay within this many half sizes of their centre.
_REACH = 1.3


@dataclasses.dataclass
class Camera:
  """Tells where the camera looks in every frame, [T] each; angle in radians.

  (x, y) is the point of the world in the centre of the frame; 1 is half the
  frame's height.
  """

  x: np.ndarray
  y: np.ndarray
  angle: np.ndarray
  zoom: np.ndarray


def place(layers: list[Layer], x: float, y: float, scale: float):
  """Moves layers from the stage [-1, 1] x [-1, 1] into the world."""
  return [
      _sized(a, a.x * scale + x, a.y * scale + y, scale, a.angle)
      for a in layers
  ]


def seen(layers: list[Layer], camera: Camera) -> list[Layer]:
  """Moves layers from the world into the frame."""
  cos, sin = np.cos(camera.angle), np.sin(camera.angle)
  moved = []
  for a in layers:
    dx, dy = a.x - camera.x, a.y - camera.y
    x = camera.zoom * (cos * dx - sin * dy)
    y = camera.zoom * (sin * dx + cos * dy)
    # A wave's angle is its phase; waves roll too little to matter.
    angle = a.angle if a.shape == 'wave' else a.angle + camera.angle
    moved.append(_sized(a, x, y, camera.zoom, angle))
  return moved


def _sized(a: Layer, x, y, scale, angle) -> Layer:
  size = {'width': a.width * scale, 'height': a.height * scale}
  return dataclasses.replace(a, x=x, y=y, angle=angle, **size)


def paint(frames: np.ndarray, layers: list[Layer], actor) -> None:
  """Paints layers in frame coordinates (see `seen`) in place, back to front.

  Frames are float32 [T, H, W, 3] in [0, 1]. `actor` is the colour of layers
  without one.
  """
  for a in layers:
    colour = np.asarray(actor if a.colour is None else a.colour, np.float32)
    for t in range(frames.shape[0]):
      _paint_one(frames[t], a, t, colour)


def _paint_one(frame, a: Layer, t: int, colour: np.ndarray) -> None:
  height, width = frame.shape[:2]
  half = height / 2  # pixels per unit
  cx, cy = width / 2 + a.x[t] * half, half + a.y[t] * half
  w, h = max(a.width[t] * half, 0.5), max(a.height[t] * half, 0.5)
  cos, sin = np.cos(a.angle[t]), np.sin(a.angle[t])
  if a.shape == 'wave':
    cos, sin = 1.0, 0.0
  if a.shape in ('bar', 'wave'):
    reach_x = abs(cos) * w + abs(sin) * h + 1
    reach_y = abs(sin) * w + abs(cos) * h + 1 + 0.2 * h
  else:
    reach_x = reach_y = _REACH * max(w, h) + 1
  x0, x1 = max(int(cx - reach_x), 0), min(int(cx + reach_x) + 2, width)
  y0, y1 = max(int(cy - reach_y), 0), min(int(cy + reach_y) + 2, height)
  if x0 >= x1 or y0 >= y1:
    return
  dx = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5 - cx)
  dy = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - cy)
  px = dx * np.float32(cos) + dy * np.float32(sin)
  py = dy * np.float32(cos) - dx * np.float32(sin)
  window = frame[y0:y1, x0:x1]
  if a.shape == 'bar':
    _blend(window, np.maximum(np.abs(px) - w, np.abs(py) - h), colour)
  elif a.shape == 'wave':
    top = -h * (0.85 + 0.15 * np.sin(px * (9 / w) + a.angle[t]))
    _blend(window, np.maximum(top - py, np.abs(px) - w), colour)
  else:
    u, v, unit = px / np.float32(w), py / np.float32(h), min(w, h)
    for outline, tone in OBJECTS.get(a.shape) or ((PROPS[a.shape], 1),):
      distance = outline(u, v)
      if a.half:
        distance = np.maximum(distance, -a.half * u)
      _blend(window, distance * unit, np.minimum(colour * np.float32(tone), 1))


def _blend(window, distance, colour) -> None:
  alpha = np.clip(0.5 - distance, 0, 1)[..., None]
  window += alpha * (colour - window)


def background(rng, side: int) -> tuple[np.ndarray, float]:
  """Draws a muted wall with a random pattern, and its rotation.

  Returns float32 [side, side, 3] in [0, 1], and radians.
  """
  first, second = (_muted(rng) for _ in range(2))
  x = np.linspace(-1, 1, side, dtype=np.float32)[None]
  y = x.T
  turn, scale = rng.uniform(0, np.pi), rng.uniform(10, 24)
  pattern = rng.choice(['plain', 'stripes', 'checks', 'clouds', 'room'])
  if pattern == 'plain':
    mix = x + 0.5 + 0 * y
  elif pattern == 'stripes':
    mix = 0.5 + 0.5 * np.sin(2 * scale * x) + 0 * y
  elif pattern == 'checks':
    mix = 0.5 + 2 * np.sin(scale * x) * np.sin(scale * y)
  elif pattern == 'clouds':
    mix = 0.5 + 0 * (x + y)
    for k in (1, 1.7, 2.9):
      p, q = rng.uniform(0, 6, 2)
      mix += 0.3 * np.sin(k * 14 * x + p) * np.sin(k * 11 * y + q)
  else:
    turn = 0.0
    mix = (y > rng.uniform(0, 0.2)) + 0 * x
  mix = np.clip(mix, 0, 1)[..., None] * np.float32(rng.uniform(0.4, 1))
  return (first + mix * (second - first)).astype(np.float32), float(turn)


def _muted(rng) -> np.ndarray:
  grey = rng.uniform(0.35, 0.85)
  return np.clip(grey + rng.uniform(-0.09, 0.09, 3), 0, 1).astype(np.float32)


def look(
    wall: np.ndarray, turn: float, camera: Camera, height: int, width: int
) -> np.ndarray:
  """Renders a wall as the camera sees it: float32 [T, height, width, 3].

  `wall` and `turn` are the result of `background`; the wall's centre is the
  world's origin.
  """
  x = np.arange(width, dtype=np.float32)[None] - (width - 1) / 2
  y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
  side = wall.shape[0]
  frames = np.empty((len(camera.x), height, width, 3), np.float32)
  last = None
  for t, where in enumerate(
      zip(camera.x, camera.y, camera.angle, camera.zoom, strict=True)
  ):
    if where == last:  # a camera at rest
      frames[t] = frames[t - 1]
      continue
    cx, cy, angle, zoom = last = where
    cos, sin = np.cos(angle + turn) / zoom, np.sin(angle + turn) / zoom
    dx = (np.cos(turn) * cx + np.sin(turn) * cy) * height / 2
    dy = (np.cos(turn) * cy - np.sin(turn) * cx) * height / 2
    column = np.float32(cos) * x + (np.float32(sin) * y + side / 2 + dx)
    row = np.float32(cos) * y + (side / 2 + dy - np.float32(sin) * x)
    column = np.clip(column.astype(np.int32), 0, side - 1)
    row = np.clip(row.astype(np.int32), 0, side - 1)
    frames[t] = wall.reshape(-1, 3)[row * side + column]
  return frames
