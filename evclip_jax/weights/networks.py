"""Converts a pretrained network's file, in any naming, with what is beside it.

No tensor shows a CLIP's activation nor how many heads it has. A config beside
the file may say so; what nothing says is named in `Converted.assumed`.
"""

import dataclasses
from pathlib import Path

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip.sizes import ClipSizes
from evclip_jax.weights import (
  clip_config,
  clip_names,
  scenic_names,
  swin3d_names,
)
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
VERSIONS = {'clip': clip_names.VERSION, 'encoder': swin3d_names.VERSION}

_WANTED = {'clip': 'a CLIP model', 'encoder': 'a video trunk'}

def convert_part(file: StateFile, part: str) -> Converted:
  """Converts a file that must be of one branch, 'clip' or 'encoder'.

  Raises:
    WeightsError: it is of another, or of no network that this project computes.
  """
  kind = identify(file.tensors, file.metadata)
  if PARTS.get(kind) != part:
    raise WeightsError(f'it is {LABELS[kind]}, not {_WANTED[part]}.')
  return CONVERTERS[kind](file)


def _openai(file: StateFile) -> Converted:
  return _with_config(clip_names.from_original(file.tensors), file)


def _huggingface(file: StateFile) -> Converted:
  return _with_config(clip_names.from_huggingface(file.tensors), file)


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


def _with_config(converted: Converted, file: StateFile) -> Converted:
  """Adds what the config beside the file says of activation and heads."""
  # TorchScript archives are OpenAI's own; others use the naming, too.
  if file.kind == 'torchscript':
    return converted
  sizes, notes, said = converted.sizes, [], {}
  huggingface = 'vision_model.embeddings.class_embedding' in file.tensors
  if config := clip_config.beside(Path(file.path), huggingface):
    said = clip_config.read(config, sizes)
    sizes = dataclasses.replace(sizes, **said)
    shown = ', '.join(f'{name}={value}' for name, value in said.items())
    notes.append(f'{config.name} beside it says {shown}')
  assumed = {'activation', 'vision_heads'} - said.keys()
  if sizes.vision == 'resnet':
    assumed.discard('vision_heads')
  return dataclasses.replace(
      converted,
      sizes=sizes,
      notes=(*converted.notes, *notes),
      assumed=tuple(sorted(assumed)),
  )


def settle(
    converted: Converted,
    activation: str = '',
    vision_heads: int = 0,
    named: tuple[str, ClipSizes] | None = None,
) -> Converted:
  """Settles a CLIP's activation and heads where tensors and config do not.

  Args:
    converted: a CLIP.
    activation: as the user says; '' = what the file says.
    vision_heads: likewise; 0 = what the file says.
    named: a published model and its sizes, for what nobody says.

  Returns:
    The same with its final sizes and with notes. `assumed` are those that still
    nobody says.

  Raises:
    UserError: the heads do not divide the width.
  """
  sizes, notes, assumed = converted.sizes, [*converted.notes], []
  for field, given in (
      ('activation', activation), ('vision_heads', vision_heads)
  ):
    value = getattr(sizes, field)
    if given:
      if field not in converted.assumed and given != value:
        notes.append(f'{field}={given} as you say; the file says {value}')
      value = given
    elif field in converted.assumed and named:
      value = getattr(named[1], field)
      notes.append(f'assumed {field}={value}, as {named[0]} has it')
    elif field in converted.assumed:
      notes.append(f'assumed {field}={value}; the file does not say')
      assumed.append(field)
    sizes = dataclasses.replace(sizes, **{field: value})
  if sizes.vision == 'vit' and sizes.vision_width % sizes.vision_heads:
    raise UserError(
        f'{sizes.vision_heads} heads cannot share a width of '
        f'{sizes.vision_width}: set clip.vision_heads.'
    )
  return dataclasses.replace(
      converted, sizes=sizes, notes=tuple(notes), assumed=tuple(assumed)
  )
