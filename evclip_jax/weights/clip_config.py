"""Reads activation and heads from the config beside a CLIP's weights.

No tensor shows these; Hugging Face's `config.json` and open_clip's
`open_clip_config.json` name them. Configs of models that this project does not
compute are refused.
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
# Hugging Face's and torch's names -> ours, where they differ.
_SYNONYMS = {
    'gelu_new': 'gelu_tanh',
    'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh',
    'gelu_python': 'gelu',
}
_EPSILON = 1e-5
# Keys of open_clip's towers that change what a tower computes.
_OPEN_CLIP_ONLY = {
    'timm_model_name': False,
    'hf_model_name': False,
    'no_causal_mask': False,
    'global_average_pool': False,
    'attentional_pool': False,
    'embed_cls': False,
}


def digest(weights: Path) -> str:
  """Returns a hash of the configs beside a weight file, or ''."""
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
    huggingface: whether its tensors have Hugging Face's names; then its config
      is preferred.
  """
  names = [_OPEN_CLIP, _HUGGINGFACE]
  for name in reversed(names) if huggingface else names:
    if _load(path := weights.with_name(name)):
      return path
  return None


def _load(path: Path) -> dict[str, Any] | None:
  """Reads the config of a model; None for others, such as that of a run."""
  try:
    config = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError, RecursionError):
    return None
  return config if isinstance(config, dict) and config.keys() & _KEYS else None


def read(path: Path, sizes: ClipSizes) -> dict[str, Any]:
  """Reads `activation`, `vision_heads` and `text_heads` if they are given.

  Args:
    path: the result of `beside`.
    sizes: the architecture that the tensors show.

  Raises:
    WeightsError: `Clip` does not compute such a model.
  """
  try:
    return _parse(_load(path) or {}, sizes)
  except WeightsError as e:
    raise WeightsError(f'{path} says: {e}') from None
  except (AttributeError, TypeError) as e:
    raise WeightsError(f'{path} is not the config of a CLIP ({e}).') from e


def _parse(config: Mapping[str, Any], sizes: ClipSizes) -> dict[str, Any]:
  vision_width = sizes.vision_width * (1 if sizes.vision == 'vit' else 32)
  if 'model_cfg' in config or 'vision_cfg' in config:
    model = config.get('model_cfg') or config
    vision, text = model.get('vision_cfg') or {}, model.get('text_cfg') or {}
    for tower in (vision, text):
      _check(tower, **_OPEN_CLIP_ONLY)
      _check(tower.get('norm_kwargs') or {}, eps=_EPSILON)
    _check(vision, pool_type='tok')
    _check(text, pool_type='argmax')
    key, vision_key_width = 'width', sizes.vision_width
    heads = vision_width // (vision.get('head_width') or 64), text.get('heads')
    plain = 'quick_gelu' if model.get('quick_gelu') else 'gelu'
    activations = {
        'gelu_tanh' if kwargs.get('approximate') == 'tanh' else plain
        for kwargs in (x.get('act_kwargs') or {} for x in (vision, text))
    }
  else:
    vision = config.get('vision_config') or {}
    text = config.get('text_config') or {}
    _check(config, model_type='clip')
    _check(vision, layer_norm_eps=_EPSILON)
    _check(text, layer_norm_eps=_EPSILON)
    # If it is 2, as in old configs, texts are read out at their largest id.
    if text.get('eos_token_id') != 2:
      _check(text, eos_token_id=sizes.vocab_size - 1)
    key, vision_key_width = 'hidden_size', vision_width
    heads = [x.get('num_attention_heads') for x in (vision, text)]
    activations = {x.get('hidden_act', 'quick_gelu') for x in (vision, text)}
  for tower, width in ((vision, vision_key_width), (text, sizes.text_width)):
    if tower.get(key, width) != width:
      raise WeightsError(
          f'{key} is {tower[key]}, but {width} in the tensors: it is the '
          'config of another model.'
      )
  found = {'activation': _activation(activations)}
  # Neither writes the default number of heads.
  for name, width, count, default in (
      ('vision_heads', vision_width, heads[0], 12),
      ('text_heads', sizes.text_width, heads[1], 8),
  ):
    if count is not None and (
        type(count) is not int or count < 1 or width % count
    ):
      raise WeightsError(f'{count!r} {name} cannot share a width of {width}.')
    if count or width % default == 0:
      found[name] = count or default
  return found


def _check(config: Mapping[str, Any], **computed: Any):
  """Raises WeightsError if a config has other values than those computed."""
  for key, wanted in computed.items():
    value = config.get(key)
    if value is not None and value != wanted:
      raise WeightsError(
          f'{key} is {value!r}; this project computes only {key}={wanted!r}.'
      )


def _activation(names: set[str]) -> str:
  names = {_SYNONYMS.get(name, name) for name in names}
  if len(names) != 1 or not names & ACTIVATIONS.keys():
    raise WeightsError(
        f'the activation is {" and ".join(sorted(names))}; wanted one of '
        f'{", ".join(ACTIVATIONS)} in both towers.'
    )
  return names.pop()
