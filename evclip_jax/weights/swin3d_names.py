"""Converts weights of Omnivore's trunks, and back."""

from collections.abc import Mapping

import numpy as np

from evclip_jax.models.swin3d import sizes as swin3d_sizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.weights import table
from evclip_jax.weights.table import CONV3D, LINEAR, Rule, dense, norm

# Raise it when a rule changes, so that cached conversions become stale.
VERSION = 1

_BLOCK = r'layers\.(\d+)\.blocks\.(\d+)\.'
_IN_BLOCK = r'layers.\1/blocks.\2/'
_TABLE = 'relative_position_bias_table'
_MERGE = r'layers\.(\d+)\.downsample\.'
_IN_MERGE = r'layers.\1/downsample/'

RULES = (
    Rule(r'patch_embed\.proj\.weight', 'patch_embed/proj/kernel', CONV3D),
    Rule(r'patch_embed\.proj\.bias', 'patch_embed/proj/bias'),
    *norm(r'patch_embed\.norm', 'patch_embed/norm'),
    *norm(_BLOCK + '(norm1|norm2)', _IN_BLOCK + r'\3'),
    Rule(_BLOCK + r'attn\.' + _TABLE, _IN_BLOCK + 'attn/' + _TABLE),
    *dense(_BLOCK + r'attn\.(qkv|proj)', _IN_BLOCK + r'attn/\3'),
    *dense(_BLOCK + r'mlp\.(fc1|fc2)', _IN_BLOCK + r'mlp/\3'),
    Rule(_MERGE + r'reduction\.weight', _IN_MERGE + 'reduction/kernel', LINEAR),
    *norm(_MERGE + 'norm', _IN_MERGE + 'norm'),
    *norm('norm', 'norm'),
)

# Not needed: the embedding of depth images, a derived buffer, classifiers.
IGNORE = (
    r'depth_patch_embed\..*',
    r'.*\.relative_position_index',
    r'heads\..*',
)


def from_original(tensors: Mapping[str, np.ndarray]) -> table.Converted:
  """Converts a trunk's state dict.

  Args:
    tensors: the original's names, perhaps after 'trunk.' -> arrays.

  Returns:
    `VideoEncoderSizes` and the flat tree without the leading 'encoder/'.

  Raises:
    WeightsError: the tensors are not exactly those of a trunk.
  """
  plain = table.without('trunk.', tensors)
  sizes = swin3d_sizes.infer(plain)
  return table.convert(plain, RULES, IGNORE, shapes(sizes), sizes)


def to_original(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns a flat tree with the original's names and layout."""
  return table.to_original(flat, RULES)


def shapes(sizes: swin3d_sizes.VideoEncoderSizes) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of every leaf of a trunk."""
  return table.leaf_shapes(VideoEncoder(sizes).shapes())
