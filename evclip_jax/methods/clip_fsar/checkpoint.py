"""Converts CLIP-FSAR's checkpoints, head and image tower, both ways."""

import dataclasses
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.methods.clip_fsar.head import TemporalTransformer
from evclip_jax.methods.original_checkpoint import Checkpoint, ClipPart
from evclip_jax.weights import table
from evclip_jax.weights.table import Rule, dense, norm

_LAYER = r'context2\.layers\.(\d+)\.'
_OURS = r'method/temporal/layers.\1/'


@dataclasses.dataclass(frozen=True)
class HeadSizes:
  """Holds the sizes of a checkpoint's head.

  Attributes:
    embed_dim: D of CLIP.
    depth: layers of the temporal transformer.
    hidden: width inside its dense layers.
  """

  embed_dim: int
  depth: int
  hidden: int


def _write(flat, notes, clip):
  """Writes a checkpoint; an untrained scale has its initial value, 1."""
  CHECKPOINT.refuse(clip)
  if not any(path.startswith('method/temporal/') for path in flat):
    raise UserError(
        "the run has no trained transformer, which CLIP-FSAR's checkpoints "
        'contain (method.settings.depth=0 or loss=video_text): leave out '
        '--to=torch-names.'
    )
  if any(path.startswith('method/relation/') for path in flat):
    raise UserError(
        "the run has HyRSM's module (method.settings.metric=hyrsm), which "
        "CLIP-FSAR's checkpoints lack: leave out --to=torch-names."
    )
  if 'clip/visual/bn1/scale' in flat and 'clip/visual/bn1/mean' not in flat:
    raise UserError(
        'the run was trained with method.settings.batch_norm=frozen, so it '
        "lacks the batch norms' statistics that CLIP-FSAR's checkpoints "
        'contain: leave out --to=torch-names.'
    )
  return CHECKPOINT.to_original(
      {'method/scale': np.ones(1, np.float32)} | dict(flat)
  )


def infer(tensors: Mapping[str, np.ndarray]) -> HeadSizes:
  """Infers the sizes of a head.

  Raises:
    WeightsError: there is no complete head.
  """
  layers = {int(m[1]) for name in tensors if (m := re.match(_LAYER, name))}
  first = tensors.get('context2.layers.0.1.net.0.weight')
  if np.ndim(first) != 2 or layers != set(range(len(layers))):
    raise WeightsError(
        'this is not a whole CLIP-FSAR head: wanted tensors '
        "'head.context2.layers.0.1.net.0.weight' and so on."
    )
  hidden, embed_dim = np.shape(first)
  return HeadSizes(embed_dim, len(layers), hidden)


def shapes(sizes: HeadSizes) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every leaf of the head, by path."""
  module = TemporalTransformer(sizes.depth, sizes.hidden)
  x = jnp.zeros((1, 1, sizes.embed_dim))
  tree = jax.eval_shape(lambda: module.init(jax.random.key(0), x, True))
  temporal = table.leaf_shapes({'method': {'temporal': tree['params']}})
  return {'method/scale': (1,)} | temporal


CHECKPOINT = Checkpoint(
    'clip-fsar',
    'a CLIP-FSAR checkpoint',
    sign='.*' + _LAYER + '.*',
    outer='head.',
    rules=(
        Rule(r'scale', 'method/scale'),
        *norm(_LAYER + r'0\.norm', _OURS + 'norm'),
        *dense(_LAYER + r'0\.fn\.(to_q|to_k|to_v)', _OURS + r'\2'),
        *dense(_LAYER + r'0\.fn\.to_out\.0', _OURS + 'to_out.0'),
        *dense(_LAYER + r'1\.net\.(0|3)', _OURS + r'net.\2'),
    ),
    # These count training steps.
    ignore=(r'.*\.num_batches_tracked',),
    clip=ClipPart('backbone.'),
    infer=infer,
    shapes=shapes,
    write=_write,
)
