"""Makes the smallest networks for methods, and batches for them."""

import dataclasses

import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import vit
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.videoprism.sizes import VideoPrismSizes
from evclip_jax.training import batch as batch_lib
from evclip_jax.weights import clip_names, random_init, trunks

NUM_FRAMES = 2
NUM_CLASSES = 3
PIXELS = 224
# Classes of an episode, each with one support clip and one query.
WAY = 2
CLIP = dataclasses.replace(
    vit(
        64, 2, patch=56, embed_dim=16, text_width=64, image_resolution=PIXELS,
        text_layers=2, context_length=24, vocab_size=32,
    ),
    vision_heads=2,
)
# EV-CLIP's mask generator wants 128 channels on a 7 x 7 grid.
ENCODER = VideoEncoderSizes(
    16, (1, 1, 1, 1), (1, 1, 1, 1), (2, 7, 7), drop_path=0.5
)
VIDEO_TEXT = VideoPrismSizes(
    16, 2, 32, 1, 1, patch=32, grid=2, num_frames=3, auxiliary_layers=1,
    text_layers=1, text_hidden=32, vocab_size=32, pooler_width=32,
)
VIDEOPRISM = VideoPrismSizes(128, 2, 128, 1, 1, patch=32, grid=2, num_frames=3)


def backbones(uses_encoder: bool, trunk=ENCODER, **clip_fields):
  """Returns the networks without their weights."""
  return base.Backbones(
      clip=Clip(CLIP, **clip_fields),
      encoder=trunks.network(trunk) if uses_encoder else None,
      num_frames=NUM_FRAMES,
      num_support=WAY,
  )


def params(uses_encoder: bool, trunk=ENCODER) -> dict:
  """Draws the weights of the networks, nested."""
  flat = random_init.draw(clip_names.shapes(CLIP), 0)
  out = {'clip': unflatten_dict(flat, sep='/')}
  if uses_encoder:
    shapes = trunks.shapes(trunk)
    out['encoder'] = unflatten_dict(random_init.draw(shapes, 1), sep='/')
  return out


def tokens(num_templates: int) -> np.ndarray:
  """Draws text ids [M, K, L]; the largest id ends each text."""
  rng = np.random.default_rng(0)
  ids = rng.integers(1, 30, (num_templates, NUM_CLASSES, 24), np.int32)
  # After a start, 16 trained words, a name and a full stop.
  ids[..., 20:] = 0
  ids[..., 20] = 31
  return ids


def batch(
    rows: int, seed: int = 0, episodic: bool = False, trunk_pixels: int = 0
) -> dict[str, np.ndarray]:
  """Draws clips, or episodes, of noise; no row is padding."""
  size = NUM_FRAMES, PIXELS, NUM_CLASSES
  episode = (WAY, 1, 1) if episodic else ()
  return batch_lib.synthetic(rows, *size, seed, trunk_pixels, episode)
