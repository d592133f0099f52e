"""Draws scenes of a small world of actions, to try things without any data.

A class is a motion and an object, 'Swinging Star'. The classes of pre-training,
those of the demo and those of a third set, which is never trained on, are
disjoint; but they share motions and objects, so that captions such as 'a red
star swinging' teach something about all of them.

A third word makes classes that no single frame can tell apart: 'Slowly Swinging
Star' and 'Quickly Swinging Star' look alike at any moment.

A domain is how an action is filmed. bright: a fixed camera in daylight. dark:
the same at night, as in ARID: a few per cent of the light, gamma, a colour
cast, sensor noise, and lamps that outshine the action. head: a head camera:
shake, roll and zoom, an arm in the way, scattered objects, motion blur and a
vignette.
"""

import dataclasses

import numpy as np

from data_pipelines import randomness
from data_pipelines.demo import paint
from data_pipelines.demo.actions import MOTIONS, SKIN, Layer, bar, layer
from data_pipelines.demo.shapes import COLOURS, OBJECTS, USUAL_COLOUR

FPS = 25
HEIGHT, WIDTH = 120, 160
DOMAINS = ('bright', 'dark', 'head')
# Increase this when a change alters the videos of a seed.
VERSION = 3
# Probability of a random colour instead of the object's usual one.
_UNUSUAL = 0.25

# Each set has each of ten motions and each of ten objects once, so that either
# of them tells the class.
_MOVES = (
    'swinging', 'bouncing', 'juggling', 'cutting', 'lifting',
    'spinning', 'rolling', 'circling', 'floating', 'throwing',
)  # fmt: skip
_THINGS = (
    'star', 'fish', 'key', 'heart', 'cup',
    'moon', 'ball', 'leaf', 'bottle', 'hammer',
)  # fmt: skip
DEMO_CLASSES = tuple(zip(_MOVES, _THINGS, strict=True))
UNSEEN_CLASSES = tuple(zip(_MOVES, _THINGS[1:] + _THINGS[:1], strict=True))
# Third word of a class -> its speed relative to the usual one.
MANNERS = {'slowly': 0.05, 'quickly': 1.5}
MOTION_CLASSES = tuple(
    (*pair, manner) for pair in DEMO_CLASSES[:5] for manner in MANNERS
)


def class_name(motion: str, thing: str, manner: str = '') -> str:
  """Returns 'Slowly Swinging Star' for 'swinging', 'star', 'slowly'."""
  return f'{manner} {motion} {thing}'.strip().title()


def pretraining_classes() -> tuple[tuple[str, str], ...]:
  """Returns all other pairs of a motion and an object."""
  kept = {*DEMO_CLASSES, *UNSEEN_CLASSES}
  pairs = [(m, o) for m in MOTIONS for o in OBJECTS]
  return tuple(pair for pair in pairs if pair not in kept)


@dataclasses.dataclass(frozen=True)
class Scene:
  """Specifies one video: everything in it follows from these values.

  They are keys of `MOTIONS`, `OBJECTS`, `COLOURS`, `DOMAINS` and `MANNERS` ('':
  the usual speed); `seed` decides all the rest.
  """

  motion: str
  thing: str
  colour: str
  domain: str
  seed: int
  manner: str = ''


def draw_scene(
    seed: int,
    index: int,
    words: tuple[str, ...],
    domain: str,
    stream: str = 'scene',
) -> Scene:
  """Draws scene number `index` of a class in a domain."""
  name = ' '.join((stream, domain, *words))
  rng = randomness.generator(seed, name, index)
  motion, thing, *manner = words
  colour = USUAL_COLOUR[thing]
  if rng.uniform() < _UNUSUAL:
    colour = str(rng.choice(list(COLOURS)))
  own = int(rng.integers(2**31))
  return Scene(motion, thing, colour, domain, own, *manner)


def render(scene: Scene, frames: np.ndarray | range) -> np.ndarray:
  """Renders frames of a scene: uint8 [T, HEIGHT, WIDTH, 3], RGB.

  Frame numbers are at `FPS` per second, in any order. Except for the sensor's
  noise, a frame does not depend on which others are rendered.
  """
  t = np.asarray(frames, np.float32) / FPS
  camera, world, colour = _staged(scene, t)
  wall, turn = paint.background(_rng(scene, 'wall'), 2 * HEIGHT)
  drawn = paint.look(wall, turn, camera, HEIGHT, WIDTH)
  paint.paint(drawn, paint.seen(world, camera), colour)
  hand = _front(scene.domain, _rng(scene, 'front'), t)
  paint.paint(drawn, hand, colour)
  return _expose(
      scene.domain, _rng(scene, 'expose'), _rng(scene, 'noise'), drawn
  )


def portrait(scene: Scene, frames: np.ndarray, side: int) -> np.ndarray:
  """Renders a square around the object: uint8 [T, side, side, 3].

  The square is centred on the object in the first frame, but stays inside the
  frame. `side` 0 = the whole frame.
  """
  drawn = render(scene, frames)
  if not side:
    return drawn
  camera, world, _ = _staged(scene, np.asarray(frames[:1], np.float32) / FPS)
  layers = paint.seen(world, camera)
  actor = next(layer for layer in layers if layer.colour is None)
  x = float(actor.x[0]) * HEIGHT / 2 + WIDTH / 2
  y = float(actor.y[0]) * HEIGHT / 2 + HEIGHT / 2
  left = int(np.clip(x - side / 2, 0, WIDTH - side))
  top = int(np.clip(y - side / 2, 0, HEIGHT - side))
  return drawn[:, top : top + side, left : left + side]


def _staged(scene: Scene, t: np.ndarray):
  """(camera, layers in the world back to front, colour of the object)."""
  camera = _camera(scene.domain, _rng(scene, 'camera'), t)
  stage = _rng(scene, 'stage')
  colour = np.asarray(COLOURS[scene.colour])
  colour = np.clip(colour + stage.uniform(-0.06, 0.06, 3), 0, 1)
  x, y = stage.uniform(-0.2, 0.2), stage.uniform(-0.1, 0.1)
  scale, size = stage.uniform(0.68, 0.85), stage.uniform(0.38, 0.46)
  moved = t * MANNERS.get(scene.manner, 1.0)
  rng = _rng(scene, 'action')
  action = MOTIONS[scene.motion](rng, moved, scene.thing, size)
  world = _clutter(scene.domain, _rng(scene, 'clutter'), t)
  return camera, world + paint.place(action, x, y, scale), colour


def _rng(scene: Scene, stream: str) -> np.random.Generator:
  return randomness.generator(scene.seed, stream)


def _camera(domain: str, rng, t: np.ndarray) -> paint.Camera:
  still = np.zeros(t.shape, np.float32)
  if domain != 'head':
    return paint.Camera(still, still, still, still + 1)
  return paint.Camera(
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


def _clutter(domain: str, rng, t: np.ndarray) -> list[Layer]:
  """Things in the world, behind the action, that take no part in it."""
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


def _front(domain: str, rng, t: np.ndarray) -> list[Layer]:
  """Things between camera and action, in coordinates of the frame."""
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


def _expose(domain: str, rng, noise, frames: np.ndarray) -> np.ndarray:
  """Simulates the sensor: float32 [T, H, W, 3] in [0, 1] -> uint8.

  `rng` draws the exposure, the same for every frame, `noise` the noise.
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
  # Noise from a table of 256 values: 5 times cheaper than a normal draw for
  # each value.
  table = noise.normal(0, grain, 256).astype(np.float32)
  draws = np.frombuffer(noise.bytes(frames.size), np.uint8)
  frames += table[draws.reshape(frames.shape)]
  return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)


def _glow(rng, x, y):
  """Draws a lamp away from the middle: a small white core in a warm halo."""
  turn = rng.uniform(0, 2 * np.pi)
  dx, dy = (x - 0.75 * np.cos(turn)) * 1.33, y - 0.8 * np.sin(turn)
  distance = np.hypot(dx, dy)
  radius = rng.uniform(0.06, 0.12)
  halo = np.exp(-((distance / (radius * 3)) ** 2))[..., None]
  core = np.clip((radius - distance) * 25, 0, 1)[..., None]
  warm = np.asarray([1.0, 0.85, 0.6], np.float32)
  return (0.25 * halo * warm + core).astype(np.float32)


def _blurred(frames, reach: int):
  """Blurs over `reach` pixels to one side, like a moving camera."""
  total = frames.copy()
  for k in range(1, reach + 1):
    total[:, :, k:] += frames[:, :, :-k]
    total[:, :, :k] += frames[:, :, :k]
  total /= reach + 1
  return total
