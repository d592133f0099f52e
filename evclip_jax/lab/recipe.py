"""How long and how fast the packaged networks are trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One pre-training.

  Attributes:
    pictures: in the album that is drawn for it.
    steps: of training.
    batch_size: pictures per step.
    learning_rate: at its highest, after a warm-up of a tenth of the steps.
    weight_decay: AdamW's, on matrices.
    seed: of pictures and weights.
  """

  pictures: int
  steps: int
  batch_size: int
  learning_rate: float
  weight_decay: float = 0.05
  seed: int = 0


def make_optimizer(recipe: Recipe) -> optax.GradientTransformation:
  """AdamW with warm-up and cosine; no decay of vectors and scalars."""
  schedule = optax.warmup_cosine_decay_schedule(
      0.0,
      recipe.learning_rate,
      max(recipe.steps // 10, 1),
      max(recipe.steps, 2),
      recipe.learning_rate / 100,
  )
  return optax.chain(
      optax.clip_by_global_norm(1.0),
      optax.adamw(
          schedule,
          b2=0.98,
          weight_decay=recipe.weight_decay,
          mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree),
      ),
  )


def principal_filters(
    patches: np.ndarray, count: int, floor: float
) -> np.ndarray:
  """The directions in which patches differ most, scaled to even them out.

  A network whose first layer starts with these learns in hundreds of steps what
  takes thousands from random filters.

  Args:
    patches: [N, P] float.
    count: how many directions.
    floor: added to each scale, as a share of the greatest; keeps noise small.

  Returns:
    float32 [P, count].
  """
  _, scale, directions = np.linalg.svd(
      patches.astype(np.float64), full_matrices=False
  )
  scale = scale / np.sqrt(len(patches))
  filters = directions[:count].T / (scale[:count] + floor * scale[0])
  return filters.astype(jnp.float32)
