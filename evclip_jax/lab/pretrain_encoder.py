"""Pre-trains the tiny video trunk by naming what is drawn.

Omnivore learnt from pictures and videos of many kinds; so does this trunk, from
close-ups of all three domains, each seen as a film that stands still. Two
linear heads name the object and the motion, of which a picture shows little:
at the end 78 % of objects and 16 % of motions are named rightly. The heads are
thrown away. No picture shows a class of the demo.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evclip_jax.lab import films
from evclip_jax.lab.recipe import Recipe, make_optimizer, principal_filters
from evclip_jax.models import pixels as video
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.swin3d.trunk import PATCH, VideoEncoder

RECIPE = Recipe(pictures=24000, steps=600, batch_size=32, learning_rate=2e-3)

# Windows of 2 x 7 x 7: temporal shifts carry motion from pair to pair, and
# attention costs half of what the published depth of 8 does.
SIZES = VideoEncoderSizes(16, (1, 1, 2, 2), (1, 2, 4, 8), window=(2, 7, 7))

# Close-ups of 64 pixels, seen at half the side of the demo's clips.
_PORTRAIT, _SIDE = 64, 112
# The motion is hard to tell from one picture.
_MOTION_WEIGHT = 0.3


def pretrain(
    recipe: Recipe,
    folder: pathlib.Path,
    workers: int,
    rendered: Callable[[int], None],
    report: Callable[[int, dict[str, float]], None],
) -> tuple[VideoEncoderSizes, dict[str, Any]]:
  """Trains the trunk from scratch.

  Args:
    recipe: how long and how fast.
    folder: where the rendered pictures are kept.
    workers: processes that render.
    rendered: called with the number of pictures drawn so far.
    report: called with (step, {name: number}) at every step.

  Returns:
    The architecture and params['encoder'] as nested numpy float32.
  """
  from data_pipelines.demo import scenes

  motions, things = list(scenes.MOTIONS), list(scenes.OBJECTS)
  album = films.make_album(
      recipe.seed,
      'portraits',
      scenes.DOMAINS,
      recipe.pictures,
      1,
      folder,
      workers,
      rendered,
      _PORTRAIT,
  )
  encoder = VideoEncoder(SIZES)
  key = jax.random.key(recipe.seed)
  trunk = jax.jit(encoder.init)(key)
  trunk['patch_embed']['proj'] = _first_filters(album.pictures)
  params = {
      'encoder': trunk,
      'motion': jnp.zeros((SIZES.channels, len(motions))),
      'thing': jnp.zeros((SIZES.channels, len(things))),
  }
  optimizer = make_optimizer(recipe)
  state = optimizer.init(params)

  def loss(params, pictures, labels, rng):
    pixels = _pixels(pictures, rng)
    z = encoder.features(params['encoder'], pixels).mean(axis=(1, 2, 3))
    costs, metrics = {}, {}
    for name, label in labels.items():
      logits = z @ params[name]
      costs[name] = optax.softmax_cross_entropy_with_integer_labels(
          logits, label
      ).mean()
      metrics[name] = (logits.argmax(axis=-1) == label).mean()
    total = costs['thing'] + _MOTION_WEIGHT * costs['motion']
    return total, {'loss': total, **metrics}

  @jax.jit
  def train_step(params, state, pictures, labels, rng):
    grads, metrics = jax.grad(loss, has_aux=True)(params, pictures, labels, rng)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, metrics

  batches = album.batches(recipe.seed, recipe.batch_size, recipe.steps)
  for step, (drawn, pictures) in enumerate(batches):
    labels = {
        'motion': np.asarray([motions.index(s.motion) for s in drawn]),
        'thing': np.asarray([things.index(s.thing) for s in drawn]),
    }
    params, state, metrics = train_step(
        params, state, pictures, labels, jax.random.fold_in(key, step)
    )
    report(step, {k: float(v) for k, v in metrics.items()})
  return SIZES, jax.tree.map(np.asarray, params['encoder'])


def _pixels(pictures, rng):
  """uint8 [B, 1, h, w, 3] -> normalised still films [B, 2, 112, 112, 3]."""
  seen = films.view(pictures, rng, _SIDE)
  seen = video.normalise(seen, video.IMAGENET_MEAN, video.IMAGENET_STD)
  return jnp.repeat(seen, PATCH[0], axis=1)


def _first_filters(pictures: np.ndarray) -> dict[str, jax.Array]:
  """The patch projection, from the principal components of patches.

  Brightness is measured from black, so that a dark picture gives a small answer
  of the same kind as a bright one.
  """
  seen = np.asarray(
      jax.jit(lambda p: films.view(p, None, _SIDE))(pictures[:256])
  )
  std = np.asarray(video.IMAGENET_STD)
  x = np.repeat(seen / 255 / std, PATCH[0], axis=1)
  n, grid = len(x), _SIDE // PATCH[1]
  x = x.reshape(n, 1, PATCH[0], grid, PATCH[1], grid, PATCH[2], 3)
  x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, int(np.prod(PATCH)) * 3)
  filters = principal_filters(
      x[:: max(1, len(x) // 20000)], SIZES.embed, 0.02
  )
  black = np.tile(-np.asarray(video.IMAGENET_MEAN) / std, int(np.prod(PATCH)))
  return {
      'kernel': jnp.asarray(filters).reshape(*PATCH, 3, SIZES.embed),
      'bias': jnp.asarray(-(black @ filters), jnp.float32),
  }
