"""Small CLIP models for tests."""

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names, random_init

TEXT = {
    'text_width': 32, 'text_layers': 2, 'context_length': 8, 'vocab_size': 20
}
VIT = sizes.vit(128, 2, patch=8, embed_dim=16, image_resolution=16, **TEXT)
RESNET = sizes.resnet(8, (1, 1, 1, 1), 16, image_resolution=32, **TEXT)


def flat(wanted=VIT, seed=0):
  """Draws weights in which no leaf is constant."""
  shapes = clip_names.shapes(wanted)
  rng = np.random.default_rng(seed)
  out = random_init.draw(shapes, seed)
  for path, leaf in out.items():
    if leaf.ndim == 1:
      out[path] = leaf + rng.uniform(-0.2, 0.2, leaf.shape).astype('f')
  return out


def model(wanted=VIT, seed=0, **kwargs):
  """Returns a model and its params['clip']."""
  return Clip(wanted, **kwargs), unflatten_dict(flat(wanted, seed), sep='/')


def images(count=3, wanted=VIT, seed=0):
  """Draws normalised images."""
  side = wanted.image_resolution
  shape = (count, side, side, 3)
  return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tokens(count=4, wanted=VIT, seed=0):
  """Draws texts: start, some ids, the end (the largest id), zeros."""
  rng = np.random.default_rng(seed)
  out = np.zeros((count, wanted.context_length), np.int32)
  for row in out:
    length = rng.integers(1, wanted.context_length - 1)
    row[0] = wanted.vocab_size - 2
    row[1:length] = rng.integers(1, wanted.vocab_size - 2, length - 1)
    row[length] = wanted.vocab_size - 1
  return out


# Compiled once for all tests of a model and its hooks.
encode_images = jax.jit(Clip.images, static_argnums=(0, 3))
encode_text = jax.jit(Clip.text, static_argnums=(0, 3))
