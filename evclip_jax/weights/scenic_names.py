"""Converts CLIP weights to and from google-research Scenic's Linen CLIP.

Scenic uses flax's attention modules, with an axis of heads, and keeps batch
norm statistics in a collection of their own. The rest differs only in names, so
the conversion is lossless.

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
from evclip_jax.weights import clip_names, table
from evclip_jax.weights.table import Converted

_QKV = ('query', 'key', 'value')
# Parts of our paths -> parts of Scenic's, replaced in this order, both ways:
# neither occurs elsewhere.
_NAMES = (
    ('text/token_embedding', 'text/token_embedding/embedding'),
    ('text/text_projection', 'text/text_projection/kernel'),
    ('visual/proj', 'visual/proj/kernel'),
    ('attnpool/q_proj/', 'attnpool/attn/query/'),
    ('attnpool/k_proj/', 'attnpool/attn/key/'),
    ('attnpool/v_proj/', 'attnpool/attn/value/'),
    ('attnpool/c_proj/', 'attnpool/attn/out/'),
    ('/attn/out_proj/', '/attn/out/'),
    ('/downsample.', '/downsample/'),
    *((f'/layer{i}.', f'/layer{i}/') for i in range(1, 5)),
)
_ATTENTION = re.compile(r'(.*/attn/)(query|key|value|out)/(kernel|bias)')


def to_scenic(
    flat: Mapping[str, np.ndarray], sizes: clip_sizes.ClipSizes | None = None
) -> dict[str, np.ndarray]:
  """Converts a CLIP tree to Scenic's names.

  Args:
    flat: path without the leading 'clip/' -> array.
    sizes: of the CLIP, for its heads; None if they have 64 channels each.

  Returns:
    'params/...' and 'batch_stats/...' paths -> arrays with the same values,
    which are those of Scenic's `load_model_vars`, flattened.

  Raises:
    UserError: Scenic's CLIP does not have this activation.
  """
  sizes = sizes or clip_names.sizes_of(flat)
  if sizes.activation != 'quick_gelu':
    raise UserError(
        f"Scenic's CLIP computes quick_gelu, but this one {sizes.activation}."
    )
  out: dict[str, np.ndarray] = {}
  for path, value in flat.items():
    parts = {path: np.asarray(value)}
    if '/in_proj/' in path:
      thirds = np.split(np.asarray(value), 3, axis=-1)
      names = (path.replace('in_proj', name) for name in _QKV)
      parts = dict(zip(names, thirds, strict=True))
    heads = sizes.text_heads if path[:4] == 'text' else sizes.vision_heads
    kind = 'batch_stats' if path.endswith(('/mean', '/var')) else 'params'
    for name, part in parts.items():
      for ours, theirs in _NAMES:
        name = name.replace(ours, theirs)
      match = _ATTENTION.fullmatch(name)
      if match and match[2] != 'out':
        part = part.reshape(*part.shape[:-1], heads, -1)
      elif match and match[3] == 'kernel':
        part = part.reshape(heads, -1, part.shape[-1])
      out[f'{kind}/{name}'] = part
  return out


def from_scenic(tree: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Converts Scenic's names to our flat tree, without the leading 'clip/'.

  Args:
    tree: 'params/...' and 'batch_stats/...' paths -> arrays.

  Raises:
    WeightsError: a path is of another collection, or a query, key or value is
      missing.
  """
  out: dict[str, np.ndarray] = {}
  fused: dict[str, dict[str, np.ndarray]] = {}
  for full, value in tree.items():
    collection, _, path = full.partition('/')
    if collection not in ('params', 'batch_stats'):
      raise WeightsError(f'{full!r} is not of a Scenic CLIP tree.')
    value = np.asarray(value)
    match = _ATTENTION.fullmatch(path)
    if match and match[2] != 'out':
      value = value.reshape(*value.shape[:-2], -1)
    elif match and match[3] == 'kernel':
      value = value.reshape(-1, value.shape[-1])
    for ours, theirs in _NAMES:
      path = path.replace(theirs, ours)
    match = _ATTENTION.fullmatch(path)
    if match and match[2] in _QKV:
      parts = fused.setdefault(f'{match[1]}in_proj/{match[3]}', {})
      parts[match[2]] = value
    else:
      out[path] = value
  return out | table.joined(fused, _QKV, -1)


def convert(tree: Mapping[str, np.ndarray]) -> Converted:
  """Converts a Scenic tree, and checks it by the table of `clip_names`.

  Raises:
    WeightsError: it is not a whole CLIP of Scenic's.
  """
  try:
    tensors = clip_names.to_original(from_scenic(tree))
  except (ValueError, IndexError) as e:
    raise WeightsError(f'it is not a whole Scenic CLIP tree: {e}') from e
  converted = clip_names.from_original(tensors)
  heads = {}
  for path, value in tree.items():
    if path.endswith('/attn/query/bias'):
      tower = 'text' if path.startswith('params/text') else 'vision'
      heads[f'{tower}_heads'] = len(value)
  # Not `converted.mapped`, since OpenAI's names are not in the file.
  return dataclasses.replace(
      converted,
      sizes=dataclasses.replace(converted.sizes, **heads),
      mapped={path: path for path in converted.flat},
  )
