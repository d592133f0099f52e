"""A pretrained network's checkpoint, in any naming, to a converted tree."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip.sizes import HEAD_WIDTH
from evclip_jax.weights import clip_names, scenic_names, swin3d_names
from evclip_jax.weights.files import StateFile
from evclip_jax.weights.identify import LABELS, identify
from evclip_jax.weights.table import Converted

# The branch of the parameter tree that each kind of file fills.
PARTS = {
    'openai-clip': 'clip',
    'open-clip': 'clip',
    'huggingface-clip': 'clip',
    'scenic-clip': 'clip',
    'omnivore': 'encoder',
}
# Of the converter of each branch; see `weights.cache`.
VERSIONS = {
    'clip': clip_names.VERSION,
    'encoder': swin3d_names.VERSION,
}


def convert_part(file: StateFile, part: str) -> Converted:
  """Converts a file that must be of one branch, 'clip' or 'encoder'.

  Raises:
    WeightsError: it is of another, or as in `convert`.
  """
  kind = identify(file.tensors, file.metadata)
  if PARTS.get(kind) != part:
    raise WeightsError(f'it is {LABELS[kind]}, not {_WANTED[part]}.')
  return CONVERTERS[kind](file)


_WANTED = {'clip': 'a CLIP model', 'encoder': 'a video trunk'}


def _openai(file: StateFile) -> Converted:
  # The TorchScript archives are OpenAI's own; the naming is used by others.
  if file.kind != 'torchscript':
    check_config(file.path)
  return clip_names.from_original(file.tensors)


def _huggingface(file: StateFile) -> Converted:
  check_config(file.path)
  return clip_names.from_huggingface(file.tensors)


def _scenic(file: StateFile) -> Converted:
  # Through OpenAI's naming, so that the one table checks it as all others.
  ours = scenic_names.from_scenic(file.tensors)
  try:
    tensors = clip_names.to_original(ours)
  except ValueError as e:
    raise WeightsError(f'it is no whole Scenic CLIP tree: {e}') from e
  converted = clip_names.from_original(tensors)
  # The names in between are in no file.
  mapped = {path: path for path in converted.flat}
  return dataclasses.replace(converted, mapped=mapped)


def _omnivore(file: StateFile) -> Converted:
  return swin3d_names.from_original(file.tensors)


CONVERTERS = {
    'openai-clip': _openai,
    'open-clip': _openai,
    'huggingface-clip': _huggingface,
    'scenic-clip': _scenic,
    'omnivore': _omnivore,
}


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
