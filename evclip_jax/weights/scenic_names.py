"""CLIP trees to and from google-research Scenic's Linen CLIP.

Scenic keeps attention in flax's attention modules, with an axis of heads, and
batch norm statistics in a collection of their own. Everything else differs in
names only, so the way there and back is without loss.

Source: google-research/scenic, scenic/projects/baselines/clip/layers.py and
  the naming of its model.py, _convert_vars.
Differs: none in names and shapes.
"""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.weights import clip_names
from evclip_jax.weights.table import Converted

_QKV = ('query', 'key', 'value')
_STAGE = r'visual/layer(\d+)'
# (ours, what Scenic makes of it, Scenic's, what we make of it); the first that
# matches, if any.
_RENAMES = (
    *(
        (ours, theirs, theirs, ours)
        for ours, theirs in (
            ('text/token_embedding', 'text/token_embedding/embedding'),
            ('text/text_projection', 'text/text_projection/kernel'),
            ('visual/proj', 'visual/proj/kernel'),
        )
    ),
    *(
        (
            rf'visual/attnpool/{ours}/(\w+)',
            rf'visual/attnpool/attn/{theirs}/\1',
            rf'visual/attnpool/attn/{theirs}/(\w+)',
            rf'visual/attnpool/{ours}/\1',
        )
        for ours, theirs in zip(
            ('q_proj', 'k_proj', 'v_proj', 'c_proj'), (*_QKV, 'out'),
            strict=True,
        )
    ),
    (r'(.*)/out_proj/(\w+)', r'\1/out/\2',
     r'(.*)/out/(\w+)', r'\1/out_proj/\2'),
    (_STAGE + r'\.(\d+)/downsample\.(.*)', r'visual/layer\1/\2/downsample/\3',
     _STAGE + r'/(\d+)/downsample/(.*)', r'visual/layer\1.\2/downsample.\3'),
    (_STAGE + r'\.(\d+)/(.*)', r'visual/layer\1/\2/\3',
     _STAGE + r'/(\d+)/(.*)', r'visual/layer\1.\2/\3'),
)
_ATTENTION = re.compile(r'.*/attn/(query|key|value|out)/(kernel|bias)')


def to_scenic(
    flat: Mapping[str, np.ndarray], sizes: clip_sizes.ClipSizes | None = None
) -> dict[str, np.ndarray]:
  """Returns a CLIP tree in Scenic's naming.

  Args:
    flat: path without the leading 'clip/' -> array; ViT or ResNet.
    sizes: of the CLIP, for its heads; None if they have 64 channels each.

  Returns:
    'params/...' and 'batch_stats/...' paths -> arrays with the same values;
    unflattened, what Scenic's `load_model_vars` gives.

  Raises:
    UserError: Scenic's CLIP does not compute the activation.
  """
  if sizes and sizes.activation != 'quick_gelu':
    raise UserError(
        f"Scenic's CLIP computes quick_gelu, this one has {sizes.activation}."
    )
  out: dict[str, np.ndarray] = {}
  for path, value in flat.items():
    parts = {path: np.asarray(value)}
    if '/in_proj/' in path:
      thirds = np.split(np.asarray(value), 3, axis=-1)
      parts = {
          path.replace('in_proj', name): part
          for name, part in zip(_QKV, thirds, strict=True)
      }
    kind = 'batch_stats' if path.endswith(('/mean', '/var')) else 'params'
    for ours, part in parts.items():
      theirs = _renamed(ours, 0)
      if match := _ATTENTION.fullmatch(theirs):
        part = _with_heads(part, *match.groups(), _count(theirs, part, sizes))
      out[f'{kind}/{theirs}'] = part
  return out


def _count(path: str, part: np.ndarray, sizes) -> int:
  """Attention heads of a tower."""
  if sizes is not None:
    return sizes.text_heads if path[:4] == 'text' else sizes.vision_heads
  return clip_sizes.heads(part.shape[0 if '/out/' in path else -1])


def _with_heads(
    part: np.ndarray, name: str, leaf: str, heads: int
) -> np.ndarray:
  if name != 'out':
    return part.reshape(*part.shape[:-1], heads, -1)
  return part.reshape(heads, -1, part.shape[-1]) if leaf == 'kernel' else part


def from_scenic(tree: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns our flat tree, without the leading 'clip/'.

  Args:
    tree: 'params/...' and 'batch_stats/...' paths -> arrays.

  Raises:
    WeightsError: a path of another collection, or query, key or value missing.
  """
  out: dict[str, np.ndarray] = {}
  fused: dict[str, dict[str, np.ndarray]] = {}
  for full, value in tree.items():
    collection, _, path = full.partition('/')
    if collection not in ('params', 'batch_stats'):
      raise WeightsError(f'{full!r} is not of a Scenic CLIP tree.')
    value = np.asarray(value)
    name = ''
    if match := _ATTENTION.fullmatch(path):
      name, leaf = match.groups()
      if name != 'out':
        value = value.reshape(*value.shape[:-2], -1)
      elif leaf == 'kernel':
        value = value.reshape(-1, value.shape[-1])
    ours = _renamed(path, 2)
    if name in _QKV and ours == path:
      fused.setdefault(path.replace(name, 'in_proj'), {})[name] = value
    else:
      out[ours] = value
  for path, parts in fused.items():
    if parts.keys() != set(_QKV):
      raise WeightsError(
          f'of {path!r} there are only {sorted(parts)}, wanted {_QKV}.'
      )
    out[path] = np.concatenate([parts[name] for name in _QKV], axis=-1)
  return out


def convert(tree: Mapping[str, np.ndarray]) -> Converted:
  """Converts a Scenic tree, checked by the one table as all others.

  Raises:
    WeightsError: it is no whole CLIP of Scenic's.
  """
  try:
    tensors = clip_names.to_original(from_scenic(tree))
  except ValueError as e:
    raise WeightsError(f'it is no whole Scenic CLIP tree: {e}') from e
  converted = clip_names.from_original(tensors)
  heads = {}
  for path, value in tree.items():
    if path.endswith('/attn/query/bias'):
      tower = 'text' if path.startswith('params/text') else 'vision'
      heads[f'{tower}_heads'] = len(value)
  # The names in between are in no file.
  return dataclasses.replace(
      converted,
      sizes=dataclasses.replace(converted.sizes, **heads),
      mapped={path: path for path in converted.flat},
  )


def _renamed(path: str, column: int) -> str:
  for rename in _RENAMES:
    if match := re.fullmatch(rename[column], path):
      return match.expand(rename[column + 1])
  return path
