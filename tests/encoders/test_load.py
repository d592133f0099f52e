import numpy as np
import pytest
import safetensors.numpy

from data_pipelines.errors import UserError
from evclip_jax.models.swin3d.sizes import TABLE, VideoEncoderSizes
from evclip_jax.weights import encoder_load, swin3d_names
from evclip_jax.weights.tree import flatten

SIZES = VideoEncoderSizes(8, (1, 1), (1, 2), (2, 7, 7))


@pytest.fixture
def file(tmp_path):
  rng = np.random.default_rng(0)
  flat = {
      path: rng.normal(size=shape).astype(np.float32)
      for path, shape in swin3d_names.shapes(SIZES).items()
  }
  path = tmp_path / 'trunk.safetensors'
  tensors = {
      name: np.ascontiguousarray(value)
      for name, value in swin3d_names.to_source(flat).items()
  }
  safetensors.numpy.save_file(tensors, path)
  return path, flat


def test_a_file_gives_its_architecture_and_weights(file):
  path, flat = file
  loaded = encoder_load.load_encoder('', str(path))
  assert loaded.sizes == SIZES
  found = flatten(loaded.params)
  assert found.keys() == flat.keys()
  for name, value in flat.items():
    np.testing.assert_array_equal(found[name], value)
  assert encoder_load.load_encoder('', str(path)).hash == loaded.hash


def test_a_file_of_another_architecture_names_the_key(file):
  with pytest.raises(UserError, match='encoder.name=omnivore_swinT'):
    encoder_load.load_encoder('omnivore_swinT', str(file[0]))


def test_random_weights_need_only_a_name():
  loaded = encoder_load.load_encoder('omnivore_swinT', 'random:3')
  assert loaded.sizes == TABLE['omnivore_swinT']
  assert loaded.sizes.drop_path == 0.2
  assert loaded.source == 'random:3'
  other = encoder_load.load_encoder('omnivore_swinT', 'random:4')
  assert other.hash != loaded.hash


def test_an_unknown_name_is_answered_with_the_nearest():
  with pytest.raises(UserError, match='Did you mean omnivore_swinT'):
    encoder_load.load_encoder('omnivore_swinTT')


def test_published_weights_that_are_not_there_say_how_to_get_them(tmp_path):
  with pytest.raises(UserError, match='evclip_jax.download omnivore_swinS'):
    encoder_load.load_encoder('omnivore_swinS', '', str(tmp_path))


def test_a_missing_file_is_named():
  with pytest.raises(UserError, match='nowhere.torch'):
    encoder_load.load_encoder('omnivore_swinS', '/nowhere.torch')
