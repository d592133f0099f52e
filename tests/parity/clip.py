"""Cases of kind 'clip': both towers and the logits between them."""

import dataclasses
import functools
from typing import Any

import jax
from flax.traverse_util import unflatten_dict

from evclip_jax.methods.heads import normalise_rows
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names
from tests.parity import compare
from tests.parity.draw import Case, CaseError, agree

# Arguments of the original's constructor and what we call them.
_CONFIG = {
    'embed_dim': 'embed_dim',
    'image_resolution': 'image_resolution',
    'vision_layers': 'vision_layers',
    'vision_width': 'vision_width',
    'vision_patch_size': 'vision_patch',
    'context_length': 'context_length',
    'vocab_size': 'vocab_size',
    'transformer_width': 'text_width',
    'transformer_layers': 'text_layers',
}


def run(case: Case) -> list[compare.Line]:
  """Encodes the case's pictures and texts."""
  clip, params = build(case, case.manifest)
  tokens = case.integers('tokens', clip.sizes.vocab_size)
  inputs = case.inputs()
  if list(inputs) != ['images']:
    raise CaseError(f'wanted the input images, the case has {list(inputs)}.')
  pictures = inputs['images']
  if pictures.ndim != 4:
    raise CaseError(f'images are {pictures.shape}, wanted 4 axes.')
  ours = encode(clip, params, pictures.transpose(0, 2, 3, 1), tokens)
  return compare.outputs(case.expected, ours, given=('tokens',))


@functools.partial(jax.jit, static_argnums=0)
def encode(clip, params, images, tokens):
  """Both towers, under the names of the original."""
  images, text = clip.images(params, images), clip.text(params, tokens)
  cosines = normalise_rows(images) @ normalise_rows(text).T
  return {
      'image_features': images,
      'text_features': text,
      'logits_per_image': clip.logit_scale(params) * cosines,
  }


def build(case: Case, section: dict[str, Any]) -> tuple[Clip, dict[str, Any]]:
  """A CLIP of drawn weights, through the real converter.

  Args:
    case: the case.
    section: the part of its manifest with 'params' and 'salt', and 'arch' or
      'config' to be checked against the tensors.

  Returns:
    The model and params['clip'].
  """
  converted = clip_names.from_original(case.state(section))
  found = converted.sizes
  published = {name.replace('/', '-'): x for name, x in sizes.TABLE.items()}
  arch = str(section.get('arch')).replace('/', '-')
  agree('arch', published.get(arch, found), found)
  config = section.get('config', {})
  for theirs, our in _CONFIG.items():
    value = getattr(found, our)
    # A ResNet has no patches; the original is given None.
    agree(theirs, config.get(theirs, value) or 0, value)
  # No tensor shows the number of heads.
  heads = config.get('transformer_heads', found.text_heads)
  if type(heads) is not int or heads < 1 or found.text_width % heads:
    raise CaseError(
        f'the manifest says transformer_heads={heads!r}, the width is '
        f'{found.text_width}.'
    )
  found = dataclasses.replace(found, text_heads=heads)
  return Clip(found), unflatten_dict(converted.flat, sep='/')
