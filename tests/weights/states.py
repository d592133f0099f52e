"""Makes state dicts of every kind from small random networks."""

import re

import numpy as np

from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.methods.ev_clip import checkpoint as ev_clip_checkpoint
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.weights import clip_names, scenic_names, swin3d_names
from tests.methods.ev_clip.test_checkpoint import state as ev_clip_state
from tests.methods.ez_clip.test_checkpoint import (
    checkpoint as ez_clip_checkpoint,
)
from tests.models import small
from tests.weights.trees import draw

TRUNK = VideoEncoderSizes(8, (1, 2), (1, 2), (3, 7, 7))


def trunk_state():
  return swin3d_names.to_original(draw(swin3d_names.shapes(TRUNK)))


def openai_state():
  half = {
      n: x.astype(np.float16)
      for n, x in clip_names.to_original(small.flat()).items()
  }
  return half | {'input_resolution': np.asarray(16)}


def open_clip_state():
  tensors = clip_names.to_original(small.flat())
  image = ('visual.', 'logit_scale')
  tensors['logit_scale'] = tensors['logit_scale'].reshape(1)
  return {
      name if name.startswith(image) else f'text.{name}': x
      for name, x in tensors.items()
  }


_TOP = {
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


def huggingface_state():
  """Returns the same model in the names and layout of Hugging Face."""
  out = {}
  for name, tensor in clip_names.to_original(small.flat()).items():
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
      out[_TOP[name]] = tensor
  out['text_model.embeddings.position_ids'] = np.arange(8)[None]
  out['vision_model.embeddings.position_ids'] = np.arange(5)[None]
  return out


def _ev_clip_tensors():
  prompts = ev_clip_checkpoint.to_original(
      ev_clip_state('both'), 'image_prompt_learner.'
  )
  trunk = {
      f'image_prompt_learner.enc.trunk.{n}': x for n, x in trunk_state().items()
  }
  return prompts | trunk | {'image_encoder.bn1.running_mean': np.zeros(4)}


def _clip_fsar_checkpoint():
  sizes = checkpoint.HeadSizes(embed_dim=16, depth=1, hidden=8)
  clip = {
      f'clip/{path}': value
      for path, value in small.flat().items()
      if path.startswith('visual/')
  }
  flat = draw(checkpoint.shapes(sizes))
  return checkpoint.CHECKPOINT.to_original(flat | clip)


STATES = {
    'openai-clip': (openai_state, 'clip'),
    'open-clip': (open_clip_state, 'clip'),
    'huggingface-clip': (huggingface_state, 'clip'),
    'scenic-clip': (lambda: scenic_names.to_scenic(small.flat()), 'clip'),
    'omnivore': (trunk_state, 'encoder'),
    'ev-clip': (_ev_clip_tensors, 'method'),
    'ez-clip': (ez_clip_checkpoint, 'method'),
    'clip-fsar': (_clip_fsar_checkpoint, 'several'),
}
