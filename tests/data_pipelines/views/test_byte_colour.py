"""Changed colours equal Pillow's, level for level."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from data_pipelines.views import byte_colour, compiled

_ENHANCERS = {
    'brightness': ImageEnhance.Brightness,
    'contrast': ImageEnhance.Contrast,
    'saturation': ImageEnhance.Color,
}


def by_pillow(frame, name, value):
  """As torchvision's ColorJitter does it."""
  picture = Image.fromarray(frame)
  if name == 'hue':
    hue, *rest = picture.convert('HSV').split()
    shifted = np.asarray(hue) + np.uint8(int(value * 255) & 255)
    picture = Image.merge('HSV', (Image.fromarray(shifted), *rest))
    return np.asarray(picture.convert('RGB'))
  return np.asarray(_ENHANCERS[name](picture).enhance(value))


def colours(step):
  """All colours whose red is a multiple of `step`, one after the other."""
  levels = np.arange(256, dtype=np.uint8)
  frame = np.empty((256, 256, 3), np.uint8)
  frame[..., 1], frame[..., 2] = levels[:, None], levels
  for red in {*range(0, 256, step), 255}:
    frame[..., 0] = red
    yield frame.copy()


@pytest.mark.parametrize(
    'name,values',
    [
        ('brightness', (0.6, 0.93, 1, 1.4)),
        ('contrast', (0.6, 0.93, 1, 1.4)),
        ('saturation', (0.8, 0.93, 1, 1.2)),
        ('hue', (-0.1, -0.004, 0, 0.003, 0.0567, 0.1)),
    ],
)
def test_every_colour_becomes_pillows(name, values):
  for value in values:
    for frame in colours(15):
      wanted = by_pillow(frame, name, value)
      byte_colour.change(frame, [(name, value)])
      np.testing.assert_array_equal(frame, wanted)


def test_steps_are_applied_in_their_order():
  generator = np.random.default_rng(0)
  orders = set()
  for _ in range(20):
    frame = generator.integers(0, 256, (9, 7, 3), np.uint8)
    steps = byte_colour.draw(generator)
    wanted = frame
    for name, value in steps:
      wanted = by_pillow(wanted, name, value)
    byte_colour.change(frame, steps)
    np.testing.assert_array_equal(frame, wanted)
    orders.add(tuple(name for name, _ in steps))
  assert len(orders) > 10


def test_grey_is_pillows():
  for frame in colours(51):
    wanted = Image.fromarray(frame).convert('L').convert('RGB')
    byte_colour.make_grey(frame)
    np.testing.assert_array_equal(frame, wanted)


def test_without_a_folder_to_write_to_it_is_compiled_each_time(monkeypatch):
  original = compiled.numba.njit

  def njit(function, cache=False, **options):
    if cache:
      raise RuntimeError('cannot cache function: no locator available')
    return original(function, **options)

  monkeypatch.setattr(compiled.numba, 'njit', njit)
  light = compiled.compiled(byte_colour._light.py_func)
  assert light(255, 255, 255) == 255
