"""The specification's fixtures, made by the original modules in float64."""

import re

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names
from tests import spec_numbers

# Float32 against float64 over a few layers.
TOLERANCE = 2e-5
_BATCH_NORM = re.compile(r'(.*\.)?(bn\d|downsample\.1)\.weight')
TEXT = {
    'text_width': 64, 'text_layers': 1, 'context_length': 4, 'vocab_size': 8
}


def source_shapes(wanted):
  """OpenAI's names -> shapes of a model."""
  flat = {
      path: np.zeros(shape, np.float32)
      for path, shape in clip_names.shapes(wanted).items()
  }
  return {name: x.shape for name, x in clip_names.to_original(flat).items()}


def image_tower(wanted):
  """A model whose image tower is filled by the fixtures' rule."""
  shapes = source_shapes(wanted)
  visual = {
      name.removeprefix('visual.'): shape
      for name, shape in shapes.items()
      if name.startswith('visual.')
  }
  # Statistics are buffers, which the rule does not number.
  filled = spec_numbers.fill(
      {n: shape for n, shape in visual.items() if 'running' not in n}
  )
  for name, shape in visual.items():
    if name.endswith('running_mean'):
      filled[name] = 0.1 * spec_numbers.series(shape[0], 900)
    elif name.endswith('running_var'):
      filled[name] = 1 + 0.5 * spec_numbers.series(shape[0], 901)
    elif _BATCH_NORM.fullmatch(name):
      # Drawn as any vector, around 0.
      filled[name] = 1 + filled[name]
  state = {name: np.zeros(shape) for name, shape in shapes.items()}
  state |= {f'visual.{name}': x for name, x in filled.items()}
  converted = clip_names.from_original(state)
  assert converted.sizes == wanted
  return Clip(wanted), unflatten_dict(converted.flat, sep='/')


def test_a4_vision_transformer():
  wanted = sizes.vit(
      128, 3, patch=8, embed_dim=48, image_resolution=32, **TEXT
  )
  clip, params = image_tower(wanted)
  x = spec_numbers.tensor((2, 3, 32, 32), 780, 1.7).transpose(0, 2, 3, 1)
  out = np.asarray(clip.images(params, x))
  expected = [0.720658352, -1.166727108, 1.437141547, -1.144311540]
  np.testing.assert_allclose(out[0, :4], expected, atol=TOLERANCE)
  assert np.linalg.norm(out) == pytest.approx(13.342515782, rel=1e-5)


def a5():
  """A ResNet, its params['clip'] and its pictures."""
  wanted = sizes.resnet(
      16, (2, 1, 1, 1), embed_dim=24, image_resolution=64, **TEXT
  )
  x = spec_numbers.tensor((2, 3, 64, 64), 780, 1.7).transpose(0, 2, 3, 1)
  return *image_tower(wanted), x


def test_a5_resnet_with_stored_statistics():
  # With those of the batch: tests/methods/test_batch_moments.py.
  clip, params, x = a5()
  out = np.asarray(jax.jit(clip.images)(params, x))
  expected = [-0.013929255, 0.051364809, -0.030086268, -0.013994696]
  np.testing.assert_allclose(out[0, :4], expected, atol=TOLERANCE)
  assert np.linalg.norm(out) == pytest.approx(1.528638291, rel=1e-4)


def test_a6_text_tower():
  text = {'text_width': 128, 'text_layers': 2}
  wanted = sizes.vit(64, 1, patch=8, embed_dim=16, image_resolution=8, **text)
  shapes = source_shapes(wanted)
  own = {n: s for n, s in shapes.items() if not n.startswith('visual.')}
  state = {name: np.zeros(shape) for name, shape in shapes.items()}
  state |= spec_numbers.fill(own, {'logit_scale': 0.0})
  flat = clip_names.from_original(state).flat
  clip, params = Clip(wanted), unflatten_dict(flat, sep='/')
  tokens = np.zeros((2, 77), np.int32)
  # 'A video of Apply Eye Makeup.' and 'A video of Wave.'
  tokens[0, :9] = 49406, 320, 1455, 539, 4356, 3272, 5853, 269, 49407
  tokens[1, :7] = 49406, 320, 1455, 539, 4535, 269, 49407
  out = np.asarray(clip.text(params, tokens))
  expected = [
      [-7.911981037, 1.651837657, -3.491840629, -4.547575245],
      [-4.511423314, 0.816574115, -3.612531248, -7.950860361],
  ]
  np.testing.assert_allclose(out[:, :4], expected, atol=1e-4)
  assert np.linalg.norm(out) == pytest.approx(16.594687608, rel=1e-5)
