"""Numbers: fixtures A1 and A2 of the specification, from the original."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.methods.ev_clip import checkpoint as interop
from evclip_jax.methods.ev_clip.generators import (
  ContextGenerator,
  MaskGenerator,
  check_features,
  min_max,
)
from evclip_jax.training.params import merge
from tests import spec_numbers


def count(module, channels, num_frames):
  z = jax.ShapeDtypeStruct((1, num_frames // 2, 7, 7, channels), jnp.float32)
  tree = jax.eval_shape(module.init, jax.random.key(0), z)
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ('channels', 'num_frames', 'expected'),
    [
        (768, 8, 5_660_845),
        (768, 16, 5_660_897),
        (768, 4, 5_660_831),
        (768, 32, 5_661_097),
        (1024, 8, 10_020_031),
        (1024, 16, 10_020_083),
    ],
)
def test_mask_parameter_counts(channels, num_frames, expected):
  assert count(MaskGenerator(), channels, num_frames) == expected


@pytest.mark.parametrize(
    ('channels', 'width', 'expected'),
    [
        (768, 512, 394_241),
        (768, 768, 591_361),
        (768, 1024, 788_481),
        (1024, 512, 525_313),
        (1024, 768, 787_969),
        (1024, 1024, 1_050_625),
    ],
)
def test_context_parameter_counts(channels, width, expected):
  assert count(ContextGenerator(width), channels, 8) == expected


def fixture(channels, num_frames):
  """Both generators' weights and the trunk features of A1 and A2."""
  sizes = interop.PromptSizes('both', channels, num_frames, 512, False)
  zeros = {p: np.zeros(s) for p, s in interop.shapes(sizes).items()}
  names = {
      name.removeprefix('dec.'): value.shape
      for name, value in interop.to_original(zeros, 'both').items()
  }
  scalars = {'dec_s.logit_scale': 1.3, 'dec_t.context_scale': 0.01}
  tensors = spec_numbers.fill(names, scalars)
  flat = interop.from_original({f'dec.{n}': t for n, t in tensors.items()}).flat
  z = spec_numbers.tensor((2, channels, num_frames // 2, 7, 7), 777, 1.7)
  return merge(flat), z.transpose(0, 2, 3, 4, 1)


@pytest.fixture(scope='module')
def a1():
  return fixture(768, 8)


def apply_mask(params, z):
  return MaskGenerator().apply({'params': params}, z)


def test_mask_of_fixture_a1(a1):
  params, z = a1
  mask = np.asarray(jax.jit(apply_mask)(params['mask'], z))
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


def test_gradients_of_fixture_a1(a1):
  params, z = a1
  # The specification says series 777; its numbers are those of 778.
  weights = spec_numbers.tensor((2, 224, 224), 778, 1)
  value, grads = jax.jit(
      jax.value_and_grad(lambda p: (apply_mask(p, z) * weights).sum())
  )(params['mask'])
  np.testing.assert_allclose(value, 24.1290141508, rtol=1e-4)
  flat = {f'mask/{p}': g for p, g in flatten_dict(grads, sep='/').items()}
  found = interop.to_original(flat, 'mask')
  for name, norm, first in (
      ('logit_scale', 20.0896447, -20.0896447),
      ('projection2spatial.0.weight', 65.2447518, -28.7227009),
      ('upsample1.expand.weight', 981.697904, 5.42256640e-3),
      (
          'block1.1.attn.relative_position_bias_table',
          6.55205784,
          2.14590388e-2,
      ),
      ('upsample3.norm.bias', 29.8452465, -0.970268123),
      ('channel_projection.2.weight', 92.3300359, 7.93038759),
  ):
    grad = found[f'dec.{name}']
    np.testing.assert_allclose(np.linalg.norm(grad), norm, rtol=1e-4)
    np.testing.assert_allclose(
        grad.ravel()[0], first, rtol=1e-3, atol=1e-5 * norm, err_msg=name
    )


def test_fixture_a2():
  params, z = fixture(1024, 4)
  mask = np.asarray(jax.jit(apply_mask)(params['mask'], z))
  near = {'rtol': 0, 'atol': 1e-5}
  np.testing.assert_allclose(
      mask.mean((1, 2)), [0.1249005029, 0.1263611884], **near
  )
  np.testing.assert_allclose(
      mask.max((1, 2)), [0.9999352673, 0.9999352624], **near
  )
  assert mask.reshape(2, -1).argmax(1).tolist() == [48941, 31248]
  np.testing.assert_allclose(
      [mask[0, 0, 0], mask[0, 0, 1], mask[0, 1, 0], mask[0, 10, 200]],
      [0.2092076263, 0.1377431092, 0.0608740076, 0.0915810760],
      **near,
  )
  token = ContextGenerator(512).apply({'params': params['context']}, z)
  np.testing.assert_allclose(
      token[0, 0, :4],
      [-0.0057931669, -0.0130723120, -0.0091318711, 0.0027736766],
      atol=1e-7,
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
    check_features(1536, 8)


def test_an_odd_number_of_frames_names_the_key():
  with pytest.raises(UserError, match='data.num_frames=7'):
    check_features(768, 7)


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
