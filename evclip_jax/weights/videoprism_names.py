"""Converts VideoPrism's published weights, and back."""

import re
from collections.abc import Mapping

import jax
import numpy as np

from evclip_jax.models.videoprism import sizes as videoprism_sizes
from evclip_jax.models.videoprism.encoder import Encoder
from evclip_jax.models.videoprism.sizes import VideoPrismSizes
from evclip_jax.models.videoprism.video_text import Joint, TextTower
from evclip_jax.weights import table
from evclip_jax.weights.table import Converted, Layout, Rule

# Raise it when a rule changes, so that cached conversions become stale.
VERSION = 1

_PREFIX = 'params/'
# The class token, which is [1, 1, D] in the files.
_VECTOR = Layout('vector', lambda x: x.reshape(-1), lambda x: x[None, None])


def _attention(name: str, path: str, heads: int) -> tuple[Rule, ...]:
  into = Layout(
      'heads',
      lambda x: x.reshape(len(x), -1),
      lambda x: x.reshape(len(x), heads, -1),
  )
  bias = Layout(
      'heads', lambda x: x.reshape(-1), lambda x: x.reshape(heads, -1)
  )
  # In the files, the output axis comes first here too.
  out = Layout(
      'heads',
      lambda x: x.reshape(len(x), -1).T,
      lambda x: x.T.reshape(x.shape[1], heads, -1),
  )
  # `name` may have groups before this one.
  group = f'\\{name.count("(") + 1}'
  three = name + '(query|key|value)/'
  return (
      Rule(three + 'w', f'{path}{group}/kernel', into),
      Rule(three + 'b', f'{path}{group}/bias', bias),
      Rule(name + 'post/w', path + 'post/kernel', out),
      Rule(name + 'post/b', path + 'post/bias'),
  )


def _norm(name: str, path: str) -> tuple[Rule, ...]:
  return tuple(
      Rule(f'{name}/{leaf}', f'{path}/{leaf}') for leaf in ('scale', 'bias')
  )


def _linear(name: str, path: str) -> tuple[Rule, ...]:
  return tuple(
      Rule(f'{name}/linear/{leaf}', f'{path}/{leaf}')
      for leaf in ('kernel', 'bias')
  )


def _blocks(name: str, path: str, heads: int) -> tuple[Rule, ...]:
  name, path = name + r'/x_layers_(\d+)/', path + r'\1/'
  return (
      *_norm(name + 'layer_norm', path + 'norm1'),
      *_attention(name + 'self_attention/', path + 'attention/', heads),
      *_norm(name + 'ff_layer/layer_norm', path + 'norm2'),
      *_linear(name + 'ff_layer/ffn_layer1', path + 'fc1'),
      *_linear(name + 'ff_layer/ffn_layer2', path + 'fc2'),
  )


def pooler_rules(name: str, path: str, heads: int) -> tuple[Rule, ...]:
  """Returns the table of an attention pooler, by prefixes of names, paths."""
  attention = f'{name}/pooling_attention/'
  return (
      Rule(f'{name}/pooling_attention_query', f'{path}/query_embedding'),
      *_attention(attention, f'{path}/', heads),
      Rule(attention + 'per_dim_scale/per_dim_scale', f'{path}/per_dim_scale'),
      *_norm(f'{name}/pooling_attention_layer_norm', f'{path}/norm'),
  )


def rules(sizes: VideoPrismSizes) -> tuple[Rule, ...]:
  """Returns the table of an architecture, for blocks that are unstacked."""
  name, path = ('vision_encoder/', 'video/') if sizes.text_layers else ('', '')
  heads, stack = sizes.heads, '_encoder/transformers_stack'
  out = [*_linear(name + 'patch_projection', path + 'patch_projection')]
  for kind in ('spatial', 'temporal'):
    positions = f'{path}{kind}_position_embedding'
    out += [
        Rule(f'{name}{kind}_pos_emb/emb_var', positions),
        *_norm(f'{name}{kind}_ln', f'{path}{kind}_norm'),
        *_blocks(f'{name}{kind}{stack}', f'{path}{kind}.', heads),
    ]
  if sizes.text_layers:
    text = 'text_encoder/'
    pooler = 'contrastive_vision_pooler'
    out += [
        *_blocks('auxiliary' + stack, 'joint/blocks.', heads),
        *pooler_rules(pooler, 'joint/pooler', heads),
        Rule(text + 'token_emb/emb_var', 'text/token_embedding'),
        Rule(text + 'cls_emb', 'text/class_embedding', _VECTOR),
        *_norm(text + 'unimodal_ln', 'text/norm'),
        *_blocks(text + 'unimodal_transformer', 'text/blocks.', heads),
    ]
  return tuple(out)


def from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts an encoder, or a video-text model.

  Args:
    tensors: names as in the published files, with or without 'params/', blocks
      stacked on axis 0 or unstacked.

  Returns:
    `VideoPrismSizes` and the flat tree without the leading 'encoder/'. Scales
    of layer norms are 1 more than in the file.

  Raises:
    WeightsError: the tensors are not exactly those of such a network.
  """
  plain = unstacked(tensors)
  sizes = videoprism_sizes.infer(plain)
  found = table.convert(plain, rules(sizes), (), shapes(sizes), sizes)
  for path in found.flat:
    if path.endswith('/scale'):
      found.flat[path] = found.flat[path] + np.float32(1)
  return found


def unstacked(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns separate tensors for each block, in names without 'params/'."""
  out = {}
  for name, tensor in tensors.items():
    name = name.removeprefix(_PREFIX)
    if '/x_layers/' not in name or not np.ndim(tensor):
      out[name] = tensor
      continue
    for i, part in enumerate(tensor):
      out[name.replace('/x_layers/', f'/x_layers_{i}/')] = part
  return out


def to_original(
    flat: Mapping[str, np.ndarray], sizes: VideoPrismSizes
) -> dict[str, np.ndarray]:
  """Returns a flat tree with the published names and stacked blocks."""
  less = {
      path: value - np.float32(1) if path.endswith('/scale') else value
      for path, value in flat.items()
  }
  names = table.to_original(less, rules(sizes))
  stacks: dict[str, dict[int, np.ndarray]] = {}
  out = {}
  for name, value in names.items():
    if match := re.search(r'/x_layers_(\d+)/', name):
      stack = _PREFIX + name.replace(match[0], '/x_layers/')
      stacks.setdefault(stack, {})[int(match[1])] = value
    else:
      out[_PREFIX + name] = value
  return out | {
      name: np.stack([parts[i] for i in sorted(parts)])
      for name, parts in stacks.items()
  }


def shapes(sizes: VideoPrismSizes) -> dict[str, tuple[int, ...]]:
  """Returns path -> shape of every leaf of a network."""

  def init(module, *shape, dtype=np.float32, **more):
    def make():
      return module.init(jax.random.key(0), np.zeros(shape, dtype), **more)

    return jax.eval_shape(make)['params']

  tree = init(Encoder(sizes), 1, 1, sizes.patch, sizes.patch, 3)
  if sizes.text_layers:
    tree = {
        'video': tree,
        'joint': init(Joint(sizes), 1, 1, sizes.width, num_frames=1),
        'text': init(TextTower(sizes), 1, 1, dtype=np.int32),
    }
  return table.leaf_shapes(tree)
