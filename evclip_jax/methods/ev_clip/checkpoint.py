"""EV-CLIP's own checkpoints: what makes its prompts, to our tree and back."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.methods.checkpoint_table import Checkpoint
from evclip_jax.methods.ev_clip.generators import (
  GRID,
  ContextGenerator,
  MaskGenerator,
  check_features,
)
from evclip_jax.weights import table
from evclip_jax.weights.table import Converted, Rule, dense, norm

# Where the original keeps the generators of mask and context prompts.
_MASK_PREFIX = {'both': 'dec.dec_s.', 'mask': 'dec.'}
_CONTEXT_PREFIX = {'both': 'dec.dec_t.', 'context': 'dec.'}
_OUTER = 'image_prompt_learner.'
_WORDS = 'text_prompt_learner.ctx'

# The rest of a checkpoint: frozen networks and what code derives.
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
  """What the tensors of the generators say of themselves.

  Attributes:
    prompt: 'both', 'mask' or 'context'.
    channels: C of the trunk.
    num_frames: T, or None for 'context', which fits any.
    embed_dim: E of CLIP, or None for 'mask', which fits any.
    bias: whether the projections have biases.
    words: shape of CoOp's trained text prompts, or None without them.
  """

  prompt: str
  channels: int
  num_frames: int | None
  embed_dim: int | None
  bias: bool
  words: tuple[int, ...] | None = None


def rules(prompt: str) -> tuple[Rule, ...]:
  """Returns the table of one kind of checkpoint, without the outer prefix."""
  out: tuple[Rule, ...] = (Rule(_WORDS.replace('.', r'\.'), 'words'),)
  if prompt in _MASK_PREFIX:
    mask = _MASK_PREFIX[prompt].replace('.', r'\.')
    block = mask + r'(block1|block2)\.(0|1)\.'
    out += (
        Rule(mask + 'logit_scale', 'mask/logit_scale'),
        *dense(
            mask + r'(projection2spatial|channel_projection)\.(0|2)',
            r'mask/\1.\2',
        ),
        *norm(mask + r'projection2spatial\.4', 'mask/projection2spatial.4'),
        *dense(mask + r'upsample(1|2|3)\.expand', r'mask/upsample\1/expand'),
        *norm(mask + r'upsample(1|2|3)\.norm', r'mask/upsample\1/norm'),
        *norm(block + '(norm1|norm2)', r'mask/\1.\2/\3'),
        Rule(
            block + r'attn\.relative_position_bias_table',
            r'mask/\1.\2/attn/relative_position_bias_table',
        ),
        *dense(block + r'attn\.(qkv|proj)', r'mask/\1.\2/attn/\3'),
        *dense(block + r'mlp\.(fc1|fc2)', r'mask/\1.\2/mlp/\3'),
    )
  if prompt in _CONTEXT_PREFIX:
    context = _CONTEXT_PREFIX[prompt].replace('.', r'\.')
    layer = r'feature_adaptation\.'
    out += (
        Rule(context + 'context_scale', 'context/context_scale'),
        *dense(context + layer + '0', 'context/feature_adaptation.0'),
        *norm(context + layer + '2', 'context/feature_adaptation.2'),
    )
  return out


def from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts a checkpoint's prompt generators and trained words.

  Names may stand behind 'image_prompt_learner.'; frozen networks are left out.

  Raises:
    WeightsError: if the generators are not exactly the original's.
  """
  plain = {n.removeprefix(_OUTER): t for n, t in tensors.items()}
  sizes = infer(plain)
  return table.convert(plain, rules(sizes.prompt), IGNORE, shapes(sizes), sizes)


def to_original(
    flat: Mapping[str, np.ndarray], prompt: str, outer: str = ''
) -> dict[str, np.ndarray]:
  """Returns leaves, all or some, in the original's names and layout.

  Args:
    flat: 'mask/...', 'context/...' and 'words'; weights or gradients.
    prompt: 'both', 'mask' or 'context'.
    outer: put before names of generators.
  """
  state = table.to_original(flat, rules(prompt))
  return {n if n == _WORDS else outer + n: x for n, x in state.items()}


def _write(flat, notes, clip):
  CHECKPOINT.refuse(clip)
  own = {path.removeprefix('method/'): value for path, value in flat.items()}
  branches = {path.split('/')[0] for path in own} - {'words'}
  prompt = 'both' if len(branches) == 2 else branches.pop()
  return to_original(own, prompt, _OUTER)


CHECKPOINT = Checkpoint(
    'ev-clip',
    'an EV-CLIP checkpoint',
    sign=r'(image_prompt_learner\.)?dec\..*',
    read=from_original,
    write=_write,
)


def infer(tensors: Mapping[str, np.ndarray]) -> PromptSizes:
  """Finds which generators there are, and for which trunk, T and CLIP.

  Raises:
    WeightsError: if there are none.
  """

  def some(*starts):
    return any(name.startswith(starts) for name in tensors)

  def need(name):
    if name not in tensors:
      raise WeightsError(f'the tensor {name!r} of EV-CLIP is missing.')
    return tensors[name]

  if some('dec.dec_'):
    prompt = 'both'
  elif some('dec.context', 'dec.feature_adaptation'):
    prompt = 'context'
  elif some('dec.'):
    prompt = 'mask'
  else:
    raise WeightsError(
        'these are no mask or context prompts of EV-CLIP: no tensor is called '
        "'image_prompt_learner.dec....' or 'dec....'."
    )
  channels = num_frames = embed_dim = None
  bias = False
  if prefix := _MASK_PREFIX.get(prompt):
    num_frames = 2 * len(need(prefix + 'projection2spatial.0.weight'))
    channels = need(prefix + 'upsample1.expand.weight').shape[-1]
    bias = prefix + 'projection2spatial.0.bias' in tensors
  if prefix := _CONTEXT_PREFIX.get(prompt):
    embed_dim, channels = need(prefix + 'feature_adaptation.0.weight').shape
    bias = bias or prefix + 'feature_adaptation.0.bias' in tensors
  words = np.shape(tensors[_WORDS]) if _WORDS in tensors else None
  return PromptSizes(prompt, channels, num_frames, embed_dim, bias, words)


def shapes(sizes: PromptSizes) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every leaf of the generators, by path."""

  def init(module, time, side):
    z = jax.ShapeDtypeStruct((1, time, side, side, sizes.channels), jnp.float32)
    return jax.eval_shape(module.init, jax.random.key(0), z)['params']

  tree = {}
  if sizes.prompt in _MASK_PREFIX:
    check_features(sizes.channels)
    mask = MaskGenerator(bias=sizes.bias)
    tree['mask'] = init(mask, sizes.num_frames // 2, GRID)
  if sizes.prompt in _CONTEXT_PREFIX:
    context = ContextGenerator(sizes.embed_dim, bias=sizes.bias)
    tree['context'] = init(context, 1, 1)
  words = {'words': sizes.words} if sizes.words else {}
  return table.leaf_shapes(tree) | words
