"""CLIP trees to and from google-research Scenic's Linen CLIP.

Scenic keeps attention in flax's attention modules, with an axis of heads, and
batch norm statistics in a collection of their own. Everything else differs in
names only, so the way there and back is without loss.

Source: google-research/scenic, scenic/projects/baselines/clip/layers.py and
  the naming of its model.py, _convert_vars.
Differs: none in names and shapes.
"""

import re
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip.sizes import heads

# Our attention pool's layers by the names of flax's attention.
_POOL = {'q_proj': 'query', 'k_proj': 'key', 'v_proj': 'value', 'c_proj': 'out'}
_QKV = ('query', 'key', 'value')

# (ours, Scenic's) where a path differs in more than the collection in front.
_RENAMES = (
    (r'text/token_embedding', 'text/token_embedding/embedding'),
    (r'text/text_projection', 'text/text_projection/kernel'),
    (r'visual/proj', 'visual/proj/kernel'),
)
_STAGE = re.compile(r'visual/layer(\d+)\.(\d+)/(.*)')
_THEIR_STAGE = re.compile(r'visual/layer(\d+)/(\d+)/(.*)')


def to_scenic(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """A CLIP tree in Scenic's naming.

  Args:
    flat: path without the leading 'clip/' -> array; ViT or ResNet.

  Returns:
    'params/...' and 'batch_stats/...' paths -> arrays with the same values;
    unflattened, what Scenic's `load_model_vars` gives.
  """
  out: dict[str, np.ndarray] = {}
  for path, value in flat.items():
    value = np.asarray(value)
    *module, leaf = path.split('/')
    if module[-1:] == ['in_proj']:
      base = '/'.join([*module[:-1]])
      for name, part in zip(_QKV, np.split(value, 3, axis=-1), strict=True):
        out[f'params/{base}/{name}/{leaf}'] = _split_last(part)
    elif module[-1:] == ['out_proj']:
      base = '/'.join([*module[:-1], 'out'])
      kernel = leaf == 'kernel'
      out[f'params/{base}/{leaf}'] = _split_first(value) if kernel else value
    elif module[1:2] == ['attnpool'] and module[-1] in _POOL:
      name = _POOL[module[-1]]
      if name != 'out':
        value = _split_last(value)
      elif leaf == 'kernel':
        value = _split_first(value)
      out[f'params/visual/attnpool/attn/{name}/{leaf}'] = value
    else:
      kind = 'batch_stats' if leaf in ('mean', 'var') else 'params'
      out[f'{kind}/{_their_path(path)}'] = value
  return out


def from_scenic(tree: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The inverse of `to_scenic`.

  Args:
    tree: 'params/...' and 'batch_stats/...' paths -> arrays.

  Returns:
    Our flat tree, without the leading 'clip/'.

  Raises:
    WeightsError: a path of another collection, or query, key or value missing.
  """
  out: dict[str, np.ndarray] = {}
  fused: dict[str, dict[str, np.ndarray]] = {}
  pool = {theirs: ours for ours, theirs in _POOL.items()}
  for full, value in tree.items():
    collection, _, path = full.partition('/')
    if collection not in ('params', 'batch_stats'):
      raise WeightsError(f'{full!r} is not of a Scenic CLIP tree.')
    value = np.asarray(value)
    match = re.fullmatch(r'(.*)/attn/(query|key|value|out)/(kernel|bias)', path)
    if not match:
      out[_our_path(path)] = value
      continue
    base, name, leaf = match.groups()
    kernel = leaf == 'kernel'
    if name == 'out':
      value = value.reshape(-1, value.shape[-1]) if kernel else value
    else:
      value = value.reshape(*value.shape[:-2], -1)
    if base == 'visual/attnpool':
      out[f'{base}/{pool[name]}/{leaf}'] = value
    elif name == 'out':
      out[f'{base}/attn/out_proj/{leaf}'] = value
    else:
      fused.setdefault(f'{base}/attn/in_proj/{leaf}', {})[name] = value
  for path, parts in fused.items():
    if parts.keys() != set(_QKV):
      raise WeightsError(
          f'of {path!r} there are only {sorted(parts)}, wanted {_QKV}.'
      )
    out[path] = np.concatenate([parts[name] for name in _QKV], axis=-1)
  return out


def _their_path(path: str) -> str:
  for ours, theirs in _RENAMES:
    if path == ours:
      return theirs
  if match := _STAGE.fullmatch(path):
    rest = match[3].replace('downsample.', 'downsample/')
    return f'visual/layer{match[1]}/{match[2]}/{rest}'
  return path


def _our_path(path: str) -> str:
  for ours, theirs in _RENAMES:
    if path == theirs:
      return ours
  if match := _THEIR_STAGE.fullmatch(path):
    rest = match[3].replace('downsample/', 'downsample.')
    return f'visual/layer{match[1]}.{match[2]}/{rest}'
  return path


def _split_last(value: np.ndarray) -> np.ndarray:
  """[..., D] -> [..., h, D / h]."""
  count = heads(value.shape[-1])
  return value.reshape(*value.shape[:-1], count, -1)


def _split_first(value: np.ndarray) -> np.ndarray:
  """[D, E] -> [h, D / h, E]."""
  return value.reshape(heads(value.shape[0]), -1, value.shape[-1])
