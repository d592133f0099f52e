"""A small drawn world of actions, for trying things without any data.

A class is a motion and an object, 'Swinging Star'. The classes that pre-train
the packaged networks, those of the demo, and a third set kept for tests on
classes never trained on are disjoint; they share motions and objects, so that
a caption such as 'a red star swinging' has something to say about all of them.
"""

import dataclasses

import numpy as np

from data_pipelines import randomness
from data_pipelines.demo import paint, views
from data_pipelines.demo.actions import MOTIONS
from data_pipelines.demo.shapes import COLOURS, OBJECTS, USUAL_COLOUR

FPS = 25
HEIGHT, WIDTH = 120, 160
DOMAINS = views.DOMAINS

# How often an object has any colour instead of its usual one.
_UNUSUAL = 0.25
# Raise this when a change makes other pictures from the same seed.
VERSION = 3


def class_name(motion: str, thing: str) -> str:
  """'swinging', 'star' -> 'Swinging Star'."""
  return f'{motion} {thing}'.title()


# Each set has every one of ten motions and of ten objects once, so that what
# moves and how it moves both tell the class.
DEMO_CLASSES: tuple[tuple[str, str], ...] = (
    ('swinging', 'star'),
    ('bouncing', 'fish'),
    ('juggling', 'key'),
    ('cutting', 'heart'),
    ('lifting', 'cup'),
    ('spinning', 'moon'),
    ('rolling', 'ball'),
    ('circling', 'leaf'),
    ('floating', 'bottle'),
    ('throwing', 'hammer'),
)
UNSEEN_CLASSES: tuple[tuple[str, str], ...] = (
    ('swinging', 'fish'),
    ('bouncing', 'key'),
    ('juggling', 'heart'),
    ('cutting', 'cup'),
    ('lifting', 'moon'),
    ('spinning', 'ball'),
    ('rolling', 'leaf'),
    ('circling', 'bottle'),
    ('floating', 'hammer'),
    ('throwing', 'star'),
)


def pretraining_classes() -> tuple[tuple[str, str], ...]:
  """All other pairs of a motion and an object."""
  kept = {*DEMO_CLASSES, *UNSEEN_CLASSES}
  pairs = [(m, o) for m in MOTIONS for o in OBJECTS]
  return tuple(pair for pair in pairs if pair not in kept)


@dataclasses.dataclass(frozen=True)
class Scene:
  """One film to be: everything in it follows from these values.

  Attributes:
    motion: a key of `MOTIONS`.
    thing: a key of `OBJECTS`.
    colour: a key of `COLOURS`, the object's.
    domain: one of `DOMAINS`.
    seed: seeds all that is not named above.
  """

  motion: str
  thing: str
  colour: str
  domain: str
  seed: int


def draw_scene(
    seed: int,
    index: int,
    pair: tuple[str, str],
    domain: str,
    stream: str = 'scene',
) -> Scene:
  """Scene number `index` of a class in a domain, a function of its arguments.

  Scenes of other seeds, numbers or streams are other scenes.
  """
  name = f'{stream} {domain} {pair[0]} {pair[1]}'
  rng = randomness.generator(seed, name, index)
  colour = USUAL_COLOUR[pair[1]]
  if rng.uniform() < _UNUSUAL:
    colour = str(rng.choice(list(COLOURS)))
  return Scene(*pair, colour, domain, int(rng.integers(2**31)))


def render(
    scene: Scene,
    frames: np.ndarray | range,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> np.ndarray:
  """The pictures of a scene.

  Args:
    scene: what to draw.
    frames: [T] frame numbers at `FPS` frames per second, in any order. A
      frame's picture does not depend on which others are asked for, up to the
      sensor's noise.
    height, width: in pixels.

  Returns:
    uint8 [T, height, width, 3], RGB.
  """
  t = np.asarray(frames, np.float32) / FPS
  camera, world, colour = _staged(scene, t)
  wall, turn = paint.background(_rng(scene, 'wall'), 2 * height)
  pictures = paint.look(wall, turn, camera, height, width)
  paint.paint(pictures, paint.seen(world, camera), colour)
  hand = views.front(scene.domain, _rng(scene, 'front'), t)
  paint.paint(pictures, hand, colour)
  return views.expose(
      scene.domain, _rng(scene, 'expose'), _rng(scene, 'noise'), pictures
  )


def _rng(scene: Scene, stream: str) -> np.random.Generator:
  return randomness.generator(scene.seed, stream)


def _staged(scene: Scene, t: np.ndarray):
  """The camera, the layers in the world back to front, the actor's colour."""
  camera = views.camera_of(scene.domain, _rng(scene, 'camera'), t)
  stage = _rng(scene, 'stage')
  colour = np.asarray(COLOURS[scene.colour])
  colour = np.clip(colour + stage.uniform(-0.06, 0.06, 3), 0, 1)
  x, y = stage.uniform(-0.2, 0.2), stage.uniform(-0.1, 0.1)
  scale, size = stage.uniform(0.68, 0.85), stage.uniform(0.38, 0.46)
  action = MOTIONS[scene.motion](_rng(scene, 'action'), t, scene.thing, size)
  world = views.clutter(scene.domain, _rng(scene, 'clutter'), t)
  return camera, world + paint.place(action, x, y, scale), colour


def portrait(scene: Scene, frame: int, side: int) -> np.ndarray:
  """A square cut around the object from one picture of a scene.

  Args:
    scene: what to draw.
    frame: its frame number.
    side: in pixels, at most `HEIGHT`; the square stays inside the picture.

  Returns:
    uint8 [1, side, side, 3].
  """
  camera, world, _ = _staged(scene, np.asarray([frame], np.float32) / FPS)
  layers = paint.seen(world, camera)
  actor = next(layer for layer in layers if layer.colour is None)
  x = float(actor.x[0]) * HEIGHT / 2 + WIDTH / 2
  y = float(actor.y[0]) * HEIGHT / 2 + HEIGHT / 2
  left = int(np.clip(x - side / 2, 0, WIDTH - side))
  top = int(np.clip(y - side / 2, 0, HEIGHT - side))
  picture = render(scene, [frame])
  return picture[:, top : top + side, left : left + side]


def render_many(scenes: list[Scene], frames: list[np.ndarray]) -> np.ndarray:
  """Renders scenes, each at its own frame numbers.

  Args:
    scenes: B scenes.
    frames: B arrays [T].

  Returns:
    uint8 [B, T, HEIGHT, WIDTH, 3].
  """
  return np.stack(
      [render(s, f) for s, f in zip(scenes, frames, strict=True)]
  )


def portrait_many(
    scenes: list[Scene], frames: list[np.ndarray], side: int
) -> np.ndarray:
  """Portraits of scenes at their first frame number: uint8 [B, 1, ...]."""
  return np.stack(
      [portrait(s, f[0], side) for s, f in zip(scenes, frames, strict=True)]
  )
