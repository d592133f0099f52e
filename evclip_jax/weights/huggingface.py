"""CLIP in Hugging Face's naming to OpenAI's naming."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip.sizes import HEAD_WIDTH

# (pattern, OpenAI's name, whether the matrix is transposed on the way).
_RENAMES = (
    (r'logit_scale', 'logit_scale', False),
    (r'text_projection\.weight', 'text_projection', True),
    (r'visual_projection\.weight', 'visual.proj', True),
    (
        r'text_model\.embeddings\.token_embedding\.weight',
        'token_embedding.weight',
        False,
    ),
    (
        r'text_model\.embeddings\.position_embedding\.weight',
        'positional_embedding',
        False,
    ),
    (r'text_model\.final_layer_norm\.(weight|bias)', r'ln_final.\1', False),
    (
        r'vision_model\.embeddings\.class_embedding',
        'visual.class_embedding',
        False,
    ),
    (
        r'vision_model\.embeddings\.patch_embedding\.weight',
        'visual.conv1.weight',
        False,
    ),
    (
        r'vision_model\.embeddings\.position_embedding\.weight',
        'visual.positional_embedding',
        False,
    ),
    # "layrnorm" is how they spell it.
    (r'vision_model\.pre_layrnorm\.(weight|bias)', r'visual.ln_pre.\1', False),
    (
        r'vision_model\.post_layernorm\.(weight|bias)',
        r'visual.ln_post.\1',
        False,
    ),
)
_IN_LAYER = (
    (r'layer_norm1\.(weight|bias)', r'ln_1.\1'),
    (r'layer_norm2\.(weight|bias)', r'ln_2.\1'),
    (r'mlp\.fc1\.(weight|bias)', r'mlp.c_fc.\1'),
    (r'mlp\.fc2\.(weight|bias)', r'mlp.c_proj.\1'),
    (r'self_attn\.out_proj\.(weight|bias)', r'attn.out_proj.\1'),
)
_TOWERS = {'text_model': '', 'vision_model': 'visual.'}
_LAYER = re.compile(r'(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.*)')
_QKV = re.compile(r'self_attn\.(q|k|v)_proj\.(weight|bias)')
_IGNORE = re.compile(r'(text_model|vision_model)\.embeddings\.position_ids')


def rename(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The tensors in OpenAI's naming; q, k and v of a layer become one.

  Args:
    tensors: the state dict of a Hugging Face `CLIPModel`.

  Raises:
    WeightsError: a name that such a model does not have, or q, k or v missing.
  """
  out: dict[str, np.ndarray] = {}
  fused: dict[str, dict[str, np.ndarray]] = {}
  for name, tensor in tensors.items():
    if is_ignored(name):
      continue
    layer = _LAYER.fullmatch(name)
    if layer and (qkv := _QKV.fullmatch(layer[3])):
      target = f'{_block(layer)}attn.in_proj_{qkv[2]}'
      fused.setdefault(target, {})[qkv[1]] = tensor
    elif layer:
      out[_block(layer) + _first(_IN_LAYER, layer[3], name)] = tensor
    else:
      target, transposed = _top_level(name)
      out[target] = tensor.T if transposed else tensor
  for target, parts in fused.items():
    if parts.keys() != {'q', 'k', 'v'}:
      raise WeightsError(
          f'of {target!r} there are only {sorted(parts)}, wanted q, k and v.'
      )
    out[target] = np.concatenate([parts[x] for x in 'qkv'])
  return out


def is_ignored(name: str) -> bool:
  """Whether a tensor is not needed: the numbers 0, 1, 2, ... of positions."""
  return _IGNORE.fullmatch(name) is not None


def check_config(weights: str | Path):
  """Checks the config beside downloaded weights, if there is one.

  Shapes do not show the activation nor the number of heads, so a model with
  others than OpenAI's would load and compute something else.

  Args:
    weights: the weight file; 'config.json' or 'open_clip_config.json' in its
      folder is read.

  Raises:
    WeightsError: the config says the model computes something else.
  """
  folder = Path(weights).parent
  for name in ('config.json', 'open_clip_config.json'):
    try:
      config = json.loads((folder / name).read_text())
    except (OSError, ValueError):
      continue
    if isinstance(config, dict):
      _check(config, folder / name)


def _check(config: dict, path: Path):
  model = config.get('model_cfg')
  if isinstance(model, dict):
    activation = 'quick_gelu' if model.get('quick_gelu') else 'gelu'
    _check_tower({'hidden_act': activation}, path)
    _check_tower(model.get('text_cfg'), path)
    _check_tower(model.get('vision_cfg'), path)
  _check_tower(config.get('text_config'), path)
  _check_tower(config.get('vision_config'), path)


def _check_tower(tower: Any, path: Path):
  """Looks at the keys of Hugging Face's configs and of open_clip's."""
  if not isinstance(tower, dict):
    return
  activation = tower.get('hidden_act', 'quick_gelu')
  if activation != 'quick_gelu':
    raise _other(path, f'its activation is {activation}, not quick_gelu')
  width = tower.get('hidden_size') or tower.get('width')
  heads = tower.get('num_attention_heads') or tower.get('heads')
  head_width = tower.get('head_width') or (
      width / heads if width and heads else HEAD_WIDTH
  )
  if head_width != HEAD_WIDTH:
    raise _other(path, f'its heads are {head_width:g} wide, not {HEAD_WIDTH}')


def _other(path: Path, what: str) -> WeightsError:
  return WeightsError(
      f"{path} says this is no CLIP of OpenAI's kind: {what}."
  )


def _block(layer: re.Match) -> str:
  return f'{_TOWERS[layer[1]]}transformer.resblocks.{layer[2]}.'


def _first(pairs, short: str, name: str) -> str:
  for pattern, target in pairs:
    if match := re.fullmatch(pattern, short):
      return match.expand(target)
  raise _unknown(name)


def _top_level(name: str) -> tuple[str, bool]:
  for pattern, target, transposed in _RENAMES:
    if match := re.fullmatch(pattern, name):
      return match.expand(target), transposed
  raise _unknown(name)


def _unknown(name: str) -> WeightsError:
  return WeightsError(
      f'the tensor {name!r} is not of a Hugging Face CLIPModel.'
  )
