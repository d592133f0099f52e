"""Reads what a config beside a CLIP's weights says that no tensor shows.

Hugging Face's `config.json` and open_clip's `open_clip_config.json` name the
activation and the heads. What they say of a model that this project does not
compute is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip.sizes import ClipSizes
from evclip_jax.models.clip.transformer import ACTIVATIONS

_HUGGINGFACE, _OPEN_CLIP = 'config.json', 'open_clip_config.json'
_KEYS = {'model_cfg', 'vision_cfg', 'vision_config', 'text_config'}
# Hugging Face's and torch's names of what we call otherwise.
_ACTIVATIONS = {
    'gelu_new': 'gelu_tanh',
    'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh',
    'gelu_python': 'gelu',
}
_EPSILON = 1e-5
# What open_clip's towers have only if they compute something else.
_OPEN_CLIP_ONLY = {
    'timm_model_name': False,
    'hf_model_name': False,
    'no_causal_mask': False,
    'global_average_pool': False,
    'attentional_pool': False,
    'embed_cls': False,
}


def digest(weights: Path) -> str:
  """Returns a hash of the configs beside a weight file; '' without any."""
  names = (_HUGGINGFACE, _OPEN_CLIP)
  texts = [
      path.read_bytes()
      for name in names
      if _load(path := weights.with_name(name))
  ]
  return hashlib.sha256(b'\0'.join(texts)).hexdigest() if texts else ''


def beside(weights: Path, huggingface: bool) -> Path | None:
  """Returns the config of a model beside a weight file, or None.

  Args:
    weights: the weight file.
    huggingface: whether its tensors have Hugging Face's names, whose config is
      then taken where there are both.
  """
  names = [_OPEN_CLIP, _HUGGINGFACE]
  for name in reversed(names) if huggingface else names:
    if _load(path := weights.with_name(name)):
      return path
  return None


def _load(path: Path) -> dict[str, Any] | None:
  """A config of a model. A run's config.json, for one, is something else."""
  try:
    config = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError):
    return None
  return config if isinstance(config, dict) and config.keys() & _KEYS else None


def read(path: Path, sizes: ClipSizes) -> dict[str, Any]:
  """Returns what a config says of `activation`, `vision_heads`, `text_heads`.

  Args:
    path: what `beside` gave.
    sizes: as the tensors show them.

  Raises:
    WeightsError: it says that the model computes what `Clip` does not.
  """
  try:
    return _said(_load(path) or {}, sizes)
  except WeightsError as e:
    raise WeightsError(f'{path} says: {e}') from None
  except (AttributeError, TypeError) as e:
    raise WeightsError(f'{path} is no config of a CLIP ({e}).') from e


def _said(config: Mapping[str, Any], sizes: ClipSizes) -> dict[str, Any]:
  vision_width = sizes.vision_width * (1 if sizes.vision == 'vit' else 32)
  if 'model_cfg' in config or 'vision_cfg' in config:
    model = config.get('model_cfg') or config
    vision, text = model.get('vision_cfg') or {}, model.get('text_cfg') or {}
    for tower in (vision, text):
      _only(tower, **_OPEN_CLIP_ONLY)
      _only(tower.get('norm_kwargs') or {}, eps=_EPSILON)
    _only(vision, pool_type='tok')
    _only(text, pool_type='argmax')
    key, vision_key_width = 'width', sizes.vision_width
    heads = vision_width // (vision.get('head_width') or 64), text.get('heads')
    plain = 'quick_gelu' if model.get('quick_gelu') else 'gelu'
    activations = {
        'gelu_tanh' if _tanh(tower.get('act_kwargs')) else plain
        for tower in (vision, text)
    }
  else:
    vision = config.get('vision_config') or {}
    text = config.get('text_config') or {}
    _only(config, model_type='clip')
    _only(vision, layer_norm_eps=_EPSILON)
    _only(text, layer_norm_eps=_EPSILON)
    # Where it is 2, as in old configs, the largest id is read out.
    if text.get('eos_token_id') != 2:
      _only(text, eos_token_id=sizes.vocab_size - 1)
    key, vision_key_width = 'hidden_size', vision_width
    heads = [x.get('num_attention_heads') for x in (vision, text)]
    activations = {x.get('hidden_act', 'quick_gelu') for x in (vision, text)}
  for tower, width in ((vision, vision_key_width), (text, sizes.text_width)):
    if tower.get(key, width) != width:
      raise WeightsError(
          f'{key} is {tower[key]}, but it is {width} in the tensors: it is the '
          'config of another model.'
      )
  said = {'activation': _activation(activations)}
  # What is the default of both is not written.
  for name, width, count, default in (
      ('vision_heads', vision_width, heads[0], 12),
      ('text_heads', sizes.text_width, heads[1], 8),
  ):
    if count is not None and (count < 1 or width % count):
      raise WeightsError(f'{count} {name} cannot share a width of {width}.')
    if count or width % default == 0:
      said[name] = count or default
  return said


def _only(config: Mapping[str, Any], **computed: Any):
  """Refuses a config that has something else, if it has the key at all."""
  for key, wanted in computed.items():
    value = config.get(key)
    if value is not None and value != wanted:
      raise WeightsError(
          f'{key} is {value!r}; this project computes {key}={wanted!r} only.'
      )


def _tanh(arguments: Any) -> bool:
  return (arguments or {}).get('approximate') == 'tanh'


def _activation(names: set[str]) -> str:
  names = {_ACTIVATIONS.get(name, name) for name in names}
  if len(names) != 1 or not names & ACTIVATIONS.keys():
    raise WeightsError(
        f'the activation is {" and ".join(sorted(names))}; wanted one of '
        f'{", ".join(ACTIVATIONS)} in both towers.'
    )
  return names.pop()
