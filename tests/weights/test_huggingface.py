"""Hugging Face's naming of CLIP."""

import re

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.weights import clip_names
from tests.models import small


def openai_state():
  return clip_names.to_original(small.flat(small.VIT))


def huggingface_state():
  """The same model as its Hugging Face class names and lays it out."""
  out = {}
  for name, tensor in openai_state().items():
    tower = 'vision_model' if name.startswith('visual.') else 'text_model'
    short = name.removeprefix('visual.')
    layer = re.fullmatch(r'transformer\.resblocks\.(\d+)\.(.*)', short)
    if layer and layer[2].startswith('attn.in_proj_'):
      leaf = layer[2].removeprefix('attn.in_proj_')
      for part, value in zip('qkv', np.split(tensor, 3), strict=True):
        key = f'{tower}.encoder.layers.{layer[1]}.self_attn.{part}_proj.{leaf}'
        out[key] = value
    elif layer:
      rest = layer[2]
      for ours, theirs in (
          ('ln_', 'layer_norm'),
          ('attn.', 'self_attn.'),
          ('c_fc', 'fc1'),
          ('c_proj', 'fc2'),
      ):
        rest = rest.replace(ours, theirs)
      out[f'{tower}.encoder.layers.{layer[1]}.{rest}'] = tensor
    elif name in ('visual.proj', 'text_projection'):
      theirs = {'visual.proj': 'visual_projection'}.get(name, name)
      out[f'{theirs}.weight'] = tensor.T
    else:
      out[TOP[name]] = tensor
  out['text_model.embeddings.position_ids'] = np.arange(8)[None]
  out['vision_model.embeddings.position_ids'] = np.arange(5)[None]
  return out


TOP = {
    'logit_scale': 'logit_scale',
    'positional_embedding': 'text_model.embeddings.position_embedding.weight',
    'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
    'ln_final.weight': 'text_model.final_layer_norm.weight',
    'ln_final.bias': 'text_model.final_layer_norm.bias',
    'visual.class_embedding': 'vision_model.embeddings.class_embedding',
    'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
    'visual.positional_embedding': (
        'vision_model.embeddings.position_embedding.weight'
    ),
    'visual.ln_pre.weight': 'vision_model.pre_layrnorm.weight',
    'visual.ln_pre.bias': 'vision_model.pre_layrnorm.bias',
    'visual.ln_post.weight': 'vision_model.post_layernorm.weight',
    'visual.ln_post.bias': 'vision_model.post_layernorm.bias',
}


def test_the_same_model_in_both_namings():
  converted = clip_names.from_huggingface(huggingface_state())
  assert converted.sizes == small.VIT
  wanted = small.flat(small.VIT)
  assert converted.flat.keys() == wanted.keys()
  for path, value in wanted.items():
    np.testing.assert_array_equal(converted.flat[path], value, path)
  assert len(converted.ignored) == 2


@pytest.mark.parametrize(
    'name',
    [
        'logit_bias',
        'vision_model.encoder.layers.0.gate.weight',
        'vision_model.embeddings.patch_embedding.bias',
    ],
)
def test_an_unknown_name_is_refused(name):
  tensors = huggingface_state() | {name: np.zeros(3)}
  with pytest.raises(WeightsError, match=name):
    clip_names.from_huggingface(tensors)


def test_a_missing_query_is_refused():
  tensors = huggingface_state()
  del tensors['vision_model.encoder.layers.1.self_attn.q_proj.bias']
  wanted = r"visual\..*\.1\.attn\.in_proj_bias.*\['k', 'v'\]"
  with pytest.raises(WeightsError, match=wanted):
    clip_names.from_huggingface(tensors)
