"""Sizes of Omnivore's trunks: of published ones, and from tensor shapes."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError


@dataclasses.dataclass(frozen=True)
class VideoEncoderSizes:
  """Describes a Swin-3D trunk with patches of 2 x 4 x 4.

  Attributes:
    embed: channels after the patch embedding; they double at each stage.
    depths: blocks per stage.
    heads: attention heads per stage.
    window: configured attention window along (time, height, width).
    drop_path: rate of stochastic depth in the last block; rates grow linearly.
  """

  embed: int
  depths: tuple[int, ...]
  heads: tuple[int, ...]
  window: tuple[int, int, int] = (8, 7, 7)
  drop_path: float = 0.0

  # Side of the frames that the trunk needs; None = any.
  resolution = None

  def describe(self) -> str:
    """Describes the architecture in one line, for messages."""
    return (
        f'Swin-3D of width {self.embed}, depths {self.depths}, heads '
        f'{self.heads}, window {self.window}'
    )

  @property
  def channels(self) -> int:
    """Returns C, the number of channels of the features."""
    return self.embed * 2 ** (len(self.depths) - 1)


_T = VideoEncoderSizes(96, (2, 2, 6, 2), (3, 6, 12, 24), drop_path=0.2)
_S = VideoEncoderSizes(96, (2, 2, 18, 2), (3, 6, 12, 24), drop_path=0.3)
_B = VideoEncoderSizes(128, (2, 2, 18, 2), (4, 8, 16, 32), (16, 7, 7), 0.3)
_L = VideoEncoderSizes(192, (2, 2, 18, 2), (6, 12, 24, 48), drop_path=0.3)

# Names as in the repository's hub configuration. 'tiny', the packaged trunk, is
# missing here: its sizes are in its file.
TABLE: dict[str, VideoEncoderSizes] = {
    'omnivore_swinT': _T,
    'omnivore_swinS': _S,
    'omnivore_swinB': _B,
    'omnivore_swinB_imagenet21k': _B,
    'omnivore_swinB_epic': dataclasses.replace(_B, drop_path=0.4),
    'omnivore_swinL_imagenet21k': _L,
}


def infer(tensors: Mapping[str, np.ndarray]) -> VideoEncoderSizes:
  """Returns the architecture of a trunk from the shapes of its tensors.

  Args:
    tensors: names as in the trunk's state dict, without a prefix.

  Returns:
    The sizes, with windows of 7 x 7 in space, as in all published trunks, and
    `drop_path` 0, since no tensor shows these.

  Raises:
    WeightsError: the tensors are not those of such a trunk.
  """

  def shape(name: str, rank: int) -> tuple[int, ...]:
    found = np.shape(tensors[name]) if name in tensors else 'missing'
    if found == 'missing' or len(found) != rank or 0 in found:
      raise WeightsError(
          f'this is not an Omnivore trunk: {name!r} is {found}; wanted {rank} '
          'axes, none of length 0.'
      )
    return found

  embed = shape('patch_embed.proj.weight', 5)[0]
  blocks: dict[int, set[int]] = {}
  heads: dict[int, int] = {}
  rows = 0
  block = re.compile(
      r'layers\.(\d+)\.blocks\.(\d+)\.attn\.relative_position_bias_table'
  )
  for name in tensors:
    if match := block.fullmatch(name):
      stage, number = int(match[1]), int(match[2])
      blocks.setdefault(stage, set()).add(number)
      rows, heads[stage] = shape(name, 2)
  depths = {stage: len(numbers) for stage, numbers in blocks.items()}
  if sorted(depths) != list(range(len(depths))) or not depths or rows % 169:
    raise WeightsError(
        f'this is not an Omnivore trunk: it has stages {sorted(depths)} and '
        f'position tables of {rows} rows (wanted stages from 0 and a multiple '
        'of 169 rows).'
    )
  stages = range(len(depths))
  return VideoEncoderSizes(
      embed=int(embed),
      depths=tuple(depths[i] for i in stages),
      heads=tuple(int(heads[i]) for i in stages),
      window=((rows // 169 + 1) // 2, 7, 7),
  )
