"""Converts EV-CLIP's checkpoints, prompt generators and words, both ways."""

import dataclasses
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.methods.ev_clip.generators import (
  GRID,
  ContextGenerator,
  MaskGenerator,
  check_features,
)
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.weights import table
from evclip_jax.weights.table import Converted, Rule, dense, norm

_OUTER = 'image_prompt_learner.'
_WORDS = 'text_prompt_learner.ctx'
# Prefixes of the generators if the original has both, in place of 'dec.'.
_PLACES = {'mask': 'dec.dec_s.', 'context': 'dec.dec_t.'}
_BLOCK = r'dec\.(block1|block2)\.(0|1)\.'
RULES = (
    Rule(re.escape(_WORDS), 'words'),
    Rule(r'dec\.logit_scale', 'mask/logit_scale'),
    *dense(
        r'dec\.(projection2spatial|channel_projection)\.(0|2)', r'mask/\1.\2'
    ),
    *norm(r'dec\.projection2spatial\.4', 'mask/projection2spatial.4'),
    *dense(r'dec\.upsample(1|2|3)\.expand', r'mask/upsample\1/expand'),
    *norm(r'dec\.upsample(1|2|3)\.norm', r'mask/upsample\1/norm'),
    *norm(_BLOCK + '(norm1|norm2)', r'mask/\1.\2/\3'),
    Rule(
        _BLOCK + r'attn\.relative_position_bias_table',
        r'mask/\1.\2/attn/relative_position_bias_table',
    ),
    *dense(_BLOCK + r'attn\.(qkv|proj)', r'mask/\1.\2/attn/\3'),
    *dense(_BLOCK + r'mlp\.(fc1|fc2)', r'mask/\1.\2/mlp/\3'),
    Rule(r'dec\.context_scale', 'context/context_scale'),
    *dense(r'dec\.feature_adaptation\.0', 'context/feature_adaptation.0'),
    *norm(r'dec\.feature_adaptation\.2', 'context/feature_adaptation.2'),
)
# The rest of a checkpoint: frozen networks and derived constants.
IGNORE = (
    r'(image_prompt_learner\.)?enc\..*',
    r'image_encoder\..*',
    r'text_encoder\..*',
    r'text_prompt_learner\.token_(prefix|suffix)',
    r'logit_scale',
    r'.*\.relative_position_index',
    r'.*\.attn_mask',
)


@dataclasses.dataclass(frozen=True)
class PromptSizes:
  """Holds the sizes of a checkpoint's generators.

  Attributes:
    prompt: 'both', 'mask' or 'context'.
    channels: C of the trunk.
    num_frames: T; None for 'context', which fits any.
    embed_dim: E of CLIP; None for 'mask', which fits any.
    bias: whether the projections have biases.
    words: shape of CoOp's trained text prompts; None without them.
  """

  prompt: str
  channels: int
  num_frames: int | None
  embed_dim: int | None
  bias: bool
  words: tuple[int, ...] | None = None


def from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts a checkpoint's prompt generators and trained words.

  Names may have the prefix 'image_prompt_learner.'; the rest is ignored.

  Raises:
    WeightsError: the generators are not exactly the original's.
  """
  plain = {n.removeprefix(_OUTER): t for n, t in tensors.items()}
  sizes = infer(plain)
  rules = _rules(sizes.prompt == 'both')
  return table.convert(plain, rules, IGNORE, shapes(sizes), sizes)


def to_original(
    flat: Mapping[str, np.ndarray], outer: str = ''
) -> dict[str, np.ndarray]:
  """Returns leaves with the original's names and layout.

  Args:
    flat: 'mask/...', 'context/...' and 'words'; weights or gradients.
    outer: prefix for the names of generators.
  """
  both = _PLACES.keys() <= {path.split('/')[0] for path in flat}
  state = table.to_original(flat, _rules(both))
  return {n if n == _WORDS else outer + n: x for n, x in state.items()}


def _rules(both: bool) -> tuple[Rule, ...]:
  """Returns the table for a file with one generator, or with both."""
  if not both:
    return RULES
  out = []
  for rule in RULES:
    place = re.escape(_PLACES.get(rule.path.split('/')[0], 'dec.'))
    original = rule.original.replace(r'dec\.', place, 1)
    out.append(dataclasses.replace(rule, original=original))
  return tuple(out)


def _write(flat, notes, clip):
  CHECKPOINT.refuse(clip)
  own = {path.removeprefix('method/'): value for path, value in flat.items()}
  return to_original(own, _OUTER)


CHECKPOINT = Checkpoint(
    'ev-clip',
    'an EV-CLIP checkpoint',
    sign=r'(image_prompt_learner\.)?dec\..*',
    read=from_original,
    write=_write,
)


def infer(tensors: Mapping[str, np.ndarray]) -> PromptSizes:
  """Infers which generators there are, and for which trunk, T and CLIP.

  Raises:
    WeightsError: there are none, or tensors that tell a size are missing.
  """

  def need(name):
    if name not in tensors:
      raise WeightsError(f'the tensor {name!r} of EV-CLIP is missing.')
    shape = np.shape(tensors[name])
    if len(shape) != 2 or 0 in shape:
      raise WeightsError(
          f'the tensor {name!r} of EV-CLIP is {shape}; wanted two axes, none '
          'of length 0.'
      )
    return shape

  if any(name.startswith('dec.dec_') for name in tensors):
    prompt = 'both'
  elif any(n.startswith(('dec.context', 'dec.feature')) for n in tensors):
    prompt = 'context'
  elif any(n.startswith('dec.') for n in tensors):
    prompt = 'mask'
  else:
    raise WeightsError(
        'these are no mask or context prompts of EV-CLIP: no tensor is called '
        "'image_prompt_learner.dec....' or 'dec....'."
    )
  places = _PLACES if prompt == 'both' else dict.fromkeys(_PLACES, 'dec.')
  first = places['mask'] + 'projection2spatial.0.'
  last = places['context'] + 'feature_adaptation.0.'
  channels = num_frames = embed_dim = None
  if prompt != 'context':
    num_frames = 2 * need(first + 'weight')[0]
    channels = need(places['mask'] + 'upsample1.expand.weight')[-1]
  if prompt != 'mask':
    embed_dim, channels = need(last + 'weight')
  bias = any(name + 'bias' in tensors for name in (first, last))
  words = np.shape(tensors[_WORDS]) if _WORDS in tensors else None
  return PromptSizes(prompt, channels, num_frames, embed_dim, bias, words)


def shapes(sizes: PromptSizes) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every leaf of the generators, by path."""

  def init(module, time, side):
    z = jax.ShapeDtypeStruct((1, time, side, side, sizes.channels), jnp.float32)
    return jax.eval_shape(module.init, jax.random.key(0), z)['params']

  tree = {}
  if sizes.prompt != 'context':
    check_features(sizes.channels)
    mask = MaskGenerator(bias=sizes.bias)
    tree['mask'] = init(mask, sizes.num_frames // 2, GRID)
  if sizes.prompt != 'mask':
    context = ContextGenerator(sizes.embed_dim, bias=sizes.bias)
    tree['context'] = init(context, 1, 1)
  words = {'words': sizes.words} if sizes.words else {}
  return table.leaf_shapes(tree) | words
