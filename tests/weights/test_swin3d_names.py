import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.models.swin3d.sizes import TABLE, VideoEncoderSizes, infer
from evclip_jax.weights import swin3d_names

SIZES = VideoEncoderSizes(8, (1, 2), (1, 2), (3, 7, 7))


@pytest.fixture
def state():
  rng = np.random.default_rng(0)
  flat = {
      path: rng.normal(size=shape).astype(np.float32)
      for path, shape in swin3d_names.shapes(SIZES).items()
  }
  return swin3d_names.to_original(flat)


def test_there_and_back_is_lossless(state):
  back = swin3d_names.to_original(swin3d_names.from_original(state).flat)
  assert back.keys() == state.keys()
  for name, value in state.items():
    np.testing.assert_array_equal(back[name], value)


def test_sizes_come_from_the_shapes(state):
  assert swin3d_names.from_original(state).sizes == SIZES


@pytest.mark.parametrize('name', TABLE)
def test_sizes_of_every_published_trunk_are_inferred(name):
  sizes = dataclasses.replace(TABLE[name], drop_path=0.0)
  shapes = swin3d_names.shapes(sizes)
  flat = {p: np.broadcast_to(np.float32(0), s) for p, s in shapes.items()}
  assert infer(swin3d_names.to_original(flat)) == sizes


def test_a_trunk_prefix_is_understood(state):
  behind = {f'trunk.{name}': value for name, value in state.items()}
  behind['heads.image.weight'] = np.zeros((4, 16))
  behind['trunk.depth_patch_embed.proj.bias'] = np.zeros(8)
  behind['trunk.layers.0.blocks.0.attn.relative_position_index'] = np.zeros(9)
  converted = swin3d_names.from_original(behind)
  assert len(converted.flat) == len(state)
  assert len(converted.ignored) == 3


def test_kernels_are_laid_out_for_this_project(state):
  flat = swin3d_names.from_original(state).flat
  assert flat['patch_embed/proj/kernel'].shape == (2, 4, 4, 3, 8)
  assert flat['layers.0/blocks.0/attn/qkv/kernel'].shape == (8, 24)


def test_an_unknown_tensor_is_refused(state):
  state['layers.0.blocks.0.gate'] = np.zeros(3)
  with pytest.raises(WeightsError, match='gate'):
    swin3d_names.from_original(state)


def test_a_missing_tensor_is_refused(state):
  del state['norm.bias']
  with pytest.raises(WeightsError, match='norm/bias'):
    swin3d_names.from_original(state)


def test_a_wrong_shape_is_refused(state):
  state['norm.bias'] = np.zeros(3)
  with pytest.raises(WeightsError, match=r'norm\.bias'):
    swin3d_names.from_original(state)


def test_something_else_is_refused_by_name():
  with pytest.raises(WeightsError, match='no Omnivore trunk'):
    swin3d_names.from_original({'visual.proj': np.zeros((2, 2))})
