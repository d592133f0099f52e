"""The domains of the demo's drawn world: how an action is filmed.

bright: a fixed camera in daylight. dark: the same at night, as in ARID: a few
per cent of the light, gamma, a colour cast, sensor noise, and lamps that
outshine the action. head: a camera on a head: shake, roll and zoom, an arm in
the way, other things lying about, motion blur and a vignette.
"""

import numpy as np

from data_pipelines.demo.actions import SKIN, Layer, bar, layer
from data_pipelines.demo.paint import Camera
from data_pipelines.demo.shapes import COLOURS, OBJECTS

DOMAINS = ('bright', 'dark', 'head')


def camera_of(domain: str, rng, t: np.ndarray) -> Camera:
  """Draws the camera's path in a domain; `t` in seconds, [T]."""
  still = np.zeros(t.shape, np.float32)
  if domain != 'head':
    return Camera(still, still, still, still + 1)
  return Camera(
      x=rng.uniform(-0.15, 0.15) + _shake(rng, t, 0.13),
      y=rng.uniform(-0.15, 0.1) + _shake(rng, t, 0.1),
      angle=rng.uniform(-0.15, 0.15) + _shake(rng, t, 0.1),
      zoom=rng.uniform(1.0, 1.25) + _shake(rng, t, 0.05),
  )


def _shake(rng, t, size):
  total = np.zeros(t.shape, np.float32)
  for slow, fast, share in ((0.2, 0.6, 0.6), (0.8, 1.6, 0.4), (2.5, 4, 0.15)):
    omega, phase = 2 * np.pi * rng.uniform(slow, fast), rng.uniform(0, 6.3)
    total += share * size * np.sin(omega * t + phase)
  return total


def clutter(domain: str, rng, t: np.ndarray) -> list[Layer]:
  """Draws things in the world, behind the action, that take no part in it."""
  layers = []
  for _ in range(rng.integers(1, 4)):
    x, y = _aside(rng)
    colour = tuple(rng.uniform(0.2, 0.8, 3))
    size, angle = rng.uniform(0.06, 0.14), rng.uniform(0, 3.1)
    x = x + rng.uniform(-0.1, 0.1) * np.sin(rng.uniform(1, 6) * t)
    shape = str(rng.choice(['disc', 'triangle', 'bar']))
    layers.append(layer(shape, t, x, y, size, angle=angle, colour=colour))
  for _ in range(2 if domain == 'head' else 0):
    x, y = _aside(rng)
    thing = str(rng.choice(list(OBJECTS)))
    colour = COLOURS[str(rng.choice(list(COLOURS)))]
    size, angle = rng.uniform(0.13, 0.2), rng.uniform(0, 6.3)
    layers.append(layer(thing, t, x, y, size, angle=angle, colour=colour))
  return layers


def _aside(rng):
  turn = rng.uniform(0, 2 * np.pi)
  return 1.05 * np.cos(turn), 0.85 * np.sin(turn)


def front(domain: str, rng, t: np.ndarray) -> list[Layer]:
  """Draws things between camera and action, in coordinates of the frame."""
  if domain != 'head':
    return []
  side = 1.0 if rng.uniform() < 0.5 else -1.0
  reach, low = rng.uniform(0.3, 0.55), rng.uniform(0.45, 0.65)
  x = side * reach + _shake(rng, t, 0.12)
  y = low + _shake(rng, t, 0.12)
  skin = tuple(np.asarray(SKIN) * rng.uniform(0.6, 1.1))
  sleeve = tuple(rng.uniform(0.1, 0.7, 3))
  elbow = x + side * 0.3, y + 0.4
  return [
      bar(t, side * 1.0 + 0 * x, 1.3 + 0 * y, x, y, 0.11, skin),
      bar(t, side * 1.1 + 0 * x, 1.5 + 0 * y, *elbow, 0.17, sleeve),
      layer('disc', t, x, y, 0.17, 0.14, 0.3, skin),
  ]


def expose(domain: str, rng, noise, frames: np.ndarray) -> np.ndarray:
  """Returns what the sensor makes of the light: uint8 [T, H, W, 3].

  `rng` draws the exposure, the same for every frame, `noise` the noise, new for
  each. The frames, float32 [T, H, W, 3] in [0, 1], are changed in place.
  """
  height, width = frames.shape[1:3]
  x = np.linspace(-1, 1, width, dtype=np.float32)[None]
  y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
  grain = 0.01
  if domain == 'bright':
    frames *= np.float32(rng.uniform(0.85, 1.1))
  elif domain == 'dark':
    np.power(frames, np.float32(rng.uniform(1.2, 1.6)), out=frames)
    cast = np.asarray([rng.uniform(0.8, 1.1), 0.9, rng.uniform(0.9, 1.3)])
    frames *= (rng.uniform(0.08, 0.2) * cast).astype(np.float32)
    frames += np.float32(0.015)
    for _ in range(rng.integers(1, 3)):
      frames += _glow(rng, x, y)
    grain = rng.uniform(0.012, 0.02)
  else:
    frames = _blurred(frames, int(rng.integers(0, 4)))
    frames *= np.float32(rng.uniform(0.7, 1.05)) * (
        1 - 0.35 * np.clip(x * x + y * y - 0.4, 0, 1)
    )[..., None]
    grain = 0.02
  # Noise comes in steps of the sensor: 8-bit table look-ups are 5 times
  # cheaper than a normal draw for each value.
  table = noise.normal(0, grain, 256).astype(np.float32)
  draws = np.frombuffer(noise.bytes(frames.size), np.uint8)
  frames += table[draws.reshape(frames.shape)]
  return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)


def _glow(rng, x, y):
  """A lamp away from the middle: a small white core in a warm halo."""
  turn = rng.uniform(0, 2 * np.pi)
  dx, dy = (x - 0.75 * np.cos(turn)) * 1.33, y - 0.8 * np.sin(turn)
  distance = np.hypot(dx, dy)
  radius = rng.uniform(0.06, 0.12)
  halo = np.exp(-((distance / (radius * 3)) ** 2))[..., None]
  core = np.clip((radius - distance) * 25, 0, 1)[..., None]
  warm = np.asarray([1.0, 0.85, 0.6], np.float32)
  return (0.25 * halo * warm + core).astype(np.float32)


def _blurred(frames, reach: int):
  """Averages over `reach` extra pixels to the side, as a moving camera does."""
  total = frames.copy()
  for k in range(1, reach + 1):
    total[:, :, k:] += frames[:, :, :-k]
    total[:, :, :k] += frames[:, :, :k]
  total /= reach + 1
  return total
