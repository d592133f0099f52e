"""CLIP weights in OpenAI's naming to our tree and back."""

from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip import sizes as sizes_lib
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights.loaded import Converted
from evclip_jax.weights.table import CONV2D, LINEAR, Rule, convert
from evclip_jax.weights.table import to_source as table_to_source
from evclip_jax.weights.tree import flatten

# Raise it when a rule changes: it makes cached conversions stale.
VERSION = 1


def _block(source: str, target: str) -> tuple[Rule, ...]:
  """The rules of one tower's transformer blocks."""
  source, target = source + r'(\d+)\.', target + r'\1/'
  return (
      Rule(source + r'(ln_1|ln_2)\.weight', target + r'\2/scale'),
      Rule(source + r'(ln_1|ln_2)\.bias', target + r'\2/bias'),
      Rule(
          source + r'attn\.in_proj_weight',
          target + 'attn/in_proj/kernel',
          LINEAR,
      ),
      Rule(source + r'attn\.in_proj_bias', target + 'attn/in_proj/bias'),
      Rule(
          source + r'attn\.out_proj\.weight',
          target + 'attn/out_proj/kernel',
          LINEAR,
      ),
      Rule(source + r'attn\.out_proj\.bias', target + 'attn/out_proj/bias'),
      Rule(
          source + r'mlp\.(c_fc|c_proj)\.weight',
          target + r'mlp/\2/kernel',
          LINEAR,
      ),
      Rule(source + r'mlp\.(c_fc|c_proj)\.bias', target + r'mlp/\2/bias'),
  )


def _batch_norm(source: str, target: str) -> tuple[Rule, ...]:
  """The rules of batch norms."""
  return (
      Rule(source + r'\.weight', target + '/scale'),
      Rule(source + r'\.bias', target + '/bias'),
      Rule(source + r'\.running_mean', target + '/mean'),
      Rule(source + r'\.running_var', target + '/var'),
  )


_STAGE = r'visual\.layer(\d+)\.(\d+)\.'
_IN_STAGE = r'visual/layer\1.\2/'

RULES = (
    Rule(r'logit_scale', 'logit_scale'),
    # The text tower.
    Rule(r'token_embedding\.weight', 'text/token_embedding'),
    Rule(r'positional_embedding', 'text/positional_embedding'),
    Rule(r'text_projection', 'text/text_projection'),
    Rule(r'ln_final\.weight', 'text/ln_final/scale'),
    Rule(r'ln_final\.bias', 'text/ln_final/bias'),
    *_block(r'transformer\.resblocks\.', 'text/transformer/resblocks.'),
    # The image tower, a ViT.
    Rule(
        r'visual\.(class_embedding|positional_embedding|proj)', r'visual/\1'
    ),
    Rule(r'visual\.(ln_pre|ln_post)\.weight', r'visual/\1/scale'),
    Rule(r'visual\.(ln_pre|ln_post)\.bias', r'visual/\1/bias'),
    *_block(
        r'visual\.transformer\.resblocks\.', 'visual/transformer/resblocks.'
    ),
    # Its patches or, in a ResNet, its stem.
    Rule(r'visual\.(conv\d)\.weight', r'visual/\1/kernel', CONV2D),
    # The image tower, a ResNet.
    *_batch_norm(r'visual\.(bn\d)', r'visual/\1'),
    Rule(_STAGE + r'(conv\d)\.weight', _IN_STAGE + r'\3/kernel', CONV2D),
    *_batch_norm(_STAGE + r'(bn\d)', _IN_STAGE + r'\3'),
    Rule(
        _STAGE + r'downsample\.0\.weight',
        _IN_STAGE + 'downsample.0/kernel',
        CONV2D,
    ),
    *_batch_norm(_STAGE + r'downsample\.1', _IN_STAGE + 'downsample.1'),
    Rule(
        r'visual\.attnpool\.positional_embedding',
        'visual/attnpool/positional_embedding',
    ),
    Rule(
        r'visual\.attnpool\.(q_proj|k_proj|v_proj|c_proj)\.weight',
        r'visual/attnpool/\1/kernel',
        LINEAR,
    ),
    Rule(
        r'visual\.attnpool\.(q_proj|k_proj|v_proj|c_proj)\.bias',
        r'visual/attnpool/\1/bias',
    ),
)

# Not needed: numbers that the shapes tell, counters of training steps, and the
# causal mask that some files hold.
IGNORE = (
    r'input_resolution',
    r'context_length',
    r'vocab_size',
    r'attn_mask',
    r'.*\.num_batches_tracked',
)

# What open_clip puts before the names of the text tower in some of its models.
_TEXT_PREFIX = 'text.'


def from_source(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts a CLIP state dict.

  Args:
    tensors: names as in OpenAI's files or open_clip's, any float dtype.

  Returns:
    `ClipSizes` and the flat tree without the leading 'clip/'.

  Raises:
    WeightsError: if the tensors are not exactly those of a CLIP model.

  Source: openai/CLIP, clip/model.py, build_model.
  Differs: matrices in float32 are not rounded to float16 first; those of the
    published files are float16 already.
  """
  plain: dict[str, np.ndarray] = {}
  for name, tensor in tensors.items():
    short = name.removeprefix(_TEXT_PREFIX)
    if short in plain:
      raise WeightsError(f'the tensor {short!r} is there twice.')
    plain[short] = tensor
  sizes = sizes_lib.infer(plain)
  flat, report = convert(plain, RULES, IGNORE, shapes(sizes))
  return Converted(sizes, flat, report)


def to_source(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The inverse: a flat tree, or a part of it, in OpenAI's naming and layout.

  Args:
    flat: path without the leading 'clip/' -> array.
  """
  return table_to_source(flat, RULES)


def sizes_of(flat: Mapping[str, np.ndarray]) -> sizes_lib.ClipSizes:
  """The architecture of a converted flat tree."""
  return sizes_lib.infer(to_source(flat))


def shapes(sizes: sizes_lib.ClipSizes) -> dict[str, tuple[int, ...]]:
  """Path -> shape of every leaf of such a model."""
  tree = flatten(Clip(sizes).shapes())
  return {path: tuple(leaf.shape) for path, leaf in tree.items()}
