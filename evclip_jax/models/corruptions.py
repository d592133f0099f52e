"""Corrupts frames on the device: several kinds, each with five severities.

The severity is an argument of the compiled function. Random choices depend only
on the seed and on the clip's pixels: a clip gets the same noise in every list,
in every batch and at every severity, so severities can be compared.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.views.view import squares

SEVERITIES = (1, 2, 3, 4, 5)
# Sizes below are in pixels of frames of this side, as CLIP gets them.
_SIDE = 224
# The luminance table of the JPEG standard (ITU-T T.81, annex K.1).
_JPEG = np.float32([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip


def apply(
    kind: str,
    frames: jax.Array,
    severity: jax.Array | int,
    seed: int,
    side: int = 0,
) -> jax.Array:
  """Corrupts clips.

  Args:
    kind: a key of `KINDS`.
    frames: uint8 [..., T, H, W, 3].
    severity: int scalar 1..5, or 0 to leave the frames as they are; may be
      traced.
    seed: of the random choices.
    side: of CLIP's square if frames hold two squares (`views.view.squares`).

  Returns:
    uint8, the same shape.
  """
  if side and frames.shape[-3] > frames.shape[-2]:
    for own, place in zip(squares(frames, side), (0, side), strict=True):
      worse = apply(kind, own, severity, seed)
      start = *(0,) * (frames.ndim - 3), place, 0, 0
      frames = jax.lax.dynamic_update_slice(frames, worse, start)
    return frames
  corrupt = KINDS[kind]
  key = jax.random.key(randomness.fold(seed, f'corrupt/{kind}'))
  clips = frames.reshape(-1, *frames.shape[-4:])

  def one(clip):
    x = corrupt(
        clip.astype(jnp.float32) / 255,
        severity,
        jax.random.fold_in(key, _fingerprint(clip)),
    )
    return jnp.clip(jnp.round(255 * x), 0, 255).astype(jnp.uint8)

  worse = jax.vmap(one)(clips).reshape(frames.shape)
  return jnp.where(jnp.asarray(severity) > 0, worse, frames)


def parse(text: str, key: str = 'data.corrupt') -> tuple[str, int]:
  """Reads a kind and a severity, such as 'darken:3'.

  Raises:
    UserError: an unknown kind or severity; `key` is the key to change.
  """
  kind, _, severity = text.partition(':')
  check_kind(kind, f'{key}={text}')
  if severity not in map(str, SEVERITIES):
    raise UserError(
        f'{key}={text}: wanted KIND:SEVERITY with a severity of 1 to 5, such '
        f'as {kind}:3.'
    )
  return kind, int(severity)


def check_kind(kind: str, given: str):
  """Raises UserError for an unknown kind; `given` is what the user wrote."""
  if kind not in KINDS:
    raise UserError(
        f'{given}: there is no corruption {kind!r}. Use one of '
        f'{", ".join(KINDS)}.'
    )


@dataclasses.dataclass(frozen=True)
class Corrupted:
  """Replaces a `Method.pixels`; corrupts frames in scoring, not in training.

  Attributes:
    pixels: the method's own.
    corruption: kind and severity for `parse`, such as 'darken:3'.
    seed, side: see `apply`.
  """

  pixels: Callable
  corruption: str
  seed: int
  side: int = 0

  def __call__(self, frames, rng):
    """Returns the method's pixels; a key `rng` means training."""
    return self.pixels(self.frames(frames) if rng is None else frames, rng)

  def frames(self, frames: jax.Array) -> jax.Array:
    """Returns corrupted frames, uint8 [B, T, H, W, 3]."""
    kind, severity = parse(self.corruption)
    return apply(kind, frames, severity, self.seed, self.side)


def darken(x, severity, key):
  """Darkens and adds the noise of a sensor.

  Linear light Y (gamma 2.2) is multiplied by a gain of 0.4 to 0.025; photons
  and readout add noise of variance a Y + b^2.

  Source: A. Foi et al., Practical Poissonian-Gaussian noise modeling, 2008.
  """
  gain = _level(severity, 1, 0.4, 0.2, 0.1, 0.05, 0.025)
  light = gain * x**2.2
  spread = jnp.sqrt(2e-4 * light + 1e-3**2)
  light += spread * jax.random.normal(key, x.shape)
  return jnp.maximum(light, 0) ** (1 / 2.2)


def blur(x, severity, key):
  """Blurs with a Gaussian of sigma 1 to 8 pixels in 224."""
  del key
  sigma = _level(severity, 0, 1, 2, 3.5, 5.5, 8)

  def matrix(size):
    far = jnp.arange(size)[:, None] - jnp.arange(size)
    kernel = jnp.exp(-0.5 * (far / jnp.maximum(sigma * size / _SIDE, 0.1)) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)

  return _mixed(x, matrix(x.shape[1]), matrix(x.shape[2]))


def shake(x, severity, key):
  """Moves each frame independently, by at most 2 to 18 % of the side."""
  most = _level(severity, 0, 0.02, 0.04, 0.07, 0.12, 0.18)
  move = most * jax.random.uniform(key, (len(x), 2), minval=-1, maxval=1)
  return jax.vmap(_window, (0, 0, None))(x, move, 1.0)


def head_camera(x, severity, key):
  """Zooms in 1.15 to 2 times, and sways like the view of a walking person.

  The view moves slowly, further sideways than up and down, as far as the frame
  allows.
  """
  zoom = _level(severity, 1, 1.15, 1.3, 1.5, 1.75, 2)
  room = 0.5 * (1 - 1 / zoom)
  phase = jax.random.uniform(key, (2,), maxval=2 * jnp.pi)
  # Steps go up and down twice while the head turns once.
  turns = jnp.arange(len(x))[:, None] / len(x) * jnp.array([2, 1])
  sway = room * jnp.array([0.5, 1]) * jnp.sin(2 * jnp.pi * turns + phase)
  return jax.vmap(_window, (0, 0, None))(x, sway, 1 / zoom)


def occlude(x, severity, key):
  """Covers a random square of 10 to 50 % of the area with grey."""
  side = jnp.sqrt(_level(severity, 0, 0.1, 0.2, 0.3, 0.4, 0.5))
  top, left = (1 - side) * jax.random.uniform(key, (2,))

  def covered(start, size):
    place = (jnp.arange(size) + 0.5) / size
    return (place >= start) & (place < start + side)

  hidden = covered(top, x.shape[1])[:, None] & covered(left, x.shape[2])
  return jnp.where(hidden[None, :, :, None], 0.5, x)


def compress(x, severity, key):
  """Quantises the cosine transform of 8 x 8 pixels, as JPEG does.

  Steps are 1.5 to 20 times those of the standard's table.

  Source: ITU-T T.81.
  Differs: colours are neither converted nor halved; no entropy coding.
  """
  del key
  steps = _level(severity, 1, 1.5, 3, 6, 11, 20) * _JPEG / 255
  frames, height, width, _ = x.shape
  pad = ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0))
  blocks = jnp.pad(x - 0.5, pad, mode='edge')
  blocks = blocks.reshape(frames, -(-height // 8), 8, -(-width // 8), 8, 3)
  k = np.arange(8)
  cosines = np.cos(np.pi * k[:, None] * (k + 0.5) / 8) / 2
  cosines[0] /= np.sqrt(2)
  waves = jnp.einsum('ui,vj,thiwjc->thuwvc', cosines, cosines, blocks)
  grid = steps[:, None, :, None]
  waves = grid * jnp.round(waves / grid)
  blocks = jnp.einsum('ui,vj,thuwvc->thiwjc', cosines, cosines, waves)
  out = 0.5 + blocks.reshape(frames, height + pad[1][1], width + pad[2][1], 3)
  return out[:, :height, :width]


def low_resolution(x, severity, key):
  """Averages squares of 2 to 16 pixels in 224, then interpolates linearly."""
  del key
  size = _level(severity, 1, 2, 4, 7, 11, 16)

  def matrix(side):
    # A square is at least one pixel.
    width = jnp.maximum(size * side / _SIDE, 1)
    squares = jnp.arange(side)
    middle = (squares + 0.5) / width  # of each pixel, in squares
    inside = (jnp.floor(middle)[:, None] == squares).astype(jnp.float32)
    average = inside / jnp.maximum(inside.sum(axis=0), 1)
    place = jnp.clip(middle - 0.5, 0, jnp.floor(middle[-1]))
    near = jnp.maximum(1 - jnp.abs(place[:, None] - squares), 0)
    return near @ average.T

  return _mixed(x, matrix(x.shape[1]), matrix(x.shape[2]))


def drop_frames(x, severity, key):
  """Replaces 20 to 90 % of the frames by the last frame that is kept."""
  share = _level(severity, 0, 0.2, 0.4, 0.6, 0.75, 0.9)
  kept = jax.random.uniform(key, (len(x),)) >= share
  place = jnp.where(kept.at[0].set(True), jnp.arange(len(x)), 0)
  return x[jax.lax.cummax(place)]


KINDS = {
    f.__name__: f
    for f in (
        darken, blur, shake, head_camera, occlude, compress, low_resolution,
        drop_frames,
    )
}  # fmt: skip


def _level(severity, *values) -> jax.Array:
  """Looks up the strength at a severity, 0 to 5."""
  return jnp.asarray(values, jnp.float32)[severity]


def _mixed(x, rows: jax.Array, columns: jax.Array) -> jax.Array:
  """Multiplies rows and columns of frames [..., H, W, 3] by matrices."""
  return jnp.einsum(
      'ai,bj,...ijc->...abc', rows, columns, x, precision='highest'
  )


def _window(frame, move: jax.Array, scale) -> jax.Array:
  """Enlarges a part of a frame: `scale` of its size, `move` off its centre."""

  def matrix(size, offset):
    wanted = (jnp.arange(size) + 0.5 - size / 2) * scale + size / 2 - 0.5
    wanted = jnp.clip(wanted + offset * size, 0, size - 1)
    return jnp.maximum(1 - jnp.abs(wanted[:, None] - jnp.arange(size)), 0)

  height, width, _ = frame.shape
  return _mixed(frame, matrix(height, move[0]), matrix(width, move[1]))


def _fingerprint(clip: jax.Array) -> jax.Array:
  """Hashes pixels; the order of sums does not matter to whole numbers."""
  flat = clip.reshape(-1).astype(jnp.uint32)
  weights = jnp.arange(flat.size, dtype=jnp.uint32) * np.uint32(2654435761) + 1
  return (flat * weights).sum(dtype=jnp.uint32)
