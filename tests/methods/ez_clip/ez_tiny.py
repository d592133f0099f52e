"""The small EZ-CLIP of the specification's section 12.2."""

import functools
import math
import re

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.methods.ez_clip import checkpoint
from evclip_jax.methods.ez_clip import method as ez_clip
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import vit
from evclip_jax.weights import clip_names
from tests.parity.ez_clip import clip_from_original, clips_mixed_up

NUM_FRAMES = 4
SIZES = vit(
    128, 2, patch=8, embed_dim=64, text_width=64, image_resolution=32,
    text_layers=2, context_length=12, vocab_size=50,
)
_NORM = re.compile(r'(.*\.)?ln_\w+\.(weight|bias)')


def series(count: int, k: int) -> np.ndarray:
  """Returns u(0 .. count - 1, k), float64 in [-1, 1)."""
  x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761)
  x += np.uint32(k * 40503 + 1)
  x ^= x >> 15
  x *= np.uint32(2246822519)
  x ^= x >> 13
  x *= np.uint32(3266489917)
  x ^= x >> 16
  return x / 2**31 - 1


def state(temporal: str) -> dict[str, np.ndarray]:
  """Returns a whole checkpoint in the original's naming."""
  sizes = checkpoint.AdapterSizes(128, 2, 64, 2, temporal, NUM_FRAMES, True)
  blank = {}
  for names, wanted in ((clip_names, SIZES), (checkpoint, sizes)):
    shapes = names.shapes(wanted).items()
    blank |= names.to_original({path: np.zeros(s) for path, s in shapes})
  return {
      name: _fill(name, blank[name].shape, k)
      for k, name in enumerate(sorted(blank))
  }


@functools.cache
def built(temporal: str, **settings) -> tuple[base.Method, base.Params]:
  """Returns the method, and its parameters through the converters."""
  tensors = state(temporal)
  settings |= {'temporal': temporal, 'temporal_embedding': True}
  networks = base.Backbones(Clip(SIZES), None, NUM_FRAMES)
  method = ez_clip.make(ez_clip.Settings(**settings), networks, ())
  params = {
      'clip': unflatten_dict(clip_from_original(tensors).flat, sep='/'),
      'method': unflatten_dict(checkpoint.from_original(tensors).flat, sep='/'),
  }
  return method, jax.device_put(params)


def outputs(temporal: str, mixed=False, change=lambda x: x, own=None):
  """Returns (frame features [2, T, E], text features, logits).

  Args:
    temporal: the setting.
    mixed: whether clips of a batch are mixed up, as in the original.
    change: changes the clips.
    own: leaves that replace those of the specification.
  """
  forward, params = _forward(temporal, mixed)
  params = params | {'method': params['method'] | (own or {})}
  return jax.device_get(forward(params, change(pixels()), tokens()))


@functools.cache
def _forward(temporal: str, mixed: bool):
  method, params = built(temporal)

  @jax.jit
  def forward(params, pixels, tokens):
    features = method.video(params, pixels, None, False)
    classes = method.text(params, tokens[None])
    logits = method.score(params, features, classes, {})
    return features.frames, classes[0], logits

  if not mixed:
    return forward, params

  def as_the_original(*args):
    with clips_mixed_up():
      return forward(*args)

  return as_the_original, params


@functools.cache
def pixels() -> np.ndarray:
  """Returns normalised clips [2, T, 32, 32, 3]."""
  values = series(8 * 3 * 32 * 32, 999).reshape(2, NUM_FRAMES, 3, 32, 32)
  return values.transpose(0, 1, 3, 4, 2).astype(np.float32)


def tokens() -> np.ndarray:
  """Returns three texts [3, 12]."""
  rows = (48, 5, 7, 49), (48, 9, 1, 3, 2, 49), (48, 30, 49)
  return np.array([[*row, *[0] * (12 - len(row))] for row in rows], np.int32)


def _fill(name: str, shape: tuple[int, ...], k: int) -> np.ndarray:
  if name == 'logit_scale':
    return np.float32(4.6052)
  u = series(math.prod(shape), k).reshape(shape)
  if _NORM.fullmatch(name):
    value = 1 + 0.1 * u if name.endswith('weight') else 0.1 * u
  elif name in ('visual.proj', 'text_projection'):
    value = u * math.sqrt(3 / shape[0])
  elif (
      name.endswith(('.weight', 'in_proj_weight'))
      and name != 'token_embedding.weight'
  ):
    value = u * math.sqrt(3 / math.prod(shape[1:]))
  else:
    value = 0.3 * u
  return value.astype(np.float32)
