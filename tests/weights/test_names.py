"""Conversions from other code bases and back; sizes from shapes."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip import sizes
from evclip_jax.models.swin3d import sizes as swin3d_sizes
from evclip_jax.weights import clip_names, scenic_names, swin3d_names
from tests.models import small
from tests.weights import states
from tests.weights.trees import assert_same

BOTH = pytest.mark.parametrize(
    'wanted', [small.VIT, small.RESNET], ids=['vit', 'rn']
)


@pytest.fixture(scope='module')
def state():
  return clip_names.to_original(small.flat())


@BOTH
def test_clip_there_and_back(wanted):
  flat = small.flat(wanted)
  state = clip_names.to_original(flat)
  converted = clip_names.from_original(state)
  assert converted.sizes == clip_names.sizes_of(flat) == wanted
  assert_same(converted.flat, flat)
  assert converted.mapped.keys() == state.keys()
  assert_same(scenic_names.from_scenic(scenic_names.to_scenic(flat)), flat)


def test_numbers_and_counters_of_real_files_are_ignored(state):
  extra = {
      'input_resolution': np.array(16),
      'context_length': np.array(8),
      'vocab_size': np.array(20),
      'visual.bn1.num_batches_tracked': np.array(3),
      'attn_mask': np.zeros((8, 8)),
  }
  converted = clip_names.from_original(state | extra)
  assert set(converted.ignored) == set(extra)


def changed(state, **changes):
  """Replaces some tensors of a state dict, or removes those that are None."""
  changes = {name.replace('__', '.'): x for name, x in changes.items()}
  return {n: x for n, x in (state | changes).items() if x is not None}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'text_projection': None}, "'text_projection' is missing"),
        ({'visual__ln_post__bias': None}, "are not in the file, such as 'vis"),
        ({'visual__extra': np.ones(2)}, "no rule for the tensor 'visual.ex"),
        ({'visual__ln_pre__bias': np.ones(5)}, 'ln_pre'),
        ({'visual__conv1__weight': np.ones((128, 3))}, 'wanted 4 axes'),
        ({'visual__positional_embedding': np.ones((7, 128))}, 'not a square'),
        ({'text_projection': np.ones((0, 16))}, 'none of length 0'),
        (
            {'visual__transformer__resblocks__5__ln_1__bias': np.ones(128)},
            r'\[0, 1, 5\]',
        ),
        (
            {'visual__layer1__0__conv1__weight': np.ones((4, 4, 1, 1))},
            'which this architecture does not have',
        ),
        ({'text__ln_final__bias': np.ones(32)}, "'ln_final.bias' is there tw"),
    ],
)
def test_refusals(state, changes, message):
  with pytest.raises(WeightsError, match=message):
    clip_names.from_original(changed(state, **changes))


@pytest.mark.parametrize('name', ['ViT-L/14@336px', 'RN50x16'])
def test_published_sizes_are_found_in_shapes(name):
  shapes = clip_names.shapes(sizes.TABLE[name])
  # Views of one number take no memory.
  flat = {p: np.broadcast_to(np.float32(0), s) for p, s in shapes.items()}
  assert clip_names.sizes_of(flat) == sizes.TABLE[name]


QUERY = 'vision_model.encoder.layers.1.self_attn.q_proj.bias'


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('logit_bias', np.zeros(3), 'logit_bias'),
        ('vision_model.encoder.layers.0.gate.weight', np.zeros(3), 'gate'),
        ('text_model.embeddings.x', np.zeros(3), "'text_model.embeddings.x'"),
        # OpenAI's name, beside Hugging Face's for the same tensor.
        ('token_embedding.weight', np.zeros(3), 'not of a Hugging Face'),
        (QUERY, np.zeros(3), r"in_proj_bias' have .*\(3,\), \(128,\)"),
        (QUERY, None, r"visual\..*\.1\.attn\.in_proj_bias.*\['k', 'v'\]"),
    ],
)
def test_refusals_of_hugging_faces_names(name, value, message):
  tensors = states.huggingface_state() | {name: value}
  tensors = {n: x for n, x in tensors.items() if x is not None}
  with pytest.raises(WeightsError, match=message):
    clip_names.from_huggingface(tensors)


@pytest.mark.parametrize('tower', ['text_model', 'vision_model'])
def test_one_tower_alone_is_refused(tower):
  state = states.huggingface_state()
  alone = {n: x for n, x in state.items() if n.startswith(tower)}
  with pytest.raises(WeightsError, match='only one tower of a CLIP'):
    clip_names.from_huggingface(alone)


BLOCK = 'params/visual/transformer/resblocks.1'
SCENIC = {
    'vit': {
        'params/logit_scale': (),
        'params/visual/class_embedding': (128,),
        'params/visual/positional_embedding': (5, 128),
        'params/visual/conv1/kernel': (8, 8, 3, 128),
        'params/visual/proj/kernel': (128, 16),
        'params/visual/ln_pre/scale': (128,),
        f'{BLOCK}/attn/query/kernel': (128, 2, 64),
        f'{BLOCK}/attn/value/bias': (2, 64),
        f'{BLOCK}/attn/out/kernel': (2, 64, 128),
        f'{BLOCK}/attn/out/bias': (128,),
        f'{BLOCK}/mlp/c_fc/kernel': (128, 512),
        f'{BLOCK}/ln_2/bias': (128,),
        'params/text/token_embedding/embedding': (20, 32),
        'params/text/positional_embedding': (8, 32),
        'params/text/text_projection/kernel': (32, 16),
        'params/text/ln_final/scale': (32,),
        'params/text/transformer/resblocks.0/attn/key/kernel': (32, 1, 32),
    },
    'resnet': {
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
    },
}


@BOTH
def test_names_and_shapes_of_scenic(wanted):
  tree = scenic_names.to_scenic(small.flat(wanted))
  expected = SCENIC[wanted.vision]
  assert {path: tree[path].shape for path in expected} == expected
  statistics = [path for path in tree if path.startswith('batch_stats')]
  assert bool(statistics) == (wanted.vision == 'resnet')


def test_flax_attention_computes_the_same_from_it():
  # Scenic's blocks apply flax's self-attention to these leaves.
  flat = small.flat()
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


def test_refusals_of_scenic_trees():
  tree = scenic_names.to_scenic(small.flat())
  out = 'params/text/transformer/resblocks.0/attn/out/kernel'
  with pytest.raises(WeightsError, match='not a whole Scenic CLIP tree'):
    scenic_names.convert(tree | {out: np.float32(1)})
  with pytest.raises(WeightsError, match='opt_state/x'):
    scenic_names.from_scenic(tree | {'opt_state/x': np.zeros(1)})
  del tree['params/visual/transformer/resblocks.0/attn/query/bias']
  with pytest.raises(WeightsError, match=r"in_proj/bias.*\['key', 'value'\]"):
    scenic_names.from_scenic(tree)


@pytest.fixture
def trunk():
  return states.trunk_state()


def test_a_trunk_there_and_back(trunk):
  converted = swin3d_names.from_original(trunk)
  assert converted.sizes == states.TRUNK
  assert_same(swin3d_names.to_original(converted.flat), trunk)
  assert converted.flat['patch_embed/proj/kernel'].shape == (2, 4, 4, 3, 8)
  qkv = trunk['layers.0.blocks.0.attn.qkv.weight']
  np.testing.assert_array_equal(
      converted.flat['layers.0/blocks.0/attn/qkv/kernel'], qkv.T
  )


# Some differ only in the rate of drop path, which no tensor shows.
TRUNKS = dict.fromkeys(
    dataclasses.replace(sizes, drop_path=0.0)
    for sizes in swin3d_sizes.TABLE.values()
)


@pytest.mark.parametrize('wanted', TRUNKS)
def test_sizes_of_every_published_trunk_are_inferred(wanted):
  shapes = swin3d_names.shapes(wanted)
  flat = {p: np.broadcast_to(np.float32(0), s) for p, s in shapes.items()}
  assert swin3d_sizes.infer(swin3d_names.to_original(flat)) == wanted


TABLE = 'layers__{}__blocks__{}__attn__relative_position_bias_table'


def test_a_trunk_prefix_is_understood(trunk):
  behind = {f'trunk.{name}': value for name, value in trunk.items()}
  behind['heads.image.weight'] = np.zeros((4, 16))
  behind['trunk.depth_patch_embed.proj.bias'] = np.zeros(8)
  behind['trunk.layers.0.blocks.0.attn.relative_position_index'] = np.zeros(9)
  converted = swin3d_names.from_original(behind)
  assert len(converted.flat) == len(trunk)
  assert len(converted.ignored) == 3


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'layers__0__blocks__0__gate': np.zeros(3)}, 'gate'),
        ({'norm__bias': None}, 'norm/bias'),
        ({'norm__bias': np.zeros(3)}, r'norm\.bias'),
        ({'patch_embed__proj__weight': None}, 'not an Omnivore trunk'),
        ({'patch_embed__proj__weight': np.zeros((0, 3, 2, 4, 4))}, 'length 0'),
        ({TABLE.format(1, 1): np.zeros(())}, r'bias_table. is \(\); wanted 2'),
        ({TABLE.format(1, 9**9): np.zeros((845, 2))}, 'no rule|not have'),
    ],
)
def test_refusals_of_trunks(trunk, changes, message):
  with pytest.raises(WeightsError, match=message):
    swin3d_names.from_original(changed(trunk, **changes))
