"""EV-CLIP's generators. Numbers are from the original: spec, fixture A1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods.ev_clip import checkpoint
from evclip_jax.methods.ev_clip.generators import (
  ContextGenerator,
  MaskGenerator,
  check_features,
  min_max,
  to_grid,
)
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.training.params import merge
from tests import spec_numbers
from tests.methods import tiny


@pytest.fixture(scope='module')
def a1():
  """Returns both generators' weights, and features of the trunk."""
  sizes = checkpoint.PromptSizes('both', 768, 8, 512, False)
  zeros = {p: np.zeros(s) for p, s in checkpoint.shapes(sizes).items()}
  names = {
      name.removeprefix('dec.'): value.shape
      for name, value in checkpoint.to_original(zeros).items()
  }
  scalars = {'dec_s.logit_scale': 1.3, 'dec_t.context_scale': 0.01}
  tensors = spec_numbers.fill(names, scalars)
  tensors = {f'dec.{n}': t for n, t in tensors.items()}
  flat = checkpoint.from_original(tensors).flat
  z = spec_numbers.tensor((2, 768, 4, 7, 7), 777, 1.7)
  return merge(flat), z.transpose(0, 2, 3, 4, 1)


def test_mask_of_fixture_a1(a1):
  params, z = a1
  apply = jax.jit(MaskGenerator().apply)
  mask = np.asarray(apply({'params': params['mask']}, z))
  near = {'rtol': 0, 'atol': 1e-5}
  np.testing.assert_allclose(
      mask.mean((1, 2)), [0.2355586018, 0.2495409776], **near
  )
  np.testing.assert_allclose(
      mask.std((1, 2)), [0.1263671882, 0.1339534528], **near
  )
  np.testing.assert_allclose(
      mask.max((1, 2)), [0.9998746710, 0.9998684483], **near
  )
  assert mask.reshape(2, -1).argmax(1).tolist() == [14802, 25328]
  assert mask.reshape(2, -1).argmin(1).tolist() == [8577, 48985]
  np.testing.assert_allclose(
      [mask[0, 0, 0], mask[0, 0, 1], mask[0, 1, 0], mask[0, 10, 200]],
      [0.3546306868, 0.2676978316, 0.1962954328, 0.2359154447],
      **near,
  )
  np.testing.assert_allclose(
      [mask[0, 111, 57], mask[1, 223, 223], mask[1, 100, 3]],
      [0.1331956764, 0.3241980586, 0.3354582674],
      **near,
  )


def test_context_of_fixture_a1(a1):
  params, z = a1
  token = ContextGenerator(512).apply({'params': params['context']}, z)
  assert token.shape == (2, 1, 512)
  np.testing.assert_allclose(token.mean(), 0.0000673081, atol=1e-8)
  np.testing.assert_allclose(
      token[0, 0, :4],
      [-0.0112052558, 0.0022399671, 0.0127448886, 0.0019470924],
      atol=1e-7,
  )
  np.testing.assert_allclose(
      token[1, 0, -2:], [-0.0005680016, -0.0127587342], atol=1e-7
  )


def test_min_max_sends_its_gradient_to_one_of_several_equals():
  p = jnp.array([[0.0, 0.0, 1.0, 1.0]])
  grad = jax.grad(lambda p: min_max(p)[0, 1])(p)
  # d/dp of (p1 - p0) / (p2 - p0): the second element is not the first least.
  np.testing.assert_allclose(grad, [[-1, 1, 0, 0]], atol=1e-6)


def test_a_constant_map_gives_an_empty_mask():
  mask = min_max(jnp.full((1, 4), 0.25))
  np.testing.assert_array_equal(mask, np.zeros((1, 4)))


def test_a_trunk_without_a_generator_names_the_key():
  with pytest.raises(UserError, match='encoder.name'):
    check_features(1536)


def test_an_odd_number_of_frames_names_the_key():
  trunk = VideoEncoder(tiny.ENCODER)
  assert trunk.steps(8) == 4
  with pytest.raises(UserError, match='data.num_frames=7'):
    trunk.steps(7)


@pytest.mark.parametrize('side', [4, 7, 14, 16])
def test_features_are_averaged_over_the_area_of_each_cell(side):
  z = np.random.default_rng(0).normal(size=(1, 2, side, side, 3))
  found = to_grid(jnp.asarray(z, jnp.float32))
  # On a fine grid that both grids divide.
  fine = z.repeat(7, axis=2).repeat(7, axis=3)
  wanted = fine.reshape(1, 2, 7, side, 7, side, 3).mean((3, 5))
  np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_default_initialisation_is_pytorchs():
  z = jnp.zeros((1, 4, 7, 7, 128))
  init = jax.jit(MaskGenerator(bias=True).init)
  params = init(jax.random.key(0), z)['params']
  kernel = params['block1.0']['mlp']['fc2']['kernel']  # 256 inputs
  assert float(abs(kernel).max()) <= 1 / 16
  np.testing.assert_allclose(kernel.std(), 1 / 16 / 3**0.5, rtol=0.05)
  bias = params['block1.0']['mlp']['fc2']['bias']
  assert 0 < float(abs(bias).max()) <= 1 / 16
  assert params['logit_scale'] == 1
  table = params['block2.1']['attn']['relative_position_bias_table']
  np.testing.assert_allclose(table.std(), 0.02, rtol=0.05)
