"""Loading networks by name or from a file."""

import hashlib

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.weights import (
    clip_names,
    load,
    own_file,
    published,
    swin3d_names,
)
from tests.models import small
from tests.weights import states
from tests.weights.trees import assert_same


@pytest.fixture
def file(tmp_path):
  """Writes a file with OpenAI's names."""
  path = tmp_path / 'small.safetensors'
  own_file.write_tensors(path, clip_names.to_original(small.flat()), {})
  return path


@pytest.fixture
def known(monkeypatch):
  """Makes the small model one of the published ones."""
  monkeypatch.setitem(sizes.TABLE, 'small', small.VIT)


def assert_is_small(loaded, path):
  assert loaded.sizes == small.VIT
  assert loaded.source == str(path)
  assert_same(flatten_dict(loaded.params, sep='/'), small.flat())
  assert loaded.hash == own_file.tree_hash(small.flat())


def test_a_file_with_and_without_a_name(known, file, tmp_path):
  for _ in range(2):  # converted, then from the cache
    loaded = load.load_clip('', str(file), str(tmp_path), 'quick_gelu')
    assert_is_small(loaded, file)
  again = load.load_clip('small', str(file), str(tmp_path), 'quick_gelu')
  assert_is_small(again, file)
  with pytest.raises(UserError) as error:
    load.load_clip('ViT-B/16', str(file), str(tmp_path))
  assert 'clip.name=ViT-B/16' in str(error.value)
  assert 'width 128, layers 2, 16 pixels' in str(error.value)
  assert 'set clip.name=small' in str(error.value)


def test_packaged_model(monkeypatch, tmp_path):
  path = tmp_path / 'tiny_clip.safetensors'
  own_file.write(path, 'clip', small.flat(), small.VIT, {})
  monkeypatch.setattr(published, 'packaged', lambda name: tmp_path / name)
  for weights in ('', 'tiny', str(path)):
    loaded = load.load_clip('tiny', weights, str(tmp_path))
    assert_is_small(loaded, weights or 'tiny')
  loaded = load.load_clip('tiny', 'random:3', str(tmp_path))
  assert loaded.sizes == small.VIT and loaded.source == 'random:3'
  with pytest.raises(UserError, match='clip.name=ViT-B/16 is a ViT'):
    load.load_clip('ViT-B/16', 'tiny', str(tmp_path))
  # Its sizes are not those of its tensors.
  own_file.write(path, 'clip', small.flat(), small.RESNET, {})
  with pytest.raises(UserError, match='missing in the file'):
    load.load_clip('', str(path), str(tmp_path))


def test_published_weights_in_the_cache_folder(
    known, file, tmp_path, monkeypatch
):
  sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
  entry = published.Published('https://x/y', sha256, file.name)
  monkeypatch.setitem(published.CLIP, 'small', entry)
  loaded = load.load_clip('small', '', str(tmp_path))
  assert_is_small(loaded, 'small')
  own_file.write_tensors(file, clip_names.to_original(small.flat(seed=1)), {})
  with pytest.raises(UserError, match=r'not the published file .* sha256'):
    load.load_clip('small', '', str(tmp_path))
  file.unlink()
  with pytest.raises(UserError) as error:
    load.load_clip('small', '', str(tmp_path))
  command = f'python -m evclip_jax.download small --cache_dir={tmp_path}'
  assert command in str(error.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
  path = tmp_path / 'trunk.npz'
  state = states.trunk_state()
  name = 'patch_embed.proj.bias'
  np.savez(path, **state | {name: np.full_like(state[name], np.nan)})
  # The second time from the cache.
  for _ in range(2):
    with pytest.raises(UserError, match=r'npz: .*proj/bias.* not finite'):
      load.load_encoder('', str(path))


def test_random_weights(known):
  one, same, other = (
      load.load_clip('small', f'random:{seed}') for seed in (0, 0, 1)
  )
  assert one.hash == same.hash != other.hash
  found = flatten_dict(one.params, sep='/')
  assert found.keys() == clip_names.shapes(small.VIT).keys()


def test_a_trunk_from_a_file(tmp_path):
  path = tmp_path / 'trunk.npz'
  np.savez(path, **states.trunk_state())
  loaded = load.load_encoder('', str(path))
  assert loaded.sizes == states.TRUNK
  flat = swin3d_names.from_original(states.trunk_state()).flat
  assert loaded.hash == own_file.tree_hash(flat)
  assert load.load_encoder('', str(path)).hash == loaded.hash
  with pytest.raises(UserError, match='encoder.name=omnivore_swinT'):
    load.load_encoder('omnivore_swinT', str(path))


@pytest.mark.parametrize(
    ('name', 'weights', 'message'),
    [
        ('ViT-B-16', '', 'Did you mean ViT-B/16'),
        ('RN50', '/no/such/file.pt', 'there is no such file'),
        ('RN50', '~nobody/file.pt', 'there is no such file'),
        ('RN50', 300 * 'x', 'there is no such file'),
        ('RN50', 'random:one', "clip.weights='random:one'"),
        ('', '', 'set clip.weights'),
        ('', 'random:0', 'set clip.name'),
        ('', 'trunk.npz', r'trunk.npz.*not a CLIP model'),
        ('omnivore_swinTT', '', 'Did you mean omnivore_swinT'),
        ('omnivore_swinS', '', 'evclip_jax.download omnivore_swinS'),
        ('omnivore_swinS', '/nowhere.torch', 'nowhere.torch'),
    ],
)
def test_mistakes(name, weights, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  np.savez('trunk', **{'patch_embed.proj.weight': np.ones((4, 3, 2, 4, 4))})
  function = load.load_encoder if 'omnivore' in name else load.load_clip
  with pytest.raises(UserError, match=message):
    function(name, weights, str(tmp_path))
