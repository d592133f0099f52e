"""Identifies and converts the pretrained network in a file.

No tensor shows the activation or the heads of a CLIP. A config beside the file
may name them; otherwise they are listed in `Converted.assumed`.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.transformer import ACTIVATIONS
from evclip_jax.weights import (
    clip_config,
    clip_names,
    own_file,
    published,
    scenic_names,
    swin3d_names,
    trunks,
    videoprism_names,
)
from evclip_jax.weights.files import StateFile
from evclip_jax.weights.table import Converted

LABELS = {
    'openai-clip': "CLIP in OpenAI's naming",
    'open-clip': "CLIP in open_clip's naming",
    'huggingface-clip': "CLIP in Hugging Face's naming",
    'scenic-clip': "CLIP in Scenic's naming",
    'omnivore': 'an Omnivore video trunk',
    'videoprism': 'a VideoPrism network',
    'trained': 'weights trained by this project',
    'evclip-jax': 'weights converted by this project',
}
# The branch of the parameter tree that each kind of file fills.
PARTS = {
    kind: 'clip' if kind.endswith('clip') else 'encoder'
    for kind in list(LABELS)[:6]
}
# Metadata key for what no tensor shows, in files with the original names.
NOTE = 'evclip_jax.clip'

# Models similar to CLIP -> pattern of names that CLIP does not have.
_SIMILAR = {
    'SigLIP': r'logit_bias|(vision|text)_model\.head\..*',
    'CoCa': r'text_decoder\..*|visual\.attn_pool\..*|text\.cls_emb',
    'EVA-CLIP': (
        r'visual\.(blocks\.\d+\..*|(trunk\.)?rope\..*|'
        r'trunk\.blocks\.\d+\.attn\.(q_bias|q_proj|norm|inner_attn_ln)\b.*)'
    ),
    'a CLIP with an image tower of timm': r'visual\.trunk\..*',
    'a CLIP with a text tower of Hugging Face': (
        r'text\.transformer\.(embeddings|encoder)\..*'
    ),
}


class Network(NamedTuple):
  """Describes one kind of network that can be loaded."""

  part: str  # branch of the parameter tree and of the config
  what: str  # with an article, for messages
  published: Mapping[str, published.Published]
  table: Mapping[str, Any]  # name -> architecture
  names: ModuleType  # converts its weights: VERSION, shapes(sizes)
  sizes: Callable[..., Any]  # makes the architecture from its fields
  beside: Callable[[Path], str]  # hashes what is read beside a file


NETWORKS = {
    'clip': Network(
        'clip',
        'a CLIP model',
        published.CLIP,
        clip_sizes.TABLE,
        clip_names,
        clip_sizes.ClipSizes,
        clip_config.digest,
    ),
    'encoder': Network(
        'encoder',
        'a video trunk',
        published.OMNIVORE | published.VIDEOPRISM,
        trunks.TABLE,
        trunks,
        trunks.sizes,
        lambda path: '',
    ),
}


def identify(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> str:
  """Returns the kind of a file, a key of `LABELS`.

  Args:
    tensors: names as in the file.
    metadata: of a .safetensors file.

  Raises:
    WeightsError: it is another model, which the message names if it can.
  """
  metadata = metadata or {}
  if metadata.get('format') == own_file.FORMAT:
    return 'evclip-jax'
  # As `evclip_jax.export` writes them.
  if metadata.get('kind') == 'trained':
    return 'trained'
  for model, pattern in _SIMILAR.items():
    if any(re.fullmatch(pattern, name) for name in tensors):
      raise WeightsError(f'it is {model}, which this project does not compute.')
  for prefix in ('text_model.embeddings.', 'vision_model.embeddings.'):
    if any(name.startswith(prefix) for name in tensors):
      return 'huggingface-clip'
  if 'params/visual/conv1/kernel' in tensors:
    return 'scenic-clip'
  if 'visual.conv1.weight' in tensors:
    if {'attn_mask', 'text.token_embedding.weight'} & tensors.keys():
      return 'open-clip'
    if 'token_embedding.weight' in tensors:
      return 'openai-clip'
  if any(n.endswith('patch_projection/linear/kernel') for n in tensors):
    return 'videoprism'
  for prefix in ('', 'trunk.'):
    # Swin for images has the same names but 2-D patches.
    if np.ndim(tensors.get(f'{prefix}patch_embed.proj.weight')) == 5:
      return 'omnivore'
  shown = ', '.join(
      f'{name} {tuple(np.shape(t))}' for name, t in list(tensors.items())[:4]
  )
  raise WeightsError(
      f'its {len(tensors)} tensors ({shown}, ...) are of no model that this '
      f'project knows.\n  Wanted {", ".join(LABELS.values())}.'
  )


def convert_part(file: StateFile, part: str) -> Converted:
  """Converts a file that must be of one branch, 'clip' or 'encoder'.

  Raises:
    WeightsError: it is of another branch, or of an unknown network.
  """
  kind = identify(file.tensors, file.metadata)
  if PARTS.get(kind) != part:
    raise WeightsError(f'it is {LABELS[kind]}, not {NETWORKS[part].what}.')
  return convert(file, kind)


def convert(file: StateFile, kind: str) -> Converted:
  """Converts a file of a kind in `PARTS`."""
  if kind == 'omnivore':
    return swin3d_names.from_original(file.tensors)
  if kind == 'videoprism':
    return videoprism_names.from_original(file.tensors)
  if kind == 'scenic-clip':
    return scenic_names.convert(file.tensors)
  if kind == 'huggingface-clip':
    converted = clip_names.from_huggingface(file.tensors)
  else:
    converted = clip_names.from_original(file.tensors)
  # Of the archives with this form and naming, only OpenAI's have this number.
  if file.kind == 'torchscript' and 'input_resolution' in file.tensors:
    return converted
  if NOTE in file.metadata:
    try:
      noted = json.loads(file.metadata[NOTE])
      sizes = dataclasses.replace(converted.sizes, **noted)
      good = min(sizes.vision_heads, sizes.text_heads) > 0
    except (TypeError, ValueError):
      good = False
    if not good or sizes.activation not in ACTIVATIONS:
      raise WeightsError(f'its note {NOTE!r} is broken. {own_file.RECONVERT}')
    return dataclasses.replace(converted, sizes=sizes)
  return _with_config(converted, Path(file.path), kind)


def _with_config(converted: Converted, path: Path, kind: str) -> Converted:
  """Takes activation and heads from the config beside the file."""
  sizes, notes, found = converted.sizes, converted.notes, {}
  if config := clip_config.beside(path, kind == 'huggingface-clip'):
    found = clip_config.read(config, sizes)
    sizes = dataclasses.replace(sizes, **found)
    shown = ', '.join(f'{name}={value}' for name, value in found.items())
    notes += (f'{config.name} beside it says {shown}',)
  assumed = {'activation', 'vision_heads'} - found.keys()
  if sizes.vision == 'resnet':
    assumed.discard('vision_heads')
  return dataclasses.replace(
      converted, sizes=sizes, notes=notes, assumed=tuple(sorted(assumed))
  )


def settle(
    converted: Converted,
    activation: str = '',
    vision_heads: int = 0,
    named: Mapping[str, Any] | None = None,
    name: str = '',
) -> Converted:
  """Determines a CLIP's activation and heads.

  Args:
    converted: a CLIP.
    activation, vision_heads: what the user sets; '' and 0 = as in the file.
    named: fields of a published model, for what the file does not say.
    name: of that model.

  Returns:
    The CLIP with its final sizes, and with notes; `assumed` lists what is still
    unknown.

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
        notes.append(f'{field}={given} as you set; the file says {value}')
      value = given
    elif field in converted.assumed and field in (named or {}):
      value = named[field]
      notes.append(f'assumed {field}={value}, as in {name}')
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
