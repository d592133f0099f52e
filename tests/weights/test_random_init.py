"""Random weights."""

import math

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.weights import random_init

SHAPES = {
    'ln/scale': (4,),
    'ln/bias': (4,),
    'bn1/var': (4,),
    'bn1/mean': (4,),
    'logit_scale': (),
    'conv/kernel': (3, 3, 16, 64),
    'proj': (128, 64),
    'positional_embedding': (50, 64),
    'attn/relative_position_bias_table': (169, 8),
}


def test_statistics_follow_the_name():
  leaves = random_init.draw(SHAPES, 0)
  assert {p: x.shape for p, x in leaves.items()} == SHAPES
  assert all(x.dtype == np.float32 for x in leaves.values())
  assert (leaves['ln/scale'] == 1).all() and (leaves['bn1/var'] == 1).all()
  assert not leaves['ln/bias'].any() and not leaves['bn1/mean'].any()
  assert math.exp(leaves['logit_scale']) == pytest.approx(100, rel=1e-5)
  for path, std in (
      ('conv/kernel', 1 / 12),
      ('proj', 128**-0.5),
      ('positional_embedding', 0.02),
      ('attn/relative_position_bias_table', 0.02),
  ):
    assert leaves[path].std() == pytest.approx(std, rel=0.05)
    assert abs(leaves[path].mean()) < 0.1 * std


def test_a_leaf_depends_on_seed_and_path_only():
  one = random_init.draw(SHAPES, 0)
  alone = random_init.draw({'proj': (128, 64)}, 0)
  np.testing.assert_array_equal(one['proj'], alone['proj'])
  assert not np.array_equal(random_init.draw(SHAPES, 1)['proj'], one['proj'])
  other = random_init.draw({'other/proj': (128, 64)}, 0)['other/proj']
  assert not np.array_equal(other, one['proj'])


def test_seeds_are_read_from_text():
  assert random_init.is_random('random:7')
  assert not random_init.is_random('ViT-B/16')
  assert random_init.parse_seed('random:-7', 'clip.weights') == -7
  with pytest.raises(UserError, match=r"encoder.weights='random:x'"):
    random_init.parse_seed('random:x', 'encoder.weights')
