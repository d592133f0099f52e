"""Makes sizes, shapes, names and networks of a video trunk of either kind."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from evclip_jax.models.swin3d import sizes as swin3d_sizes
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.models.videoprism import sizes as videoprism_sizes
from evclip_jax.models.videoprism.encoder import VideoPrismEncoder
from evclip_jax.models.videoprism.sizes import VideoPrismSizes
from evclip_jax.models.videoprism.video_text import VideoTextModel
from evclip_jax.weights import swin3d_names, videoprism_names

Sizes = VideoEncoderSizes | VideoPrismSizes
Trunk = VideoEncoder | VideoPrismEncoder

VERSION = swin3d_names.VERSION + videoprism_names.VERSION
# Name -> architecture.
TABLE: dict[str, Sizes] = swin3d_sizes.TABLE | videoprism_sizes.TABLE


def sizes(**values: Any) -> Sizes:
  """Returns the architecture from the fields in a file of this project."""
  kind = VideoPrismSizes if 'patch' in values else VideoEncoderSizes
  return kind(**values)


def resolution(name: str) -> int:
  """Returns the side of the frames a trunk needs; 0 = any, or unknown."""
  return (name in TABLE and TABLE[name].resolution) or 0


def shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of every leaf of a trunk."""
  if isinstance(sizes, VideoPrismSizes):
    return videoprism_names.shapes(sizes)
  return swin3d_names.shapes(sizes)


def to_original(
    flat: Mapping[str, np.ndarray], sizes: Sizes
) -> dict[str, np.ndarray]:
  """Returns a flat tree with the original's names and layout."""
  if isinstance(sizes, VideoPrismSizes):
    return videoprism_names.to_original(flat, sizes)
  return swin3d_names.to_original(flat)


def network(sizes: Sizes, dtype: Any = jnp.float32) -> Trunk:
  """Returns the trunk of an architecture, without weights."""
  if not isinstance(sizes, VideoPrismSizes):
    return VideoEncoder(sizes, dtype)
  kind = VideoTextModel if sizes.text_layers else VideoPrismEncoder
  return kind(sizes, dtype)
