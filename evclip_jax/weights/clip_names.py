"""Converts CLIP weights from OpenAI's or Hugging Face's names, and back."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import table
from evclip_jax.weights.table import CONV2D, LINEAR, Rule, dense, norm

# Raise it when a rule changes, so that cached conversions become stale.
VERSION = 3


def _block(name: str, path: str) -> tuple[Rule, ...]:
  """Returns the rules of a tower's transformer blocks."""
  name, path = name + r'(\d+)\.', path + r'\1/'
  attn, attn_path = name + r'attn\.', path + 'attn/'
  return (
      *norm(name + '(ln_1|ln_2)', path + r'\2'),
      Rule(attn + 'in_proj_weight', attn_path + 'in_proj/kernel', LINEAR),
      Rule(attn + 'in_proj_bias', attn_path + 'in_proj/bias'),
      *dense(attn + 'out_proj', attn_path + 'out_proj'),
      *dense(name + r'mlp\.(c_fc|c_proj)', path + r'mlp/\2'),
  )


def _batch_norm(name: str, path: str) -> tuple[Rule, ...]:
  """Returns the rules of batch norms."""
  return (
      *norm(name, path),
      Rule(name + r'\.running_mean', path + '/mean'),
      Rule(name + r'\.running_var', path + '/var'),
  )


_STAGE = r'visual\.layer(\d+)\.(\d+)\.'
_IN_STAGE = r'visual/layer\1.\2/'
_SHORTCUT = _IN_STAGE + 'downsample.'
_POOL = r'visual\.attnpool\.'

RULES = (
    Rule(r'logit_scale', 'logit_scale'),
    # The text tower.
    Rule(r'token_embedding\.weight', 'text/token_embedding'),
    Rule(r'(positional_embedding|text_projection)', r'text/\1'),
    *norm('ln_final', 'text/ln_final'),
    *_block(r'transformer\.resblocks\.', 'text/transformer/resblocks.'),
    # The image tower, a ViT.
    Rule(
        r'visual\.(class_embedding|positional_embedding|proj)', r'visual/\1'
    ),
    *norm(r'visual\.(ln_pre|ln_post)', r'visual/\1'),
    *_block(
        r'visual\.transformer\.resblocks\.', 'visual/transformer/resblocks.'
    ),
    # The patches of a ViT, or the stem of a ResNet.
    Rule(r'visual\.(conv\d)\.weight', r'visual/\1/kernel', CONV2D),
    # The image tower, a ResNet.
    *_batch_norm(r'visual\.(bn\d)', r'visual/\1'),
    Rule(_STAGE + r'(conv\d)\.weight', _IN_STAGE + r'\3/kernel', CONV2D),
    *_batch_norm(_STAGE + r'(bn\d)', _IN_STAGE + r'\3'),
    Rule(_STAGE + r'downsample\.0\.weight', _SHORTCUT + '0/kernel', CONV2D),
    *_batch_norm(_STAGE + r'downsample\.1', _SHORTCUT + '1'),
    Rule(
        _POOL + 'positional_embedding', 'visual/attnpool/positional_embedding'
    ),
    *dense(_POOL + '(q_proj|k_proj|v_proj|c_proj)', r'visual/attnpool/\1'),
)

# Not needed: sizes, which the shapes show, counters of training steps, and the
# causal mask that some files contain.
IGNORE = (
    r'input_resolution',
    r'context_length',
    r'vocab_size',
    r'attn_mask',
    r'.*\.num_batches_tracked',
)

# Prefix of the text tower's names in some of open_clip's models.
_TEXT_PREFIX = 'text.'


def from_original(tensors: Mapping[str, np.ndarray]) -> table.Converted:
  """Converts a CLIP state dict.

  Args:
    tensors: OpenAI's or open_clip's names -> arrays of any float dtype.

  Returns:
    `ClipSizes` and the flat tree without the leading 'clip/'.

  Raises:
    WeightsError: the tensors are not exactly those of a CLIP model.

  Source: openai/CLIP, clip/model.py, build_model.
  Differs: float32 matrices are not rounded to float16; those of the published
    files are float16.
  """
  plain = table.without(_TEXT_PREFIX, tensors)
  # Its shape is (1,) in some of open_clip's models.
  if np.shape(plain.get('logit_scale')) == (1,):
    plain['logit_scale'] = np.reshape(plain['logit_scale'], ())
  sizes = clip_sizes.infer(plain)
  return table.convert(plain, RULES, IGNORE, shapes(sizes), sizes)


def to_original(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns OpenAI's names and layout of all or some leaves.

  Args:
    flat: path without the leading 'clip/' -> array.
  """
  return table.to_original(flat, RULES)


def sizes_of(flat: Mapping[str, np.ndarray]) -> clip_sizes.ClipSizes:
  """Returns the architecture of a flat tree, as from `from_original`."""
  return clip_sizes.infer(to_original(flat))


def shapes(sizes: clip_sizes.ClipSizes) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of every leaf of a model."""
  return table.leaf_shapes(Clip(sizes).shapes())


# Parts of Hugging Face's names -> parts of OpenAI's, replaced in this order.
# "layrnorm" is their spelling.
_HUGGINGFACE = (
    ('text_model.', ''),
    ('vision_model.', 'visual.'),
    ('visual_projection.weight', 'visual.proj'),
    ('text_projection.weight', 'text_projection'),
    ('embeddings.patch_embedding', 'conv1'),
    ('embeddings.position_embedding.weight', 'positional_embedding'),
    ('embeddings.', ''),
    ('final_layer_norm', 'ln_final'),
    ('pre_layrnorm', 'ln_pre'),
    ('post_layernorm', 'ln_post'),
    ('encoder.layers', 'transformer.resblocks'),
    ('.layer_norm', '.ln_'),
    ('.mlp.fc1.', '.mlp.c_fc.'),
    ('.mlp.fc2.', '.mlp.c_proj.'),
    ('.self_attn.', '.attn.'),
)
_QKV = re.compile(r'(.*\.attn\.)([qkv])_proj\.(weight|bias)')
_KNOWN = re.compile('|'.join([_QKV.pattern, *(r.original for r in RULES)]))


def from_huggingface(tensors: Mapping[str, np.ndarray]) -> table.Converted:
  """Converts the state dict of a Hugging Face `CLIPModel`.

  Raises:
    WeightsError: the tensors are not exactly those of such a model.
  """
  for tower in ('text_model.', 'vision_model.'):
    if not any(name.startswith(tower) for name in tensors):
      raise WeightsError(
          f"no tensor is called '{tower}...': it has only one tower of a CLIP; "
          'wanted both.'
      )
  plain, fused, ignored = {}, {}, []
  for full, tensor in tensors.items():
    if full.endswith('_model.embeddings.position_ids'):
      ignored.append(full)  # the numbers 0, 1, 2, ...
      continue
    name = full
    for theirs, ours in _HUGGINGFACE:
      name = name.replace(theirs, ours)
    if name == full != 'logit_scale' or not _KNOWN.fullmatch(name):
      raise WeightsError(
          f'the tensor {full!r} is not of a Hugging Face CLIPModel.'
      )
    if qkv := _QKV.fullmatch(name):
      parts = fused.setdefault(f'{qkv[1]}in_proj_{qkv[3]}', {})
      parts[qkv[2]] = tensor
    else:
      transposed = name in ('text_projection', 'visual.proj')
      plain[name] = tensor.T if transposed else tensor
  converted = from_original(plain | table.joined(fused, 'qkv', 0))
  return dataclasses.replace(converted, ignored=tuple(ignored))
