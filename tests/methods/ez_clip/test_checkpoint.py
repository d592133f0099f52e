"""EZ-CLIP's checkpoints, and the CLIP in them, both ways."""

import functools

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError, WeightsError
from evclip_jax import convert
from evclip_jax.config import experiment
from evclip_jax.methods.ez_clip import checkpoint as ez_clip
from evclip_jax.training import session
from evclip_jax.training.params import merge
from evclip_jax.weights import clip_names, files, own_file, published
from tests.methods.ez_clip import ez_tiny
from tests.models import small
from tests.parity.ez_clip import clip_from_original
from tests.weights.trees import assert_same

EMBEDDING = 'visual.temporal_embedding'
PROMPTS = 'visual.transformer.T_prompt_embeddings'


def checkpoint(zero=True):
  """Returns a whole checkpoint, its weights in float16 like the original's."""
  tensors = ez_tiny.state('deep')
  if zero:
    tensors[EMBEDDING] = np.zeros_like(tensors[EMBEDDING])
  return {
      name: x.astype(np.float16) if name.endswith('weight') else x
      for name, x in tensors.items()
  }


def saved(tmp_path, tensors, name='checkpoint.npz'):
  path = tmp_path / name
  np.savez(path, **tensors)
  return path


@pytest.mark.parametrize('zero', [True, False])
def test_a_temporal_embedding_of_zeros_is_left_out(zero):
  converted = ez_clip.from_original(checkpoint(zero=zero))
  assert ('temporal_embedding' in converted.flat) == (not zero)
  assert converted.sizes.temporal_embedding == (not zero)
  assert (EMBEDDING in converted.ignored) == zero


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x: x.pop('visual.transformer.resblocks.1.Adapter.D_fc1.bias'),
         'image/adapter.1/D_fc1/bias'),
        (lambda x: x.update({'visual.tsm.weight': np.zeros(2)}), 'visual.tsm'),
        (lambda x: x.pop('transformer.resblocks.0.Adapter.D_fc2.bias'),
         "'transformer.resblocks.0.Adapter.D_fc2.bias'"),
        (lambda x: x.pop('transformer.resblocks.1.Adapter.D_fc2.bias'),
         'text/adapter.1/D_fc2/bias'),
        (lambda x: x.update({
            f'transformer.resblocks.{10**9}.Adapter.D_fc2.bias': np.zeros(2)
        }), 'no rule'),
        (lambda x: x.update({PROMPTS: np.zeros(4)}), 'wanted 3 axes'),
        (lambda x: x.update({EMBEDDING: np.ones(4)}), 'wanted 3 axes'),
    ],
)
def test_checkpoints_of_another_form_are_refused(change, message):
  tensors = checkpoint()
  change(tensors)
  with pytest.raises(WeightsError, match=message):
    ez_clip.from_original(tensors)


def tiny(temporal='deep'):
  """Returns a config with the packaged CLIP."""
  config = experiment.new('ez_clip').unlock()
  config.clip.name = 'tiny'
  config.method.settings.temporal = temporal
  return config


def weights(config):
  """Returns initial weights of the method and of CLIP, flat."""
  run = session.build(config, ['a', 'b'])
  tree = merge(run.trainable, run.frozen)
  return [flatten_dict(tree[part], sep='/') for part in ('method', 'clip')]


@functools.cache
def built(temporal):
  return weights(tiny(temporal))


def test_a_checkpoint_becomes_a_model_for_more_frames(tmp_path):
  own, clip = built('deep')
  tensors = ez_clip.to_original(own) | clip_names.to_original(clip)
  tensors[EMBEDDING] = np.zeros((1, 8, 128), np.float32)
  config = tiny()
  # As training on several GPUs saves it.
  wrapped = {f'module.{name}': x for name, x in tensors.items()}
  config.method.weights = str(saved(tmp_path, wrapped))
  config.data.num_frames = 16
  with pytest.raises(UserError, match='for 8 frames, but .*frames=16'):
    session.build(config, ['a', 'b'])
  config.method.settings.resize_prompts = True
  found, _ = weights(config)
  assert found['temporal_prompts'].shape == (2, 16, 128)
  np.testing.assert_array_equal(
      found['image/adapter.0/D_fc1/kernel'], own['image/adapter.0/D_fc1/kernel']
  )
  tensors[PROMPTS] = np.full_like(tensors[PROMPTS], np.nan)
  config.method.weights = str(saved(tmp_path, tensors, 'nan.npz'))
  with pytest.raises(UserError, match='prompts has numbers that are not'):
    session.build(config, ['a', 'b'])


@pytest.fixture
def run_export(tmp_path):
  """Writes files like `evclip_jax.export`; returns (path, weights)."""

  def write(temporal='deep', **metadata):
    own, _ = built(temporal)
    path = tmp_path / 'run.safetensors'
    own_file.write_tensors(
        path,
        {f'method/{n}': x for n, x in own.items()},
        {'kind': 'trained', 'method': 'ez_clip'} | metadata,
    )
    return path, own

  return write


@pytest.mark.parametrize('temporal', ['deep', 'none'])
def test_a_run_and_its_clip_become_a_whole_checkpoint(
    temporal, run_export, tmp_path, capsys
):
  path, own = run_export(temporal, num_frames='8')
  clip = published.packaged('tiny_clip.safetensors')
  whole, ours = tmp_path / 'whole.safetensors', tmp_path / 'ours.safetensors'
  convert.convert_file(path, whole, to='torch-names', clip=str(clip))
  assert 'warning' not in capsys.readouterr().out
  tensors = files.read_tensors(whole).tensors
  assert tensors.keys() == ez_tiny.state(temporal).keys()
  np.testing.assert_array_equal(tensors[EMBEDDING], np.zeros((1, 8, 128)))
  convert.convert_file(whole, ours)
  found = files.read_tensors(ours).tensors
  assert_same(found, {f'method/{name}': x for name, x in own.items()})
  frozen = own_file.read(files.read_tensors(clip), 'clip', None).flat
  assert_same(clip_from_original(tensors).flat, frozen)


def test_another_clip_warns_or_is_refused(run_export, tmp_path, capsys):
  path, _ = run_export(**{'weights.clip': 'of another'})
  clip = str(published.packaged('tiny_clip.safetensors'))
  out = tmp_path / 'whole.safetensors'
  convert.convert_file(path, out, to='torch-names', clip=clip)
  assert 'is not the CLIP that the run' in capsys.readouterr().out
  small_clip = tmp_path / 'small.npz'
  np.savez(small_clip, **clip_names.to_original(small.flat(small.VIT)))
  with pytest.raises(UserError, match='of the CLIP is .* trained weights are'):
    convert.convert_file(
        path, out, to='torch-names', force=True, clip=str(small_clip)
    )


def test_a_whole_checkpoint_needs_its_number_of_frames(run_export, tmp_path):
  path, _ = run_export('none')
  clip = str(published.packaged('tiny_clip.safetensors'))
  out = tmp_path / 'whole.safetensors'
  with pytest.raises(UserError, match='how many frames'):
    convert.convert_file(path, out, to='torch-names', clip=clip)
  convert.convert_file(path, out, to='torch-names')
  assert EMBEDDING not in files.read_tensors(out).tensors
