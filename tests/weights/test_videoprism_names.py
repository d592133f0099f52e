"""VideoPrism's files: names, stacked blocks, sizes, refusals."""

import dataclasses

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.models.videoprism.sizes import TABLE, VideoPrismSizes
from evclip_jax.weights import load, random_init, trunks, videoprism_names
from tests.weights.trees import assert_same

ENCODER = VideoPrismSizes(16, 2, 32, 2, 1, patch=2, grid=3, num_frames=4)
VIDEO_TEXT = dataclasses.replace(
    ENCODER, auxiliary_layers=1, text_layers=2, text_hidden=64, vocab_size=9,
    pooler_width=64,
)


def state(sizes):
  """Draws flat leaves; returns them and the tensors of their file."""
  flat = random_init.draw(trunks.shapes(sizes), 0)
  return flat, videoprism_names.to_original(flat, sizes)


@pytest.mark.parametrize('sizes', [ENCODER, VIDEO_TEXT])
@pytest.mark.parametrize('stacked', [True, False])
def test_published_files_are_read(sizes, stacked, tmp_path):
  flat, tensors = state(sizes)
  prefix = 'vision_encoder/' if sizes.text_layers else ''
  name = f'params/{prefix}spatial_encoder/transformers_stack/x_layers/'
  # Scales in files are offsets from 1.
  assert not tensors[name + 'layer_norm/scale'].any()
  assert tensors[name + 'self_attention/post/w'].shape == (2, 16, 2, 8)
  if not stacked:
    tensors = videoprism_names.unstacked(tensors)
  path = tmp_path / 'file.npz'
  np.savez(path, **tensors)
  for _ in range(2):  # converted, then from the cache
    found = load.load_encoder('', str(path), str(tmp_path))
    assert found.sizes == sizes
    assert_same(flatten_dict(found.params, sep='/'), flat)


@pytest.mark.parametrize(
    ('name', 'count'),
    [
        ('videoprism_base', 114_365_184),
        ('videoprism_large', 353_965_056),
        ('videoprism_lvt_base', 247_623_424),
        ('videoprism_lvt_large', 579_877_120),
    ],
)
def test_published_networks_have_the_right_number_of_weights(name, count):
  shapes = trunks.shapes(TABLE[name])
  assert sum(int(np.prod(shape)) for shape in shapes.values()) == count


def test_weights_of_another_network_are_refused(tmp_path):
  path = tmp_path / 'file.npz'
  np.savez(path, **state(ENCODER)[1])
  for name in ('videoprism_tiny', 'omnivore_swinT'):
    with pytest.raises(UserError, match=f'encoder.name={name} is a') as error:
      load.load_encoder(name, str(path), str(tmp_path))
    assert 'holds a VideoPrism encoder of width 16' in str(error.value)
  with pytest.raises(UserError, match='is a VideoPrism network, not a CLIP'):
    load.load_clip('', str(path), str(tmp_path))


def test_broken_and_missing_files_are_refused(tmp_path):
  path = tmp_path / 'file.npz'
  for name, value, message in (
      ('temporal_ln/bias', None, 'temporal_norm/bias'),
      ('spatial_pos_emb/emb_var', np.ones((8, 16), 'f'), 'no squares'),
  ):
    tensors = state(ENCODER)[1] | {f'params/{name}': value}
    np.savez(path, **{n: x for n, x in tensors.items() if x is not None})
    with pytest.raises(UserError, match=message):
      load.load_encoder('', str(path), str(tmp_path))
  with pytest.raises(UserError, match='download videoprism_base'):
    load.load_encoder('videoprism_base', '', str(tmp_path))
