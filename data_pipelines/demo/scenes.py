"""A small drawn world of actions, for trying things without any data.

A class is a motion and an object, 'Swinging Star'. The classes that pre-train
the packaged networks, those of the demo, and a third set kept for tests on
classes never trained on are disjoint; they share motions and objects, so that
a caption such as 'a red star swinging' has something to say about all of them.

A third word makes classes that no single frame can tell: 'Slowly Swinging Star'
and 'Quickly Swinging Star' look alike at any moment.
"""

import dataclasses

import numpy as np

from data_pipelines import randomness
from data_pipelines.demo import domains, paint
from data_pipelines.demo.actions import MOTIONS
from data_pipelines.demo.shapes import COLOURS, OBJECTS, USUAL_COLOUR

FPS = 25
HEIGHT, WIDTH = 120, 160
DOMAINS = domains.DOMAINS
# Raise this when a change makes other videos of the same seed.
VERSION = 3
# How often an object has any colour instead of its usual one.
_UNUSUAL = 0.25

# Each set has every one of ten motions and of ten objects once, so that what
# moves and how it moves both tell the class.
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
# How much faster than usual, by the third word of a class.
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
  """One video to be: everything in it follows from these values.

  They are keys of `MOTIONS`, `OBJECTS`, `COLOURS`, `DOMAINS` and `MANNERS` ('':
  the usual speed); the seed is of all that is not named here.
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
  """Draws scene number `index` of a class in a domain.

  It depends on the arguments only; other seeds and streams give others.
  """
  name = ' '.join((stream, domain, *words))
  rng = randomness.generator(seed, name, index)
  motion, thing, *manner = words
  colour = USUAL_COLOUR[thing]
  if rng.uniform() < _UNUSUAL:
    colour = str(rng.choice(list(COLOURS)))
  own = int(rng.integers(2**31))
  return Scene(motion, thing, colour, domain, own, *manner)


def render(scene: Scene, frames: np.ndarray | range) -> np.ndarray:
  """Draws frames of a scene: uint8 [T, HEIGHT, WIDTH, 3], RGB.

  The frames are numbered at `FPS` per second and may come in any order. What
  one shows does not depend on the others, up to the sensor's noise.
  """
  t = np.asarray(frames, np.float32) / FPS
  camera, world, colour = _staged(scene, t)
  wall, turn = paint.background(_rng(scene, 'wall'), 2 * HEIGHT)
  drawn = paint.look(wall, turn, camera, HEIGHT, WIDTH)
  paint.paint(drawn, paint.seen(world, camera), colour)
  hand = domains.front(scene.domain, _rng(scene, 'front'), t)
  paint.paint(drawn, hand, colour)
  return domains.expose(
      scene.domain, _rng(scene, 'expose'), _rng(scene, 'noise'), drawn
  )


def portrait(scene: Scene, frames: np.ndarray, side: int) -> np.ndarray:
  """Draws a square around the object: uint8 [T, side, side, 3].

  The first frame says where the object is; the square stays inside the frame.
  0 = the whole frame.
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
  """The camera, the layers in the world back to front, the actor's colour."""
  camera = domains.camera_of(scene.domain, _rng(scene, 'camera'), t)
  stage = _rng(scene, 'stage')
  colour = np.asarray(COLOURS[scene.colour])
  colour = np.clip(colour + stage.uniform(-0.06, 0.06, 3), 0, 1)
  x, y = stage.uniform(-0.2, 0.2), stage.uniform(-0.1, 0.1)
  scale, size = stage.uniform(0.68, 0.85), stage.uniform(0.38, 0.46)
  moved = t * MANNERS.get(scene.manner, 1.0)
  rng = _rng(scene, 'action')
  action = MOTIONS[scene.motion](rng, moved, scene.thing, size)
  world = domains.clutter(scene.domain, _rng(scene, 'clutter'), t)
  return camera, world + paint.place(action, x, y, scale), colour


def _rng(scene: Scene, stream: str) -> np.random.Generator:
  return randomness.generator(scene.seed, stream)
