"""Pre-trains the tiny video trunk by naming what happens in drawn films.

Omnivore learnt from labelled videos of many kinds; so does this trunk, from
films of all three domains. A class is a motion and an object, and two linear
heads name the two, so that the features carry both. The heads are thrown away.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evclip_jax import video
from evclip_jax.encoders.sizes import VideoEncoderSizes
from evclip_jax.encoders.swin3d import VideoEncoder
from evclip_jax.lab import films

# Windows of 2 x 7 x 7: temporal shifts carry motion from pair to pair, and
# attention costs half of what the published depth of 8 does.
SIZES = VideoEncoderSizes(16, (1, 1, 2, 2), (1, 2, 4, 8), window=(2, 7, 7))


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How long and how fast to train.

  Attributes:
    steps: of training.
    batch_size: films per step.
    learning_rate: at its highest, after a warm-up of a tenth of the steps.
    weight_decay: AdamW's, on matrices.
    seed: of films and weights.
  """

  steps: int = 700
  batch_size: int = 16
  learning_rate: float = 2e-3
  weight_decay: float = 0.05
  seed: int = 0


def pretrain(recipe: Recipe, workers: int, report) -> dict[str, Any]:
  """Trains the trunk from scratch.

  Args:
    recipe: how.
    workers: processes that render films.
    report: called with (step, {name: number}) at every step.

  Returns:
    params['encoder'], nested numpy float32.
  """
  from data_pipelines import scenes

  motions, things = list(scenes.MOTIONS), list(scenes.OBJECTS)
  encoder = VideoEncoder(SIZES)
  key = jax.random.key(recipe.seed)
  params = {
      'encoder': encoder.init(key),
      'motion': jnp.zeros((SIZES.channels, len(motions))),
      'thing': jnp.zeros((SIZES.channels, len(things))),
  }
  optimizer = adamw(recipe)
  state = optimizer.init(params)

  def loss(params, pictures, labels, rng):
    pixels = video.normalise(
        films.crop(pictures, rng), video.IMAGENET_MEAN, video.IMAGENET_STD
    )
    z = encoder.features(params['encoder'], pixels).mean(axis=(1, 2, 3))
    total, metrics = 0.0, {}
    for name, label in labels.items():
      logits = z @ params[name]
      cost = optax.softmax_cross_entropy_with_integer_labels(logits, label)
      total += cost.mean()
      metrics[name] = (logits.argmax(axis=-1) == label).mean()
    return total, {'loss': total, **metrics}

  @jax.jit
  def train_step(params, state, pictures, labels, rng):
    grads, metrics = jax.grad(loss, has_aux=True)(params, pictures, labels, rng)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, metrics

  data = films.Films(
      recipe.seed, scenes.DOMAINS, 8, recipe.batch_size, 'pretrain encoder'
  )
  stream = films.batches(data, recipe.steps, workers)
  for step, (drawn, pictures) in enumerate(stream):
    labels = {
        'motion': np.asarray([motions.index(s.motion) for s in drawn]),
        'thing': np.asarray([things.index(s.thing) for s in drawn]),
    }
    params, state, metrics = train_step(
        params, state, pictures, labels, jax.random.fold_in(key, step)
    )
    report(step, {k: float(v) for k, v in metrics.items()})
  return jax.tree.map(np.asarray, params['encoder'])


def adamw(recipe) -> optax.GradientTransformation:
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
