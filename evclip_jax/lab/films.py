"""The drawn world as training data: albums of films, and how they are seen."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import randomness

# The training pipeline's reading of a clip: 120 x 160 pixels are stretched to
# 256 x 340, of which 224 x 224 are cropped.
_STRETCH = (256 / 120, 340 / 160)
CROP_PIXELS = 224
# The sampler reads 8 of 32 frames: every fourth.
STRIDE_FRAMES = 4
_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class Album:
  """A set of films of the pre-training classes.

  Attributes:
    scenes: N `data_pipelines.demo.scenes.Scene`.
    pictures: uint8 [N, T, H, W, 3], kept on disk.
  """

  scenes: list
  pictures: np.ndarray

  def batches(
      self, seed: int, batch_size: int, steps: int
  ) -> Iterator[tuple[list, np.ndarray]]:
    """Batches for so many steps, shuffled anew in every epoch.

    Args:
      seed: of the order.
      batch_size: B, at most N; the rest of an epoch is left out.
      steps: how many batches.

    Yields:
      B scenes and uint8 [B, T, H, W, 3].
    """
    per_epoch = len(self.scenes) // batch_size
    for step in range(steps):
      epoch, n = divmod(step, per_epoch)
      if n == 0:
        rng = randomness.generator(seed, 'album order', epoch)
        order = rng.permutation(len(self.scenes))
      # In the order on disk, which a memory map reads faster.
      rows = np.sort(order[n * batch_size : (n + 1) * batch_size])
      yield [self.scenes[r] for r in rows], self.pictures[rows]


def make_album(
    seed: int,
    stream: str,
    domains: tuple[str, ...],
    count: int,
    num_frames: int,
    folder: pathlib.Path,
    workers: int,
    report,
    portrait_pixels: int = 0,
) -> Album:
  """Renders an album, or opens one that was rendered before.

  Args:
    seed: of the scenes.
    stream: a name for this album; others hold other scenes.
    domains: drawn with equal chance; a name may stand several times.
    count: N films.
    num_frames: T pictures of each, `STRIDE_FRAMES` apart.
    folder: where the pictures are kept.
    workers: processes that render; the album does not depend on it.
    report: called with the number of films done.
    portrait_pixels: cut squares of this side around the object; 0 keeps the
      whole picture.

  Returns:
    The album.
  """
  from data_pipelines.demo import scenes

  drawn = _draw(seed, stream, domains, count)
  rng = randomness.generator(seed, f'{stream} start')
  starts = rng.integers(0, 64, count)
  frames = [s + STRIDE_FRAMES * np.arange(num_frames) for s in starts]
  size = (scenes.HEIGHT, scenes.WIDTH)
  if portrait_pixels:
    size = (portrait_pixels, portrait_pixels)
  name = f'{stream}-{seed}-{count}x{num_frames}x{size[0]}-v{scenes.VERSION}'
  path = folder / f'{name.replace(" ", "-")}.npy'
  if not path.exists():
    folder.mkdir(parents=True, exist_ok=True)
    half_done = path.with_suffix('.partial')
    shape = (count, num_frames, *size, 3)
    pictures = np.lib.format.open_memmap(half_done, 'w+', np.uint8, shape)
    render = scenes.render_many
    if portrait_pixels:
      render = functools.partial(scenes.portrait_many, side=portrait_pixels)
    spawn = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool:
      chunks = [slice(n, n + _CHUNK) for n in range(0, count, _CHUNK)]
      parts = pool.map(
          render, [drawn[c] for c in chunks], [frames[c] for c in chunks]
      )
      for chunk, part in zip(chunks, parts, strict=True):
        pictures[chunk] = part
        report(min(chunk.stop, count))
    pictures.flush()
    half_done.rename(path)
  return Album(drawn, np.load(path, mmap_mode='r'))


def _draw(seed, stream, domains, count):
  from data_pipelines.demo import scenes

  classes = scenes.pretraining_classes()
  rng = randomness.generator(seed, stream)
  which = rng.integers(len(classes), size=count)
  where = rng.integers(len(domains), size=count)
  own = randomness.fold(seed, stream)
  return [
      scenes.draw_scene(own, n, classes[which[n]], domains[where[n]])
      for n in range(count)
  ]


def view(
    pictures: jax.Array,
    rng: jax.Array | None,
    side: int = CROP_PIXELS,
    zoom: float = 1.0,
) -> jax.Array:
  """Stretches as the training pipeline does and crops, one crop per film.

  Args:
    pictures: [B, T, H, W, 3] uint8.
    rng: key of the crops and of mirroring half of the films; None for the
      middle, not mirrored.
    side: of the crop in pixels.
    zoom: how much larger than in the training pipeline things shall be.

  Returns:
    float32 [B, T, side, side, 3] in 0..255.
  """
  batch, _, *sides, _ = pictures.shape
  grids = []
  for axis, (stretch, here) in enumerate(zip(_STRETCH, sides, strict=True)):
    stretch *= zoom
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
  x = pictures.astype(jnp.float32)
  x = jnp.einsum('bih,bthwc->btiwc', grids[0], x)
  x = jnp.einsum('bjw,btiwc->btijc', grids[1], x)
  return jnp.clip(x, 0, 255)


def _weights(where: jax.Array, side: int) -> jax.Array:
  """Cubic interpolation (a = -0.75) at [B, n] points -> [B, n, side]."""
  distance = jnp.abs(where[..., None] - jnp.arange(side))
  near = (1.25 * distance - 2.25) * distance**2 + 1
  far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
  weights = jnp.where(distance <= 1, near, jnp.where(distance < 2, far, 0))
  # At the border the taps that fall outside count for the last pixel; sharing
  # them out instead differs by less than a grey level.
  return weights / weights.sum(axis=-1, keepdims=True)
