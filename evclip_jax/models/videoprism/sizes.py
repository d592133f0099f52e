"""Sizes of VideoPrism models: of published ones, and from tensor shapes."""

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class VideoPrismSizes:
  """Describes a VideoPrism encoder or video-text model.

  Attributes:
    width: D of all towers.
    heads: number of attention heads in all blocks.
    hidden: hidden width of the MLPs.
    spatial_layers: blocks over the patches of one frame.
    temporal_layers: blocks over the frames of one patch.
    patch: side of a patch in pixels.
    grid: side of the table of spatial positions, in patches.
    num_frames: rows of the table of temporal positions.
    auxiliary_layers: blocks over all tokens; 0 in an encoder, and so on below.
    text_layers: blocks of the text tower.
    text_hidden: hidden width of its MLPs.
    vocab_size: number of its ids.
    pooler_width: width of all heads of the pooler together.
  """

  width: int
  heads: int
  hidden: int
  spatial_layers: int
  temporal_layers: int
  patch: int = 18
  grid: int = 16
  num_frames: int = 16
  auxiliary_layers: int = 0
  text_layers: int = 0
  text_hidden: int = 0
  vocab_size: int = 0
  pooler_width: int = 0

  def describe(self) -> str:
    """Describes the architecture in one line, for messages."""
    kind = 'video-text model' if self.text_layers else 'encoder'
    return (
        f'VideoPrism {kind} of width {self.width}, {self.heads} heads, '
        f'{self.spatial_layers} + {self.temporal_layers} blocks, positions '
        f'for {self.num_frames} frames of {self.resolution} pixels'
    )

  @property
  def channels(self) -> int:
    """Returns C, the number of channels of the features."""
    return self.width

  @property
  def resolution(self) -> int:
    """Returns the side in pixels of the frames in its training."""
    return self.patch * self.grid


_BASE = VideoPrismSizes(768, 12, 3072, 12, 4)
_LARGE = VideoPrismSizes(1024, 16, 4096, 24, 4, num_frames=8)
# For tests; like the packaged trunk, its width fits EV-CLIP's mask generator.
_TINY = VideoPrismSizes(128, 2, 256, 1, 1, patch=36, grid=8, num_frames=4)


def _with_text(sizes: VideoPrismSizes, vocab: int, text_layers: int):
  return dataclasses.replace(
      sizes,
      auxiliary_layers=2 if text_layers > 2 else 1,
      text_layers=text_layers,
      text_hidden=4 * sizes.width,
      vocab_size=vocab,
      pooler_width=4 * sizes.width,
  )


TABLE: dict[str, VideoPrismSizes] = {
    'videoprism_base': _BASE,
    'videoprism_large': _LARGE,
    'videoprism_tiny': _TINY,
    'videoprism_lvt_base': _with_text(_BASE, 32_000, 12),
    'videoprism_lvt_large': _with_text(_LARGE, 32_000, 12),
    'videoprism_lvt_tiny': _with_text(_TINY, 1_000, 1),
}


def infer(tensors: Mapping[str, np.ndarray]) -> VideoPrismSizes:
  """Returns the architecture from the shapes of the tensors.

  Args:
    tensors: names as in the published files without 'params/', with separate
      blocks '.../x_layers_0/...'.

  Raises:
    WeightsError: the tensors are not those of such a network.
  """
  prefix = 'vision_encoder/' if _layers(tensors, 'text_encoder') else ''

  def shape(name: str, axes: int) -> tuple[int, ...]:
    tensor = tensors.get(name)
    if tensor is None or np.ndim(tensor) != axes:
      found = 'missing' if tensor is None else str(np.shape(tensor))
      raise WeightsError(
          f'this is not VideoPrism: {name} is {found}, wanted {axes} axes.'
      )
    return np.shape(tensor)

  block = 'spatial_encoder/transformers_stack/x_layers_0/'
  rows, width = shape(f'{prefix}patch_projection/linear/kernel', 2)
  cells = shape(f'{prefix}spatial_pos_emb/emb_var', 2)[0]
  patch, grid = math.isqrt(rows // 3), math.isqrt(cells)
  if 3 * patch**2 != rows or grid**2 != cells:
    raise WeightsError(
        f'this is not VideoPrism: patches of {rows} values and {cells} '
        'positions make no squares.'
    )
  mlp = 'ff_layer/ffn_layer1/linear/kernel'
  sizes = VideoPrismSizes(
      width=width,
      heads=shape(f'{prefix}{block}self_attention/query/w', 3)[1],
      hidden=shape(f'{prefix}{block}{mlp}', 2)[1],
      spatial_layers=_layers(tensors, f'{prefix}spatial_encoder'),
      temporal_layers=_layers(tensors, f'{prefix}temporal_encoder'),
      patch=patch,
      grid=grid,
      num_frames=shape(f'{prefix}temporal_pos_emb/emb_var', 2)[0],
  )
  if not prefix:
    return sizes
  text = 'text_encoder/unimodal_transformer/x_layers_0/'
  pooler = 'contrastive_vision_pooler/pooling_attention/query/w'
  return dataclasses.replace(
      sizes,
      auxiliary_layers=_layers(tensors, 'auxiliary_encoder'),
      text_layers=_layers(tensors, 'text_encoder'),
      text_hidden=shape(text + mlp, 2)[1],
      vocab_size=shape('text_encoder/token_emb/emb_var', 2)[0],
      pooler_width=math.prod(shape(pooler, 3)[1:]),
  )


def _layers(tensors: Mapping[str, np.ndarray], tower: str) -> int:
  """Counts the blocks of a tower."""
  block = re.compile(re.escape(tower) + r'/.*x_layers_(\d+)/.*')
  numbers = [int(m[1]) for name in tensors if (m := block.fullmatch(name))]
  return max(numbers, default=-1) + 1
