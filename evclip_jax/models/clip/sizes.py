"""Sizes of CLIP models: of the published ones, and from tensor shapes."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import WeightsError

# The same in all published models.
CONTEXT_LENGTH = 77
VOCAB_SIZE = 49408
HEAD_WIDTH = 64


@dataclasses.dataclass(frozen=True)
class ClipSizes:
  """Describes the architecture of a CLIP model.

  Attributes:
    vision: 'vit' or 'resnet'.
    embed_dim: E, width of the joint embedding space.
    image_resolution: height and width of an image in pixels.
    vision_width: channels of the image tower; for a ResNet, those inside the
      bottlenecks of its first stage.
    vision_layers: number of blocks; for a ResNet, those of each stage.
    vision_patch: side of a patch in pixels; 0 for a ResNet.
    vision_heads: attention heads; for a ResNet, those of the attention pool.
    text_width, text_heads, text_layers: channels, attention heads and blocks of
      the text tower.
    context_length: L, ids per text.
    vocab_size: number of ids.
    activation: of the transformers' MLPs: 'quick_gelu', 'gelu', or 'gelu_tanh',
      its approximation.
  """

  vision: str
  embed_dim: int
  image_resolution: int
  vision_width: int
  vision_layers: int | tuple[int, ...]
  vision_patch: int
  vision_heads: int
  text_width: int
  text_heads: int
  text_layers: int = 12
  context_length: int = CONTEXT_LENGTH
  vocab_size: int = VOCAB_SIZE
  activation: str = 'quick_gelu'

  def describe(self) -> str:
    """Describes the architecture in one line, for messages."""
    if self.vision == 'vit':
      tower = f'ViT of patch {self.vision_patch}'
    else:
      tower = 'ResNet'
    if self.activation != 'quick_gelu':
      tower = f'{tower} with {self.activation}'
    return (
        f'{tower}, width {self.vision_width}, layers {self.vision_layers}, '
        f'{self.image_resolution} pixels; text width {self.text_width}, '
        f'layers {self.text_layers}; embedding {self.embed_dim}'
    )


def vit(
    width: int,
    layers: int,
    patch: int,
    embed_dim: int,
    text_width: int,
    image_resolution: int = 224,
    **others: int,
) -> ClipSizes:
  """Returns sizes with a vision transformer and 64 channels per head."""
  return ClipSizes(
      vision='vit',
      embed_dim=embed_dim,
      image_resolution=image_resolution,
      vision_width=width,
      vision_layers=layers,
      vision_patch=patch,
      vision_heads=heads(width),
      text_width=text_width,
      text_heads=heads(text_width),
      **others,
  )


def resnet(
    width: int,
    layers: tuple[int, ...],
    embed_dim: int,
    text_width: int,
    image_resolution: int = 224,
    **others: int,
) -> ClipSizes:
  """Returns sizes with a ResNet and 64 channels per head of its pool."""
  sizes = vit(
      32 * width, tuple(layers), 0, embed_dim, text_width, image_resolution,
      **others,
  )
  return dataclasses.replace(sizes, vision='resnet', vision_width=width)


def heads(width: int) -> int:
  """Returns the number of heads that OpenAI uses for a width."""
  return max(1, width // HEAD_WIDTH)


# 'tiny', the packaged model, is missing here: its sizes are in its file.
TABLE: dict[str, ClipSizes] = {
    'ViT-B/32': vit(768, 12, 32, 512, 512),
    'ViT-B/16': vit(768, 12, 16, 512, 512),
    'ViT-L/14': vit(1024, 24, 14, 768, 768),
    'ViT-L/14@336px': vit(1024, 24, 14, 768, 768, image_resolution=336),
    'RN50': resnet(64, (3, 4, 6, 3), 1024, 512),
    'RN101': resnet(64, (3, 4, 23, 3), 512, 512),
    'RN50x4': resnet(80, (4, 6, 10, 6), 640, 640, image_resolution=288),
    'RN50x16': resnet(96, (6, 8, 18, 8), 768, 768, image_resolution=384),
    'RN50x64': resnet(128, (3, 15, 36, 10), 1024, 1024, image_resolution=448),
}


def infer(tensors: Mapping[str, Any]) -> ClipSizes:
  """Returns the architecture of a CLIP from the shapes of its tensors.

  Args:
    tensors: OpenAI's names -> arrays, or anything with a shape.

  Raises:
    WeightsError: the tensors are not those of a CLIP model.

  Source: openai/CLIP, clip/model.py, build_model.
  Differs: a width below 64 gets one head instead of none.
  """
  shapes = {name: tuple(np.shape(x)) for name, x in tensors.items()}

  def shape(name: str, rank: int) -> tuple[int, ...]:
    if name not in shapes:
      raise WeightsError(f'this is not a CLIP model: {name!r} is missing.')
    if len(shapes[name]) != rank or 0 in shapes[name]:
      raise WeightsError(
          f'this is not a CLIP model: {name!r} has the shape {shapes[name]}; '
          f'wanted {rank} axes, none of length 0.'
      )
    return shapes[name]

  text_width, embed_dim = shape('text_projection', 2)
  text = {
      'embed_dim': embed_dim,
      'text_width': text_width,
      'text_layers': _count(shapes, r'transformer\.resblocks\.(\d+)\..*'),
      'context_length': shape('positional_embedding', 2)[0],
      'vocab_size': shape('token_embedding.weight', 2)[0],
  }
  if 'visual.proj' in shapes:
    width, _, patch, _ = shape('visual.conv1.weight', 4)
    tokens = shape('visual.positional_embedding', 2)[0]
    return vit(
        width=width,
        layers=_count(shapes, r'visual\.transformer\.resblocks\.(\d+)\..*'),
        patch=patch,
        image_resolution=patch * _grid('visual.positional_embedding', tokens),
        **text,
    )
  tokens = shape('visual.attnpool.positional_embedding', 2)[0]
  return resnet(
      width=shape('visual.layer1.0.conv1.weight', 4)[0],
      layers=tuple(
          _count(shapes, rf'visual\.layer{stage}\.(\d+)\..*')
          for stage in (1, 2, 3, 4)
      ),
      image_resolution=32
      * _grid('visual.attnpool.positional_embedding', tokens),
      **text,
  )


def _count(names: Mapping[str, Any], pattern: str) -> int:
  """Counts blocks, which must be numbered from 0 without a gap."""
  found = {int(m[1]) for name in names if (m := re.fullmatch(pattern, name))}
  if not found or found != set(range(len(found))):
    raise WeightsError(
        f'this is not a whole CLIP model: wanted blocks 0, 1, ... of '
        f'{pattern!r}, found {sorted(found)}.'
    )
  return len(found)


def _grid(name: str, tokens: int) -> int:
  """Returns the rows (and columns) of patches after the class token."""
  side = round(max(tokens - 1, 0) ** 0.5)
  if side * side + 1 != tokens or side == 0:
    raise WeightsError(
        f'{name!r} holds {tokens} positions, which is not a square plus one.'
    )
  return side
