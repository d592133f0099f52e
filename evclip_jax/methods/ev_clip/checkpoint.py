"""EV-CLIP's own checkpoints: its prompt generators to our tree and back."""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from data_pipelines.errors import WeightsError
from evclip_jax.methods import base
from evclip_jax.methods.ev_clip.generators import (
  GRID,
  ContextGenerator,
  MaskGenerator,
  check_features,
)
from evclip_jax.weights.table import LINEAR, Converted, Rule, convert
from evclip_jax.weights.table import to_original as table_to_original

KIND, LABEL, PART, VERSION = 'ev-clip', 'an EV-CLIP checkpoint', 'method', 1

# Where the original keeps the generators, by what `prompt` asks for.
_MASK_PREFIX = {'both': 'dec.dec_s.', 'mask': 'dec.'}
_CONTEXT_PREFIX = {'both': 'dec.dec_t.', 'context': 'dec.'}
_OUTER = 'image_prompt_learner.'

# The rest of a checkpoint: frozen networks and what code derives.
IGNORE = (
    r'(image_prompt_learner\.)?enc\..*',
    r'image_encoder\..*',
    r'text_encoder\..*',
    r'text_prompt_learner\..*',
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
  """

  prompt: str
  channels: int
  num_frames: int | None
  embed_dim: int | None
  bias: bool


def rules(prompt: str) -> tuple[Rule, ...]:
  """Returns the table of one kind of checkpoint, without the outer prefix."""
  out: tuple[Rule, ...] = ()
  if prompt in _MASK_PREFIX:
    out += _mask_rules(_MASK_PREFIX[prompt].replace('.', r'\.'))
  if prompt in _CONTEXT_PREFIX:
    out += _context_rules(_CONTEXT_PREFIX[prompt].replace('.', r'\.'))
  return out


def recognise(tensors: Mapping[str, np.ndarray]) -> bool:
  """Returns whether there are prompt generators."""
  return any(name.removeprefix(_OUTER).startswith('dec.') for name in tensors)


def from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts a checkpoint's prompt generators.

  Args:
    tensors: the state dict; names behind 'image_prompt_learner.' or not. Frozen
      networks and derived buffers among them are left out.

  Returns:
    `PromptSizes` and the flat tree 'mask/...', 'context/...'.

  Raises:
    WeightsError: if the generators are not exactly the original's.
  """
  plain = {n.removeprefix(_OUTER): t for n, t in tensors.items()}
  sizes = infer(plain)
  return convert(plain, rules(sizes.prompt), IGNORE, shapes(sizes), sizes)


def to_original(
    flat: Mapping[str, np.ndarray], prompt: str, outer: str = ''
) -> dict[str, np.ndarray]:
  """Converts back.

  Args:
    flat: 'mask/...' and 'context/...' leaves, all or some; weights or
      gradients.
    prompt: 'both', 'mask' or 'context'.
    outer: put before each name; 'image_prompt_learner.' in a whole checkpoint.

  Returns:
    Original names, 'dec....', in the original layout.
  """
  state = table_to_original(flat, rules(prompt))
  return {outer + name: value for name, value in state.items()}


def to_checkpoint(
    flat: Mapping[str, np.ndarray],
    notes: Mapping[str, str],
    clip: Mapping[str, np.ndarray] | None,
) -> dict[str, np.ndarray]:
  """Writes what a run trained as the original's tensors; see `checkpoints`.

  Raises:
    UserError: there is a CLIP, which these checkpoints need not hold.
  """
  del notes
  base.refuse_clip(clip, 'EV-CLIP')
  own = {path.removeprefix('method/'): value for path, value in flat.items()}
  branches = {path.split('/')[0] for path in own}
  prompt = 'both' if len(branches) == 2 else branches.pop()
  return to_original(own, prompt, _OUTER)


def infer(tensors: Mapping[str, np.ndarray]) -> PromptSizes:
  """Finds which generators there are, and for which trunk, T and CLIP.

  Raises:
    WeightsError: if there are none.
  """
  if any(name.startswith('dec.dec_') for name in tensors):
    prompt = 'both'
  elif any(
      name.startswith(('dec.context', 'dec.feature_adaptation'))
      for name in tensors
  ):
    prompt = 'context'
  elif any(name.startswith('dec.') for name in tensors):
    prompt = 'mask'
  else:
    raise WeightsError(
        'these are no EV-CLIP prompts: no tensor is called '
        "'image_prompt_learner.dec....' or 'dec....'."
    )
  channels = num_frames = embed_dim = None
  bias = False
  if prefix := _MASK_PREFIX.get(prompt):
    time = _need(tensors, prefix + 'projection2spatial.0.weight')
    num_frames = 2 * time.shape[0]
    channels = _need(tensors, prefix + 'upsample1.expand.weight').shape[-1]
    bias = prefix + 'projection2spatial.0.bias' in tensors
  if prefix := _CONTEXT_PREFIX.get(prompt):
    project = _need(tensors, prefix + 'feature_adaptation.0.weight')
    embed_dim, channels = project.shape
    bias = bias or prefix + 'feature_adaptation.0.bias' in tensors
  return PromptSizes(prompt, channels, num_frames, embed_dim, bias)


def shapes(sizes: PromptSizes) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every leaf of the generators, by path."""
  tree = {}
  if sizes.prompt in _MASK_PREFIX:
    check_features(sizes.channels, sizes.num_frames)
    z = jax.ShapeDtypeStruct(
        (1, sizes.num_frames // 2, GRID, GRID, sizes.channels), jnp.float32
    )
    tree['mask'] = _init_shapes(MaskGenerator(bias=sizes.bias), z)
  if sizes.prompt in _CONTEXT_PREFIX:
    z = jax.ShapeDtypeStruct((1, 1, 1, 1, sizes.channels), jnp.float32)
    module = ContextGenerator(sizes.embed_dim, bias=sizes.bias)
    tree['context'] = _init_shapes(module, z)
  leaves = flatten_dict(tree, sep='/')
  return {path: tuple(leaf.shape) for path, leaf in leaves.items()}


def _init_shapes(module: nn.Module, z: jax.ShapeDtypeStruct):
  return jax.eval_shape(module.init, jax.random.key(0), z)['params']


def _need(tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
  if name not in tensors:
    raise WeightsError(f'the tensor {name!r} of EV-CLIP is missing.')
  return tensors[name]


def _mask_rules(prefix: str) -> tuple[Rule, ...]:
  block = prefix + r'(block1|block2)\.(0|1)\.'
  in_block = r'mask/\1.\2/'
  dense = prefix + r'(projection2spatial|channel_projection)\.(0|2)\.'
  return (
      Rule(prefix + 'logit_scale', 'mask/logit_scale'),
      Rule(dense + 'weight', r'mask/\1.\2/kernel', LINEAR),
      Rule(dense + 'bias', r'mask/\1.\2/bias'),
      Rule(
          prefix + r'projection2spatial\.4\.weight',
          'mask/projection2spatial.4/scale',
      ),
      Rule(
          prefix + r'projection2spatial\.4\.bias',
          'mask/projection2spatial.4/bias',
      ),
      Rule(
          prefix + r'upsample(1|2|3)\.expand\.weight',
          r'mask/upsample\1/expand/kernel',
          LINEAR,
      ),
      Rule(
          prefix + r'upsample(1|2|3)\.norm\.weight',
          r'mask/upsample\1/norm/scale',
      ),
      Rule(
          prefix + r'upsample(1|2|3)\.norm\.bias', r'mask/upsample\1/norm/bias'
      ),
      Rule(block + r'(norm1|norm2)\.weight', in_block + r'\3/scale'),
      Rule(block + r'(norm1|norm2)\.bias', in_block + r'\3/bias'),
      Rule(
          block + r'attn\.relative_position_bias_table',
          in_block + 'attn/relative_position_bias_table',
      ),
      Rule(
          block + r'attn\.(qkv|proj)\.weight', in_block + r'attn/\3/kernel',
          LINEAR,
      ),
      Rule(block + r'attn\.(qkv|proj)\.bias', in_block + r'attn/\3/bias'),
      Rule(
          block + r'mlp\.(fc1|fc2)\.weight', in_block + r'mlp/\3/kernel', LINEAR
      ),
      Rule(block + r'mlp\.(fc1|fc2)\.bias', in_block + r'mlp/\3/bias'),
  )


def _context_rules(prefix: str) -> tuple[Rule, ...]:
  first = prefix + r'feature_adaptation\.0\.'
  norm = prefix + r'feature_adaptation\.2\.'
  return (
      Rule(prefix + 'context_scale', 'context/context_scale'),
      Rule(first + 'weight', 'context/feature_adaptation.0/kernel', LINEAR),
      Rule(first + 'bias', 'context/feature_adaptation.0/bias'),
      Rule(norm + 'weight', 'context/feature_adaptation.2/scale'),
      Rule(norm + 'bias', 'context/feature_adaptation.2/bias'),
  )
