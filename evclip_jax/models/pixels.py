"""Processes clips on the device: normalises, changes colours, reshapes."""

import jax
import jax.numpy as jnp
import numpy as np

# Of red, green and blue in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# Choices of a method's setting `pixels`.
CONSTANTS = {
    'imagenet': (IMAGENET_MEAN, IMAGENET_STD),
    'clip': (CLIP_MEAN, CLIP_STD),
}
# Choices of `per` in `random_colours`.
JITTERS = ('frame', 'clip', 'none')
# The numbers in the `order` of `change_colours`.
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


def normalise(
    frames: jax.Array,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> jax.Array:
  """Computes (x / 255 - mean) / std.

  Args:
    frames: [..., 3] in 0..255, uint8 or float.
    mean, std: of red, green and blue in [0, 1].

  Returns:
    float32, the same shape.

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: always divides by 255; the original does not if no value is more
    than 1, that is if the clip is black.
  """
  x = frames.astype(jnp.float32) / np.float32(255)
  return (x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def fold_time(x: jax.Array) -> jax.Array:
  """Reshapes [B, T, ...] to [B * T, ...]."""
  return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def unfold_time(x: jax.Array, num_frames: int) -> jax.Array:
  """Reshapes [B * T, ...] to [B, T, ...]."""
  return x.reshape(-1, num_frames, *x.shape[1:])


def patches(images: jax.Array, side: int) -> jax.Array:
  """Cuts [n, H, W, C] into [n, N, side * side * C], row by row."""
  n, rows, columns, colours = images.shape
  h, w = rows // side, columns // side
  x = images.reshape(n, h, side, w, side, colours)
  return x.swapaxes(2, 3).reshape(n, h * w, -1)


def draw_colours(
    rng: jax.Array,
    shape: tuple[int, ...],
    strengths: tuple[float, float, float, float],
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Draws the arguments (factors, hue, order) of `change_colours`.

  Args:
    rng: the key.
    shape: leading axes; one change is drawn for each entry.
    strengths: s of brightness, contrast, saturation and hue. The three factors
      are in 1 - s .. 1 + s, the hue shift is in -s .. s, the order is random.

  Source: torchvision.transforms.ColorJitter.
  Differs: jax.random draws the numbers.
  """
  keys = jax.random.split(rng)
  strength = jnp.asarray(strengths, jnp.float32)
  drawn = strength * jax.random.uniform(keys[0], (*shape, 4), minval=-1)
  order = jax.random.uniform(keys[1], (*shape, 4)).argsort(-1)
  return 1 + drawn[..., :_HUE], drawn[..., _HUE], order


def change_colours(
    frames: jax.Array, factors: jax.Array, hue: jax.Array, order: jax.Array
) -> jax.Array:
  """Changes brightness, contrast, saturation and hue of frames.

  Args:
    frames: float [..., H, W, 3] in 0..1; the other leading axes broadcast.
    factors: [..., 3] of brightness, contrast and saturation; 1 = no change.
    hue: [...], shift in turns of the colour circle.
    order: int [..., 4], in which the four are applied.

  Source: torchvision.transforms.ColorJitter; CLIP-FSAR,
    datasets/utils/transformations.py, ColorJitter.
  Differs: computes in floats; Pillow rounds after each of the four.
  """
  place = (order == _HUE).argmax(-1)  # [...]

  def blend(x, step, wanted):
    kind = order[..., step]
    index = jnp.minimum(kind, _SATURATION)[..., None]
    factor = jnp.take_along_axis(factors, index, -1)[..., 0]
    # A factor of 1 changes nothing.
    factor = _over_pixels(jnp.where(wanted & (kind != _HUE), factor, 1))
    kind, light = _over_pixels(kind), luma(x)
    other = jnp.where(
        kind == _CONTRAST, light.mean((-3, -2), keepdims=True), light
    )
    other = jnp.where(kind == _BRIGHTNESS, 0, other)
    return jnp.clip(factor * x + (1 - factor) * other, 0, 1)

  x = frames
  # Turning the hue costs most, so it is done once, between the others.
  for step in range(3):
    x = blend(x, step, step < place)
  x = turn_hue(x, hue)
  for step in range(1, 4):
    x = blend(x, step, step > place)
  return x


def luma(frames: jax.Array) -> jax.Array:
  """Returns the lightness [..., H, W, 1] of [..., H, W, 3]."""
  red, green, blue = _planes(frames)
  return (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]


def turn_hue(frames: jax.Array, shift: jax.Array) -> jax.Array:
  """Turns the colour circle of HSV by `shift` [...], in turns."""
  red, green, blue = _planes(frames)
  most = jnp.maximum(jnp.maximum(red, green), blue)
  span = most - jnp.minimum(jnp.minimum(red, green), blue)
  scale = 1 / jnp.where(span > 0, span, 1)
  r, g, b = ((most - colour) * scale for colour in (red, green, blue))
  # The position within the third of the circle around the greatest colour, in
  # sixths. Colours are not compared with `most`: a compiler may round the same
  # colour differently there.
  angle = jnp.where(
      (red >= green) & (red >= blue),
      b - g,
      jnp.where(green >= blue, 2 + r - b, 4 + g - r),
  )
  angle += 6 * shift[..., None, None]

  def colour(corner):
    k = angle + corner
    k -= 6 * jnp.floor(k / 6)
    return most - span * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

  return jnp.stack([colour(5), colour(3), colour(1)], axis=-1)


def random_colours(
    frames: jax.Array, rng: jax.Array, per: str = 'frame'
) -> jax.Array:
  """Changes the colours of 4 clips in 5, then makes 1 clip in 5 grey.

  Args:
    frames: [B, T, H, W, 3] in 0..255.
    rng: the key.
    per: whether a change is drawn for each 'frame' or 'clip'; 'none' changes no
      colours but makes clips grey.

  Returns:
    float32 in 0..255.

  Source: EZ-CLIP, utils/Augmentation.py: ColorJitter(0.4, 0.4, 0.2, 0.1);
    ViFi-CLIP, datasets/pipeline.py, likewise.
  Differs: see `change_colours`; drawing per clip is an addition.
  """
  keys = jax.random.split(rng, 3)
  x = frames.astype(jnp.float32) / 255
  clips = (len(x), 1)

  def some(key, share):
    return _over_pixels(jax.random.bernoulli(key, share, clips))

  if per != 'none':
    shape = x.shape[:2] if per == 'frame' else clips
    change = draw_colours(keys[0], shape, (0.4, 0.4, 0.2, 0.1))
    x = jnp.where(some(keys[1], 0.8), change_colours(x, *change), x)
  return 255 * jnp.where(some(keys[2], 0.2), luma(x), x)


def _planes(frames: jax.Array) -> jax.Array:
  """Moves colours to the first axis, which is faster on CPUs."""
  return jnp.moveaxis(frames, -1, 0)


def _over_pixels(x: jax.Array) -> jax.Array:
  return x[..., None, None, None]
