"""Defines recipes and the training loop of the packaged networks."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from evclip_jax.lab.albums import Album

SEED = 0


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Sets one pre-training by AdamW; `learning_rate` is the peak rate."""

  images: int
  steps: int
  batch_size: int
  learning_rate: float

  def shorter(self, steps: int) -> 'Recipe':
    """Returns the recipe with `steps` steps and fewer images; 0 = unchanged."""
    if not steps:
      return self
    images = min(self.images, max(512, steps * self.batch_size))
    return dataclasses.replace(self, steps=steps, images=images)


def train(
    recipe: Recipe,
    album: Album,
    params: dict[str, Any],
    loss: Callable,
    given: Callable[[int, list], Any],
) -> dict[str, Any]:
  """Trains all parameters and returns them.

  `loss` is (params, images, given, key) -> (scalar, metrics by name); `given`
  is (step, scenes) -> the third of these arguments.
  """
  rate, steps = recipe.learning_rate, max(recipe.steps, 2)
  schedule = optax.warmup_cosine_decay_schedule(
      0.0, rate, max(recipe.steps // 10, 1), steps, rate / 100
  )
  # Vectors and scalars do not decay.
  matrices = functools.partial(jax.tree.map, lambda x: x.ndim > 1)
  adamw = optax.adamw(schedule, b2=0.98, weight_decay=0.05, mask=matrices)
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamw)
  state, key = optimizer.init(params), jax.random.key(SEED)

  @jax.jit
  def train_step(params, state, images, given, rng):
    grads, metrics = jax.grad(loss, has_aux=True)(params, images, given, rng)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, metrics

  batches = album.batches(SEED, recipe.batch_size, recipe.steps)
  bar = tqdm.tqdm(batches, 'train', recipe.steps, unit='step', mininterval=1)
  for step, (scenes, images) in enumerate(bar):
    rng = jax.random.fold_in(key, step)
    params, state, metrics = train_step(
        params, state, images, given(step, scenes), rng
    )
    text = ', '.join(f'{k} {float(v):.3f}' for k, v in metrics.items())
    bar.set_postfix_str(text, refresh=False)
  return params


def principal_filters(
    patches: np.ndarray, count: int, floor: float
) -> np.ndarray:
  """Returns the main directions of patches, scaled to equal variance.

  A network that starts with these learns in hundreds of steps what takes
  thousands from random filters. [N, P] -> float32 [P, count]; `floor`, a share
  of the greatest scale that is added to each, keeps noise small.
  """
  _, scale, directions = np.linalg.svd(
      patches.astype(np.float64), full_matrices=False
  )
  scale = scale / np.sqrt(len(patches))
  filters = directions[:count].T / (scale[:count] + floor * scale[0])
  return filters.astype(jnp.float32)
