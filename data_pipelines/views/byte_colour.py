"""Colours of byte frames, changed as Pillow does, level for level.

Pillow's own way takes four times as long: it makes a picture of each step.
"""

import numpy as np

from data_pipelines.views.compiled import compiled


def draw(generator: np.random.Generator) -> list[tuple[str, float]]:
  """[(what to change, by how much)] in the order of application.

  Source: EZ-CLIP, utils/Augmentation.py: torchvision's ColorJitter(0.4, 0.4,
    0.2, 0.1).
  Differs: numpy draws the numbers.
  """
  steps = [
      ('brightness', generator.uniform(0.6, 1.4)),
      ('contrast', generator.uniform(0.6, 1.4)),
      ('saturation', generator.uniform(0.8, 1.2)),
      ('hue', generator.uniform(-0.1, 0.1)),
  ]
  return [steps[k] for k in generator.permutation(4)]


def change(frame: np.ndarray, steps: list[tuple[str, float]]):
  """Applies what `draw` drew to a frame, uint8 [H, W, 3], in place.

  Raises:
    ValueError: the frame does not lie in memory in one piece.

  Source: torchvision.transforms.ColorJitter on Pillow pictures.
  Differs: none.
  """
  planes = _planes(frame)
  for name, value in steps:
    factor = np.float32(value)
    if name == 'brightness':
      _blend(planes.reshape(-1), 0, factor)
    elif name == 'contrast':
      mean = int(_total_light(*planes) / planes[0].size + 0.5)
      _blend(planes.reshape(-1), mean, factor)
    elif name == 'saturation':
      _blend_with_grey(*planes, factor)
    else:
      # Bytes go round as the colour circle does.
      _turn(*planes, np.int32(value * 255))
  _put(planes, frame)


def make_grey(frame: np.ndarray):
  """Gives a frame, uint8 [H, W, 3], three equal channels of luma, in place.

  Source: Pillow, convert('L').
  Differs: none.
  """
  planes = _planes(frame)
  _blend_with_grey(*planes, np.float32(0))
  _put(planes, frame)


# Red, green and blue lie apart and no number decides what is computed, so that
# compiled loops do several pixels at once.


def _planes(frame: np.ndarray) -> np.ndarray:
  """uint8 [3, H * W]."""
  planes = np.empty((3, frame[..., 0].size), np.uint8)
  _split(frame.reshape(-1, 3, copy=False), *planes)
  return planes


def _put(planes: np.ndarray, frame: np.ndarray):
  _join(*planes, frame.reshape(-1, 3, copy=False))


@compiled
def _split(pixels, red, green, blue):
  for i in range(red.size):
    red[i], green[i], blue[i] = pixels[i, 0], pixels[i, 1], pixels[i, 2]


@compiled
def _join(red, green, blue, pixels):
  for i in range(red.size):
    pixels[i, 0], pixels[i, 1], pixels[i, 2] = red[i], green[i], blue[i]


@compiled
def _light(r, g, b):
  """Luma, rounded."""
  return (
      19595 * np.int32(r) + 38470 * np.int32(g) + 7471 * np.int32(b) + 32768
  ) >> 16


@compiled
def _total_light(red, green, blue):
  total = 0
  for i in range(red.size):
    total += _light(red[i], green[i], blue[i])
  return total


@compiled
def _mixed(one, other, share):
  """share * one + (1 - share) * other, limited, its fraction cut off."""
  mixed = np.float32(other) + share * np.float32(np.int32(one) - other)
  return np.uint8(min(max(mixed, np.float32(0)), np.float32(255)))


@compiled
def _blend(numbers, other, share):
  for i in range(numbers.size):
    numbers[i] = _mixed(numbers[i], np.int32(other), share)


@compiled
def _blend_with_grey(red, green, blue, share):
  for i in range(red.size):
    light = np.int32(_light(red[i], green[i], blue[i]))
    red[i] = _mixed(red[i], light, share)
    green[i] = _mixed(green[i], light, share)
    blue[i] = _mixed(blue[i], light, share)


@compiled
def _turn(red, green, blue, shift):
  """Turns colours by `shift` steps of the circle, by way of HSV in bytes.

  The circle has 255 steps and six parts. Where Pillow keeps single precision
  from one step to the next, so does this.
  """
  for i in range(red.size):
    r, g, b = np.int32(red[i]), np.int32(green[i]), np.int32(blue[i])
    value, least = max(r, g, b), min(r, g, b)
    hue = (_hue(r, g, b, value, least) + shift) & 255
    # Black and grey have no colour; 1 keeps them from dividing by 0.
    spread, most = np.float32(value - least), np.float32(max(value, 1))
    saturation = np.float32(np.int32(spread / most * 255.0) / 255.0)
    place = np.float32(hue) * 6.0 / 255.0
    part = np.int32(place)
    rest = np.float32(place - part)
    # Of the three numbers of a pixel one is the largest, one the smallest, and
    # one is on its way down (in odd parts of the circle) or up.
    way = rest if part & 1 else 1.0 - rest
    low = np.int32(value * (1.0 - saturation) + 0.5)
    middle = np.int32(value * (1.0 - saturation * way) + 0.5)
    red[i] = _channel(part, value, middle, low)
    green[i] = _channel(part + 4, value, middle, low)
    blue[i] = _channel(part + 2, value, middle, low)


@compiled
def _hue(r, g, b, value, least):
  """Steps of the circle; 0 for grey."""
  is_red, is_green = r == value, g == value
  before = b if is_red else (r if is_green else g)
  behind = g if is_red else (b if is_green else r)
  start = 0.0 if is_red else (2.0 if is_green else 4.0)
  spread = np.float32(max(value - least, 1))
  sixths = np.float32(
      start
      + np.float32(value - before) / spread
      - np.float32(value - behind) / spread
  )
  turns = sixths / 6.0 + 1.0
  return np.int32(np.float32(turns - np.int32(turns)) * 255.0)


@compiled
def _channel(part, value, middle, low):
  """Red in this part of the circle; the other colours are parts ahead."""
  part = np.uint32(part) % np.uint32(6)
  is_high, is_middle = (part == 0) | (part == 5), (part == 1) | (part == 4)
  return value if is_high else (middle if is_middle else low)
