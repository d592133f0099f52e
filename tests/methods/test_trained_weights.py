"""Checkpoints of the originals: recognised, converted, written back."""

import pathlib
import re

import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save_file

from data_pipelines.errors import UserError
from evclip_jax import convert
from evclip_jax.methods import trained_weights
from evclip_jax.weights import files
from tests.parity.draw import load_case
from tests.weights.trees import assert_same

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
# Golden case -> (method, part of its manifest that holds the checkpoint).
CASES = {
    'ev-tiny-mask': ('ev_clip', 'prompts'),
    'evcoop-tiny-both': ('ev_clip', 'prompts'),
    'ez-tiny': ('ez_clip', ''),
    'fsar-1shot': ('clip_fsar', ''),
    'coop-tiny-end': ('coop', 'coop'),
    'ivlp-tiny-n2d3': ('ivlp', ''),
    'vifi-tiny-both': ('vifi_clip', ''),
    'st-adapter-tiny-12': ('st_adapter', ''),
    'aim-tiny-k400': ('aim', ''),
}


def state(name):
  """Returns the tensors of a case's checkpoint."""
  method, section = CASES[name]
  case = load_case(GOLDEN / name)
  tensors = case.state(case.manifest[section] if section else None)
  if method == 'ev_clip':
    tensors = {f'image_prompt_learner.{n}': x for n, x in tensors.items()}
    tensors |= case.state(case.manifest['coop']) if 'coop' in name else {}
  if method == 'clip_fsar':
    tensors = {f'head.{n}': x for n, x in tensors.items()}
  return tensors


@pytest.mark.parametrize('name', CASES)
def test_there_and_back_by_the_command(name, tmp_path, capsys):
  method, _ = CASES[name]
  tensors = state(name)
  readers = trained_weights.readers()
  assert [m for m, r in readers.items() if r.recognise(tensors)] == [method]
  first, own, back = (
      tmp_path / f for f in ('a.npz', 'b.safetensors', 'c.safetensors')
  )
  np.savez(first, **tensors)
  convert.convert_file(first, own)
  assert readers[method].label in capsys.readouterr().out
  convert.convert_file(own, back, 'torch-names')
  # Reading removes 'module.'.
  tensors = files.read_tensors(first).tensors
  found = files.read_tensors(back).tensors
  if method == 'ez_clip':  # its checkpoints also have a frozen CLIP
    tensors = {name: tensors[name] for name in found}
  assert_same(found, tensors)


_AIM, _IVLP = 'backbone.transformer.resblocks.', 'transformer.resblocks.1.VPT'


@pytest.mark.parametrize(
    ('name', 'lost', 'leaf'),
    [
        ('aim-tiny-k400', 'backbone.temporal_embedding', 'temporal_embedding'),
        ('aim-tiny-k400', 'cls_head.fc_cls.bias', 'head/bias'),
        ('aim-tiny-k400', f'{_AIM}0.S_Adapter.D_fc1.weight',
         'space/adapter.0/D_fc1/kernel'),
        ('aim-tiny-k400', f'{_AIM}1.MLP_Adapter.D_fc2.bias',
         'mlp/adapter.1/D_fc2/bias'),
        ('coop-tiny-end', 'text_prompt_learner.ctx', 'words'),
        ('ivlp-tiny-n2d3', 'module.prompt_learner.ctx', 'words'),
        ('ivlp-tiny-n2d3', 'module.image_encoder.VPT', 'image/prompts.0'),
        ('ivlp-tiny-n2d3', f'module.image_encoder.{_IVLP}_shallow',
         'image/prompts.1'),
        ('ivlp-tiny-n2d3', f'module.text_encoder.{_IVLP}_shallow',
         'text/prompts.1'),
        ('st-adapter-tiny-12', 'fc.weight', 'head/kernel'),
        ('st-adapter-tiny-12',
         'transformer.resblocks.0.adapter_pre_mlp.conv.weight',
         'blocks.0/pre_mlp/conv/kernel'),
        ('fsar-1shot', 'head.context2.layers.0.0.fn.to_q.weight',
         'temporal/layers.0/to_q/kernel'),
    ],
)  # fmt: skip
def test_a_checkpoint_that_lacks_a_leaf_is_refused(name, lost, leaf, tmp_path):
  tensors = state(name)
  if name == 'coop-tiny-end':
    tensors['text_prompt_learner.token_prefix'] = np.zeros(3)
  path = tmp_path / 'checkpoint.npz'
  np.savez(path, **tensors)
  trained_weights.convert(files.read_tensors(path))
  del tensors[lost]
  np.savez(path, **tensors)
  with pytest.raises(UserError, match=f"not in the file.*'method/{leaf}'"):
    trained_weights.convert(files.read_tensors(path))


def test_st_adapter_may_be_in_the_last_blocks_alone():
  tensors = {
      n: x for n, x in state('st-adapter-tiny-12').items()
      if 'resblocks.0' not in n
  }
  found = trained_weights.readers()['st_adapter'].from_original(tensors)
  assert len(found.flat) == len(tensors)
  name = next(n for n in tensors if n.endswith('conv.weight'))
  with pytest.raises(UserError, match=f'{name}.* becomes nothing'):
    trained_weights.readers()['st_adapter'].from_original(
        tensors | {name: np.ones(4, np.float32)}
    )


@pytest.mark.parametrize('name', CASES)
def test_as_the_weights_of_a_method(name, tmp_path):
  method, _ = CASES[name]
  path = tmp_path / 'checkpoint.npz'
  np.savez(path, **state(name))
  source = trained_weights.convert(files.read_tensors(path))
  prefix = '' if source.part == 'several' else 'method/'
  like = {prefix + p: x for p, x in source.flat.items()}
  tree = unflatten_dict({p: np.zeros_like(x) for p, x in like.items()}, sep='/')
  found = trained_weights.load_trained(str(path), method, tree, ())
  assert_same(flatten_dict(found, sep='/'), like)
  with pytest.raises(UserError, match='no reader for other checkpoints'):
    trained_weights.load_trained(str(path), 'zero_shot', tree, ())
  np.savez(path, **state(name), other=np.ones(1, np.float32))
  with pytest.raises(UserError, match=r'method\.weights=.*npz: no rule .*r'):
    trained_weights.load_trained(str(path), method, tree, ())


@pytest.mark.parametrize(
    ('name', 'trained'),
    [
        ('aim-tiny-k400', r'method/.*|clip/visual/ln_post/.*'),
        ('ivlp-tiny-n2d3', r'method/.*'),
        ('vifi-tiny-both', r'clip/visual/.*'),
        ('vifi-tiny-both', r'clip/text/.*'),
        ('vifi-tiny-both', r'clip/.*'),
    ],
)
def test_a_run_that_trained_a_part_goes_there_and_back(name, trained, tmp_path):
  method, _ = CASES[name]
  whole = trained_weights.readers()[method].from_original({
      n.removeprefix('module.'): x for n, x in state(name).items()
  }).flat
  flat = {p: x for p, x in whole.items() if re.fullmatch(trained, p)}
  run, back = tmp_path / 'run.safetensors', tmp_path / 'back.safetensors'
  save_file(flat, run, {'kind': 'trained', 'method': method})
  convert.convert_file(run, back, 'torch-names')
  like = unflatten_dict({p: np.zeros_like(x) for p, x in flat.items()}, sep='/')
  for path in (run, back):
    found = trained_weights.load_trained(str(path), method, like)
    assert_same(flatten_dict(found, sep='/'), flat)


def test_weights_of_another_trunk_and_run_folders_are_refused(tmp_path):
  path = str(tmp_path / 'a.safetensors')
  tree = {'method': {'context': np.ones(3, np.float32)}}
  save_file(
      {'method/context': tree['method']['context']}, path,
      {'format': 'evclip-jax', 'kind': 'trained', 'weights.encoder': 'abc'},
  )
  for trunk in ('abc', None):
    found = trained_weights.load_trained(path, 'ev_clip', tree, trunk=trunk)
    np.testing.assert_equal(found, tree)
  with pytest.raises(UserError, match='another video trunk .*encoder.name'):
    trained_weights.load_trained(path, 'ev_clip', tree, trunk='abd')
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(UserError, match='run folder.*evclip_jax.export'):
    trained_weights.load_trained(str(tmp_path), 'ev_clip', tree)


def test_a_clip_is_merged_into_ez_clip_only(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, **state('coop-tiny-end'))
  source = trained_weights.convert(files.read_tensors(path))
  with pytest.raises(UserError, match='--clip is for EZ-CLIP'):
    trained_weights.readers()['coop'].to_checkpoint(source.flat, {}, {})
