"""Files of every kind become the branch of the tree they belong to."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.methods import checkpoints
from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.methods.ev_clip import checkpoint as ev_clip_checkpoint
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.weights import clip_names as clip_convert
from evclip_jax.weights import files, networks, own_file, scenic_names
from evclip_jax.weights import swin3d_names as encoder_convert
from tests.methods.ev_clip.test_checkpoint import state as ev_clip_state
from tests.methods.ez_clip.test_checkpoint import (
  checkpoint as ez_clip_checkpoint,
)
from tests.models import small
from tests.weights.test_huggingface import huggingface_state

TRUNK = VideoEncoderSizes(8, (1, 2), (1, 2), (3, 7, 7))


def trunk_state():
  numbers = np.random.default_rng(0)
  return encoder_convert.to_original({
      path: numbers.normal(size=shape).astype(np.float32)
      for path, shape in encoder_convert.shapes(TRUNK).items()
  })


def openai_state():
  half = {
      n: x.astype(np.float16)
      for n, x in clip_convert.to_original(small.flat(small.VIT)).items()
  }
  return half | {'input_resolution': np.asarray(16)}


def open_clip_state():
  tensors = clip_convert.to_original(small.flat(small.VIT))
  image = ('visual.', 'logit_scale')
  return {
      name if name.startswith(image) else f'text.{name}': x
      for name, x in tensors.items()
  }


def ev_clip_tensors():
  _, flat = ev_clip_state('both')
  prompts = ev_clip_checkpoint.to_original(
      flat, 'both', 'image_prompt_learner.'
  )
  trunk = {
      f'image_prompt_learner.enc.trunk.{n}': x for n, x in trunk_state().items()
  }
  return prompts | trunk | {'image_encoder.bn1.running_mean': np.zeros(4)}


def clip_fsar_checkpoint():
  sizes = checkpoint.HeadSizes(embed_dim=16, depth=1, hidden=8, tower=True)
  flat = {
      path: np.ones(shape, np.float32)
      for path, shape in checkpoint.shapes(sizes).items()
  }
  flat |= {
      f'clip/{path}': value
      for path, value in small.flat(small.VIT).items()
      if path.startswith('visual/')
  }
  return checkpoint.to_original(flat)


STATES = {
    'openai-clip': (openai_state, 'clip'),
    'open-clip': (open_clip_state, 'clip'),
    'huggingface-clip': (huggingface_state, 'clip'),
    'scenic-clip': (
        lambda: scenic_names.to_scenic(small.flat(small.VIT)),
        'clip',
    ),
    'omnivore': (trunk_state, 'encoder'),
    'ev-clip': (ev_clip_tensors, 'method'),
    'ez-clip': (ez_clip_checkpoint, 'method'),
    'clip-fsar': (clip_fsar_checkpoint, 'several'),
}

CLIPS = [kind for kind, (_, part) in STATES.items() if part == 'clip']


def read(tmp_path, tensors):
  path = tmp_path / 'source.npz'
  np.savez(path, **tensors)
  return files.read_tensors(path)


@pytest.mark.parametrize('kind', STATES)
def test_every_kind(kind, tmp_path):
  make, part = STATES[kind]
  found = checkpoints.convert(read(tmp_path, make()))
  assert (found.kind, found.part) == (kind, part)
  assert all(x.dtype == np.float32 for x in found.converted.flat.values())


@pytest.mark.parametrize('kind', CLIPS)
def test_clip_is_the_same_in_every_naming(kind, tmp_path):
  make, part = STATES[kind]
  converted = networks.convert_part(read(tmp_path, make()), part)
  assert converted.sizes == small.VIT
  wanted = small.flat(small.VIT)
  assert converted.flat.keys() == wanted.keys()
  for path, value in wanted.items():
    # OpenAI's are in half precision.
    tolerance = 2e-3 if kind == 'openai-clip' else 0
    np.testing.assert_allclose(
        converted.flat[path], value, rtol=tolerance, atol=1e-6, err_msg=path
    )


@pytest.mark.parametrize('kind', STATES)
def test_another_branch_is_refused(kind, tmp_path):
  make, part = STATES[kind]
  wanted = 'encoder' if part == 'clip' else 'clip'
  # What is of a method, this module does not know by name.
  message = r'it is .*, not a (CLIP|video)|of no model|no rule for the tensor'
  with pytest.raises(WeightsError, match=message):
    networks.convert_part(read(tmp_path, make()), wanted)


def test_own_files(tmp_path):
  path = tmp_path / 'own.safetensors'
  own_file.write(path, 'clip', small.flat(small.VIT), small.VIT, {})
  found = checkpoints.convert(files.read_tensors(path))
  assert (found.kind, found.part) == ('evclip-jax', 'clip')
  assert found.converted.flat.keys() == small.flat(small.VIT).keys()


def test_heads_of_a_scenic_tree_are_kept(tmp_path):
  sizes = dataclasses.replace(small.VIT, vision_heads=4, text_heads=2)
  tree = scenic_names.to_scenic(small.flat(small.VIT), sizes)
  name = 'params/visual/transformer/resblocks.0/attn/query/bias'
  assert tree[name].shape == (4, 32)
  found = checkpoints.convert(read(tmp_path, tree)).converted
  assert (found.sizes, found.assumed) == (sizes, ())
  for path, value in small.flat(small.VIT).items():
    np.testing.assert_array_equal(found.flat[path], value)
  gelu = dataclasses.replace(sizes, activation='gelu')
  with pytest.raises(UserError, match='computes quick_gelu'):
    scenic_names.to_scenic(small.flat(small.VIT), gelu)


def test_half_a_scenic_tree_is_refused(tmp_path):
  tree = scenic_names.to_scenic(small.flat(small.VIT))
  tree['params/visual/extra'] = np.zeros(2, np.float32)
  with pytest.raises(WeightsError, match='no whole Scenic CLIP.*visual/extra'):
    checkpoints.convert(read(tmp_path, tree))
