"""Pre-trains the tiny CLIP on captioned images of the drawn world.

Like the real CLIP, the tiny one has seen dim images, but no night scenes with a
lamp and nothing from a head camera. A still image does not show how fast
something moves, so the manner in a caption is random. No image shows a class of
the demo.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data_pipelines import randomness
from data_pipelines.demo import scenes, shapes
from evclip_jax.lab import albums
from evclip_jax.lab.recipe import SEED, Recipe, principal_filters, train
from evclip_jax.models import pixels
from evclip_jax.models.clip import sizes, tokenizer
from evclip_jax.models.clip.model import Clip

RECIPE = Recipe(images=16000, steps=1000, batch_size=64, learning_rate=1e-3)

# Captions and their probabilities. The first is the sentence by which EV-CLIP
# asks for a class; the others teach the meaning of single words.
TEMPLATES: tuple[tuple[str, float], ...] = (
    ('a video of {motion} {thing}.', 0.45),
    ('a video of {manner} {motion} {thing}.', 0.05),
    ('a video of a {colour} {thing}.', 0.1),
    ('a video of {motion}.', 0.1),
    ('a {colour} {thing} {motion}.', 0.15),
    ('a photo of a {thing}.', 0.1),
    ('a photo of {motion} with a {colour} {thing}.', 0.05),
)
# Other prompts, so that the vocabulary has their words as a whole.
_EXTRA = (
    'a photo of a person doing {motion} {thing}.',
    'the {thing} is {motion} in the dark, seen from a head camera.',
    'this is a picture of the action {motion} {thing}, an example of actions.',
)
_PATCH, _WIDTH, _EMBED = 28, 128, 64
# Merges beyond the 514 ids of single bytes, start and end.
MERGES = 160
# Captions are short, and fewer positions are less work.
_LENGTH = 16
# Least brightness of a dimmed image, and share of images that are dimmed.
_DIM, _DIMMED = 0.12, 0.3
# Length of a frame's feature after training. Only its direction matters to
# CLIP, but EV-CLIP adds a context token to the feature.
_FEATURE_NORM = 0.05


def caption(scene: scenes.Scene, rng: np.random.Generator) -> str:
  """Draws a sentence about a scene, in lower case."""
  texts, shares = zip(*TEMPLATES, strict=True)
  text = str(rng.choice(texts, p=shares))
  manner = str(rng.choice(list(scenes.MANNERS)))
  return text.format(**vars(scene) | {'manner': manner})


def corpus() -> list[str]:
  """Returns sentences that contain every template and every word."""
  words = {
      'motion': list(scenes.MOTIONS),
      'thing': list(shapes.OBJECTS),
      'colour': list(shapes.COLOURS),
      'manner': list(scenes.MANNERS),
  }
  return [
      template.format(**{k: w[n % len(w)] for k, w in words.items()})
      for template in (*(text for text, _ in TEMPLATES), *_EXTRA)
      for n in range(max(map(len, words.values())))
  ]


def pretrain(
    recipe: Recipe, folder: pathlib.Path
) -> tuple[sizes.ClipSizes, dict[str, Any], tokenizer.Vocabulary]:
  """Trains a tiny CLIP from scratch with the symmetric contrastive loss.

  Returns:
    The architecture, params['clip'] as nested numpy float32, the vocabulary.
  """
  album = albums.make_album('clip', SEED, ('bright',), recipe.images, folder)
  words = tokenizer.learn(corpus(), MERGES)
  encoder = tokenizer.Tokenizer(words, _LENGTH)
  shape = sizes.vit(
      _WIDTH, 2, _PATCH, _EMBED, _EMBED, text_layers=2, vocab_size=len(words)
  )
  clip = Clip(shape)
  params = jax.jit(clip.init)(jax.random.key(SEED))
  params['visual']['conv1']['kernel'] = _first_filters(album.images)

  def tokens(step, drawn):
    rng = randomness.generator(SEED, 'caption', step)
    texts = [caption(scene, rng) for scene in drawn]
    return encoder.encode(texts)

  def loss(params, images, tokens, rng):
    """Computes InfoNCE over a batch in which captions may repeat."""
    seen = _unit(clip.images(params, _pixels(images, rng)))
    texts = _unit(clip.text(params, tokens))
    scale = jnp.exp(jnp.minimum(params['logit_scale'], jnp.log(100.0)))
    logits = scale * seen @ texts.T  # [B, B]
    same = (tokens[:, None] == tokens[None]).all(axis=-1).astype(jnp.float32)
    target = same / same.sum(axis=-1, keepdims=True)
    cost = 0.5 * (
        optax.softmax_cross_entropy(logits, target).mean()
        + optax.softmax_cross_entropy(logits.T, target).mean()
    )
    best = logits.argmax(axis=-1)[:, None]
    right = jnp.take_along_axis(same, best, axis=1).mean()
    return cost, {'loss': cost, 'right': right}

  params = train(recipe, album, params, loss, tokens)
  # Scale the last matrix so that features have a known length.
  features = clip.images(params, _pixels(album.images[:64], None))
  length = jnp.linalg.norm(features, axis=-1).mean()
  params['visual']['proj'] = params['visual']['proj'] * (_FEATURE_NORM / length)
  return shape, jax.tree.map(np.asarray, params), words


def _pixels(images, rng):
  """Normalises uint8 [B, 1, h, w, 3] to [B, 224, 224, 3], as EV-CLIP does."""
  seen = albums.view(images, rng)
  if rng is not None:
    shape = len(seen), 1, 1, 1, 1
    which, how = jax.random.split(jax.random.fold_in(rng, 3))
    dim = _DIM ** jax.random.uniform(how, shape)
    dimmed = jax.random.bernoulli(which, _DIMMED, shape)
    seen = seen * jnp.where(dimmed, dim, 1)
  return pixels.normalise(seen, pixels.IMAGENET_MEAN, pixels.IMAGENET_STD)[:, 0]


def _unit(x):
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _first_filters(images: np.ndarray) -> jax.Array:
  """Makes filters [28, 28, 3, 128] from principal components of patches."""
  seen = np.asarray(jax.jit(lambda p: _pixels(p, None))(images[:512]))
  n, grid = len(seen), 224 // _PATCH
  x = seen.reshape(n, grid, _PATCH, grid, _PATCH, 3)
  x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, _PATCH * _PATCH * 3)
  x = x[:: max(1, len(x) // 6000)]
  filters = principal_filters(x - x.mean(axis=0), _WIDTH, 0.01)
  return 0.3 * jnp.asarray(filters).reshape(_PATCH, _PATCH, 3, _WIDTH)
