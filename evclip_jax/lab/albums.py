"""Draws albums of clips for pre-training, and crops them as in training."""

import dataclasses
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from data_pipelines import randomness
from data_pipelines.demo import scenes
from data_pipelines.video import pool

# The training pipeline stretches clips of 120 x 160 pixels to 256 x 340, of
# which it crops 224 x 224.
_STRETCH = (256 / 120, 340 / 160)
CROP_PIXELS = 224
# Distance between the frames of a clip, in frames of the video.
_FRAME_STEP = 5


@dataclasses.dataclass(frozen=True)
class Album:
  """Holds N scenes of the pre-training classes, and their images on disk.

  `images` are uint8 [N, T, H, W, 3].
  """

  scenes: list[scenes.Scene]
  images: np.ndarray

  def batches(
      self, seed: int, batch_size: int, steps: int
  ) -> Iterator[tuple[list[scenes.Scene], np.ndarray]]:
    """Yields B scenes and uint8 [B, T, H, W, 3], shuffled in every epoch."""
    per_epoch = len(self.scenes) // batch_size
    for step in range(steps):
      epoch, n = divmod(step, per_epoch)
      if n == 0:
        rng = randomness.generator(seed, 'album order', epoch)
        order = rng.permutation(len(self.scenes))
      # In the order on disk, which is read faster.
      rows = np.sort(order[n * batch_size : (n + 1) * batch_size])
      yield [self.scenes[r] for r in rows], self.images[rows]


def make_album(
    stream: str,
    seed: int,
    domains: tuple[str, ...],
    count: int,
    folder: pathlib.Path,
    portrait_pixels: int = 0,
    frames: int = 1,
    workers: int = 0,
) -> Album:
  """Draws an album, or opens one that was drawn before and kept in `folder`.

  Other streams and seeds have other scenes; all domains are equally likely. The
  T frames of a clip are as far apart as 8 frames of a demo's video. For
  `portrait_pixels` see `scenes.portrait`.
  """
  classes = scenes.pretraining_classes()
  rng = randomness.generator(seed, stream)
  which = rng.integers(len(classes), size=count)
  where = rng.integers(len(domains), size=count)
  own = randomness.fold(seed, stream)
  drawn = [
      scenes.draw_scene(own, n, classes[which[n]], domains[where[n]])
      for n in range(count)
  ]
  starts = randomness.generator(seed, f'{stream} start').integers(0, 64, count)
  times = starts[:, None] + _FRAME_STEP * np.arange(frames)
  side = portrait_pixels or scenes.HEIGHT
  name = f'{stream}-{seed}-{count}x{frames}x{side}-v{scenes.VERSION}.npy'
  path = folder / name
  if not path.exists():
    folder.mkdir(parents=True, exist_ok=True)
    half_done = path.with_suffix('.partial')
    shape = (count, frames, side, portrait_pixels or scenes.WIDTH, 3)
    images = np.lib.format.open_memmap(half_done, 'w+', np.uint8, shape)
    tasks = [(*x, portrait_pixels) for x in zip(drawn, times, strict=True)]
    made = pool.run_all(scenes.portrait, tasks, workers)
    for n, image in enumerate(tqdm.tqdm(made, 'draw', count, mininterval=1)):
      images[n] = image
    images.flush()
    half_done.rename(path)
  return Album(drawn, np.load(path, mmap_mode='r'))


def view(
    images: jax.Array, rng: jax.Array | None, side: int = CROP_PIXELS
) -> jax.Array:
  """Stretches as the training pipeline does and crops, one crop per clip.

  uint8 [B, T, H, W, 3] -> float32 [B, T, side, side, 3] in 0..255. The key
  draws the crops and which half of the clips is mirrored; None = the middle,
  not mirrored.
  """
  batch, _, *sides, _ = images.shape
  grids = []
  for axis, (stretch, here) in enumerate(zip(_STRETCH, sides, strict=True)):
    spare = round(here * stretch) - side
    offset = jnp.full((batch,), spare // 2)
    if rng is not None:
      key = jax.random.fold_in(rng, axis)
      offset = jax.random.randint(key, (batch,), 0, spare + 1)
    where = (offset[:, None] + jnp.arange(side) + 0.5) / stretch
    if rng is not None and axis == 1:
      mirror = jax.random.bernoulli(jax.random.fold_in(rng, 2), 0.5, (batch, 1))
      where = jnp.where(mirror, here - where, where)
    grids.append(_weights(where - 0.5, here))
  x = images.astype(jnp.float32)
  x = jnp.einsum('bih,bthwc->btiwc', grids[0], x)
  x = jnp.einsum('bjw,btiwc->btijc', grids[1], x)
  return jnp.clip(x, 0, 255)


def _weights(where: jax.Array, side: int) -> jax.Array:
  """Returns cubic weights (a = -0.75) at points [B, n] -> [B, n, side]."""
  distance = jnp.abs(where[..., None] - jnp.arange(side))
  near = (1.25 * distance - 2.25) * distance**2 + 1
  far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
  weights = jnp.where(distance <= 1, near, jnp.where(distance < 2, far, 0))
  # Taps outside of the border should count for the last pixel; to share them
  # among all differs by less than a grey level.
  return weights / weights.sum(axis=-1, keepdims=True)
