"""Pre-trains the tiny video trunk by naming what is drawn.

Like Omnivore, which learnt from images and videos of many kinds, this trunk
learns from all three domains: first from close-ups, as videos that stand still,
then from videos of the whole scene. Two linear heads, which are thrown away,
name the object and the motion from the mean of its features. No video shows a
class of the demo.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data_pipelines.demo import scenes
from evclip_jax.lab import albums
from evclip_jax.lab.recipe import SEED, Recipe, principal_filters, train
from evclip_jax.models import pixels
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.swin3d.trunk import PATCH, VideoEncoder

STILL = Recipe(images=24000, steps=600, batch_size=32, learning_rate=2e-3)
MOVING = Recipe(images=8000, steps=800, batch_size=16, learning_rate=1e-3)
_FRAMES = 4

# With windows of 2 x 7 x 7, temporal shifts carry motion from pair to pair, and
# attention costs half of what the published depth of 8 would.
SIZES = VideoEncoderSizes(16, (1, 1, 2, 2), (1, 2, 4, 8), window=(2, 7, 7))

# Sides of the close-ups and of their crops, which are half of the demo's.
_PORTRAIT, _SIDE = 64, 112
# Weight of the motion's loss for close-ups, which hardly show it.
_MOTION_WEIGHT = 0.3


def pretrain(
    steps: int, folder: pathlib.Path
) -> tuple[VideoEncoderSizes, dict[str, Any]]:
  """Trains the trunk; returns its sizes and float32 params['encoder']."""
  motions, things = list(scenes.MOTIONS), list(scenes.OBJECTS)
  still, moving = STILL.shorter(steps), MOVING.shorter(steps)
  close_ups = albums.make_album(
      'portraits', SEED, scenes.DOMAINS, still.images, folder, _PORTRAIT
  )
  encoder = VideoEncoder(SIZES)
  trunk = jax.jit(encoder.init)(jax.random.key(SEED))
  trunk['patch_embed']['proj'] = _first_filters(close_ups.images)
  params = {
      'encoder': trunk,
      'motion': jnp.zeros((SIZES.channels, len(motions))),
      'thing': jnp.zeros((SIZES.channels, len(things))),
  }

  def labels(step, drawn):
    del step
    return {
        'motion': np.asarray([motions.index(s.motion) for s in drawn]),
        'thing': np.asarray([things.index(s.thing) for s in drawn]),
    }

  def loss(params, images, labels, rng):
    close_up = images.shape[1] == 1
    side = _SIDE if close_up else albums.CROP_PIXELS
    seen = albums.view(images, rng, side)
    seen = pixels.normalise(seen, pixels.IMAGENET_MEAN, pixels.IMAGENET_STD)
    if close_up:
      seen = jnp.repeat(seen, PATCH[0], axis=1)
    z = encoder.features(params['encoder'], seen).mean(axis=(1, 2, 3))
    costs, metrics = {}, {}
    for name, label in labels.items():
      logits = z @ params[name]
      costs[name] = optax.softmax_cross_entropy_with_integer_labels(
          logits, label
      ).mean()
      metrics[name] = (logits.argmax(axis=-1) == label).mean()
    weight = _MOTION_WEIGHT if close_up else 1.0
    total = costs['thing'] + weight * costs['motion']
    return total, {'loss': total, **metrics}

  params = train(still, close_ups, params, loss, labels)
  films = albums.make_album(
      'films', SEED, scenes.DOMAINS, moving.images, folder, 0, _FRAMES
  )
  params = train(moving, films, params, loss, labels)
  return SIZES, jax.tree.map(np.asarray, params['encoder'])


def _first_filters(images: np.ndarray) -> dict[str, jax.Array]:
  """Makes the patch projection of principal components, with black at 0."""
  seen = jax.jit(lambda p: albums.view(p, None, _SIDE))(images[:256])
  std = np.asarray(pixels.IMAGENET_STD)
  x = np.repeat(np.asarray(seen) / 255 / std, PATCH[0], axis=1)
  n, grid = len(x), _SIDE // PATCH[1]
  x = x.reshape(n, 1, PATCH[0], grid, PATCH[1], grid, PATCH[2], 3)
  x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, int(np.prod(PATCH)) * 3)
  filters = principal_filters(x[:: max(1, len(x) // 20000)], SIZES.embed, 0.02)
  black = np.tile(-np.asarray(pixels.IMAGENET_MEAN) / std, int(np.prod(PATCH)))
  return {
      'kernel': jnp.asarray(filters).reshape(*PATCH, 3, SIZES.embed),
      'bias': jnp.asarray(-(black @ filters), jnp.float32),
  }
