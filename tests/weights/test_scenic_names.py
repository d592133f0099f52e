"""Scenic's naming of CLIP: names, shapes, and the way there and back."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import WeightsError
from evclip_jax.weights import scenic_names
from tests.models import small


@pytest.mark.parametrize('sizes', [small.VIT, small.RESNET], ids=['vit', 'rn'])
def test_there_and_back_is_the_same_bits(sizes):
  flat = small.flat(sizes)
  back = scenic_names.from_scenic(scenic_names.to_scenic(flat))
  assert back.keys() == flat.keys()
  for path, value in flat.items():
    assert back[path].dtype == value.dtype
    np.testing.assert_array_equal(back[path], value, path)


def shapes(sizes):
  tree = scenic_names.to_scenic(small.flat(sizes))
  return {path: value.shape for path, value in tree.items()}


def test_names_and_shapes_of_a_vit():
  found = shapes(small.VIT)
  block = 'params/visual/transformer/resblocks.1'
  wanted = {
      'params/logit_scale': (),
      'params/visual/class_embedding': (128,),
      'params/visual/positional_embedding': (5, 128),
      'params/visual/conv1/kernel': (8, 8, 3, 128),
      'params/visual/proj/kernel': (128, 16),
      'params/visual/ln_pre/scale': (128,),
      f'{block}/attn/query/kernel': (128, 2, 64),
      f'{block}/attn/value/bias': (2, 64),
      f'{block}/attn/out/kernel': (2, 64, 128),
      f'{block}/attn/out/bias': (128,),
      f'{block}/mlp/c_fc/kernel': (128, 512),
      f'{block}/ln_2/bias': (128,),
      'params/text/token_embedding/embedding': (20, 32),
      'params/text/positional_embedding': (8, 32),
      'params/text/text_projection/kernel': (32, 16),
      'params/text/ln_final/scale': (32,),
      'params/text/transformer/resblocks.0/attn/key/kernel': (32, 1, 32),
  }
  assert {path: found.get(path) for path in wanted} == wanted
  assert not any(path.startswith('batch_stats') for path in found)


def test_names_and_shapes_of_a_resnet():
  found = shapes(small.RESNET)
  wanted = {
      'params/visual/conv3/kernel': (3, 3, 4, 8),
      'params/visual/bn1/scale': (4,),
      'batch_stats/visual/bn1/mean': (4,),
      'params/visual/layer2/0/conv2/kernel': (3, 3, 16, 16),
      'batch_stats/visual/layer2/0/bn3/var': (64,),
      'params/visual/layer1/0/downsample/0/kernel': (1, 1, 8, 32),
      'params/visual/layer1/0/downsample/1/bias': (32,),
      'batch_stats/visual/layer1/0/downsample/1/mean': (32,),
      'params/visual/attnpool/positional_embedding': (2, 256),
      'params/visual/attnpool/attn/query/kernel': (256, 4, 64),
      'params/visual/attnpool/attn/key/bias': (4, 64),
      'params/visual/attnpool/attn/out/kernel': (4, 64, 16),
      'params/visual/attnpool/attn/out/bias': (16,),
  }
  assert {path: found.get(path) for path in wanted} == wanted


def test_flax_attention_computes_the_same_from_it():
  # Scenic's blocks call flax's self-attention on these leaves.
  flat = small.flat(small.VIT)
  prefix = 'visual/transformer/resblocks.0/attn/'
  ours = {
      n.removeprefix(prefix): v for n, v in flat.items() if n.startswith(prefix)
  }
  theirs = {
      n.removeprefix(f'params/{prefix}'): v
      for n, v in scenic_names.to_scenic(flat).items()
      if n.startswith(f'params/{prefix}')
  }
  x = np.random.default_rng(0).standard_normal((1, 5, 128), np.float32)
  attention = nn.MultiHeadDotProductAttention(num_heads=2)
  found = attention.apply({'params': unflatten_dict(theirs, sep='/')}, x)

  qkv = x @ ours['in_proj/kernel'] + ours['in_proj/bias']
  q, k, v = jnp.moveaxis(qkv.reshape(1, 5, 3, 2, 64), 2, 0)
  weights = jax.nn.softmax(jnp.einsum('bqhd,bkhd->bhqk', q, k) / 8)
  mixed = jnp.einsum('bhqk,bkhd->bqhd', weights, v).reshape(1, 5, 128)
  wanted = mixed @ ours['out_proj/kernel'] + ours['out_proj/bias']
  np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_no_scenic_tree_is_refused():
  tree = scenic_names.to_scenic(small.flat(small.VIT))
  with pytest.raises(WeightsError, match='opt_state/x'):
    scenic_names.from_scenic(tree | {'opt_state/x': np.zeros(1)})
  del tree['params/visual/transformer/resblocks.0/attn/query/bias']
  with pytest.raises(WeightsError, match=r"in_proj/bias.*\['key', 'value'\]"):
    scenic_names.from_scenic(tree)
