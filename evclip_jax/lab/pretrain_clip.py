"""Pre-trains the tiny CLIP on captioned pictures of the drawn world.

The pictures are bright: like the real CLIP, the tiny one has seen little of the
dark and nothing from a head camera. None shows a class of the demo.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data_pipelines import randomness
from evclip_jax.lab import captions, films
from evclip_jax.lab.recipe import Recipe, make_optimizer, principal_filters
from evclip_jax.models import pixels
from evclip_jax.models.clip import sizes, tokenizer
from evclip_jax.models.clip.model import Clip

RECIPE = Recipe(pictures=16000, steps=400, batch_size=64, learning_rate=1e-3)

_PATCH, _WIDTH, _LAYERS, _EMBED = 28, 128, 2, 64
# Merges beyond the 514 ids of single bytes, start and end.
_MERGES = 160
# Captions are short; fewer positions are less work.
_LENGTH = 16
# The length of a frame's feature after training. Only its direction matters to
# CLIP, but EV-CLIP adds a context token to features of this length.
_FEATURE_NORM = 0.05


def learn_vocabulary() -> tokenizer.Vocabulary:
  """The packaged vocabulary, learnt from the captions' words."""
  from data_pipelines.demo import actions, shapes

  return tokenizer.learn(
      captions.corpus(
          list(actions.MOTIONS),
          list(shapes.OBJECTS),
          list(shapes.COLOURS),
      ),
      _MERGES,
  )


def pretrain(
    recipe: Recipe,
    folder: pathlib.Path,
    workers: int,
    rendered: Callable[[int], None],
    report: Callable[[int, dict[str, float]], None],
) -> tuple[sizes.ClipSizes, dict[str, Any], tokenizer.Vocabulary]:
  """Trains a tiny CLIP from scratch with the symmetric contrastive loss.

  Args:
    recipe: how long and how fast.
    folder: where the rendered pictures are kept.
    workers: processes that render.
    rendered: called with the number of pictures drawn so far.
    report: called with (step, {name: number}) at every step.

  Returns:
    The architecture, params['clip'] as nested numpy float32, the tokenizer.
  """
  album = films.make_album(
      recipe.seed,
      'clip',
      ('bright',),
      recipe.pictures,
      1,
      folder,
      workers,
      rendered,
  )
  words = learn_vocabulary()
  encoder = tokenizer.Tokenizer(words)
  shape = sizes.vit(
      _WIDTH,
      _LAYERS,
      _PATCH,
      _EMBED,
      _EMBED,
      text_layers=2,
      vocab_size=len(words),
  )
  clip = Clip(shape)
  key = jax.random.key(recipe.seed)
  params = jax.jit(clip.init)(key)
  params['visual']['conv1']['kernel'] = _first_filters(album.pictures)
  optimizer = make_optimizer(recipe)
  state = optimizer.init(params)

  @jax.jit
  def train_step(params, state, pictures, tokens, rng):
    (_, metrics), grads = jax.value_and_grad(
        lambda p: _loss(clip, p, pictures, tokens, rng), has_aux=True
    )(params)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, metrics

  batches = album.batches(recipe.seed, recipe.batch_size, recipe.steps)
  for step, (drawn, pictures) in enumerate(batches):
    rng = randomness.generator(recipe.seed, 'caption', step)
    texts = [captions.caption(scene, rng) for scene in drawn]
    params, state, metrics = train_step(
        params,
        state,
        pictures,
        encoder.encode(texts, _LENGTH),
        jax.random.fold_in(key, step),
    )
    report(step, {k: float(v) for k, v in metrics.items()})
  params = _with_feature_norm(clip, params, album.pictures[:64])
  return shape, jax.tree.map(np.asarray, params), words


def _loss(clip, params, pictures, tokens, rng):
  """InfoNCE over a batch in which captions may repeat."""
  images = _unit(clip.images(params, _pixels(pictures, rng)))
  texts = _unit(clip.text(params, tokens))
  scale = jnp.exp(jnp.minimum(params['logit_scale'], jnp.log(100.0)))
  logits = scale * images @ texts.T  # [B, B]
  same = (tokens[:, None] == tokens[None]).all(axis=-1).astype(jnp.float32)
  target = same / same.sum(axis=-1, keepdims=True)
  loss = 0.5 * (
      optax.softmax_cross_entropy(logits, target).mean()
      + optax.softmax_cross_entropy(logits.T, target).mean()
  )
  best = logits.argmax(axis=-1)[:, None]
  return loss, {
      'loss': loss,
      'right': jnp.take_along_axis(same, best, axis=1).mean(),
  }


def _pixels(pictures, rng):
  """uint8 [B, 1, h, w, 3] -> normalised [B, 224, 224, 3], as EV-CLIP feeds."""
  seen = films.view(pictures, rng)
  return pixels.normalise(seen, pixels.IMAGENET_MEAN, pixels.IMAGENET_STD)[:, 0]


def _unit(x):
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _first_filters(pictures: np.ndarray) -> jax.Array:
  """[28, 28, 3, 128], from the principal components of patches."""
  seen = np.asarray(jax.jit(lambda p: _pixels(p, None))(pictures[:512]))
  n, grid = len(seen), 224 // _PATCH
  x = seen.reshape(n, grid, _PATCH, grid, _PATCH, 3)
  x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, _PATCH * _PATCH * 3)
  x = x[:: max(1, len(x) // 6000)]
  filters = principal_filters(x - x.mean(axis=0), _WIDTH, 0.01)
  return 0.3 * jnp.asarray(filters).reshape(_PATCH, _PATCH, 3, _WIDTH)


def _with_feature_norm(clip, params, pictures):
  """The same CLIP with features of a known length, by its last matrix."""
  features = clip.images(params, _pixels(pictures, None))
  length = jnp.linalg.norm(features, axis=-1).mean()
  visual = dict(params['visual'])
  visual['proj'] = visual['proj'] * (_FEATURE_NORM / length)
  return params | {'visual': visual}
