"""Clips on the device: pixels to normalised floats, time in and out."""

import jax
import jax.numpy as jnp
import numpy as np

# Per colour (red, green, blue), of pixels in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# What a method's `pixels` setting chooses from.
CONSTANTS = {
    'imagenet': (IMAGENET_MEAN, IMAGENET_STD),
    'clip': (CLIP_MEAN, CLIP_STD),
}


def normalise(
    frames: jax.Array,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> jax.Array:
  """(x / 255 - mean) / std.

  Args:
    frames: [..., 3] in 0..255, uint8 or float.
    mean: per colour, of pixels in [0, 1].
    std: likewise.

  Returns:
    float32, the same shape.

  Source: EV-CLIP, dassl/data/data_manager.py, DatasetWrapper_Video.
  Differs: always divides by 255; the original leaves out a clip whose greatest
    value is at most 1, that is an all-black one.
  """
  x = frames.astype(jnp.float32) / np.float32(255)
  return (x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


def fold_time(x: jax.Array) -> jax.Array:
  """[B, T, ...] -> [B * T, ...]."""
  return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def unfold_time(x: jax.Array, num_frames: int) -> jax.Array:
  """[B * T, ...] -> [B, T, ...]."""
  return x.reshape(-1, num_frames, *x.shape[1:])
