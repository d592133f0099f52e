"""Files of every kind are recognised and converted to their branch."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.methods import trained_weights
from evclip_jax.weights import files, networks, scenic_names
from evclip_jax.weights.networks import LABELS, identify
from tests.models import small
from tests.weights import states
from tests.weights.trees import assert_same

_CLIP = {'visual.conv1.weight': np.zeros((8, 3, 4, 4))}
_TEXT = {'token_embedding.weight': np.zeros((9, 8))}
_HF = {'text_model.embeddings.token_embedding.weight': np.zeros((9, 8))}
_TRUNK = {'patch_embed.proj.weight': np.zeros((4, 3, 2, 4, 4))}


@pytest.mark.parametrize(
    ('tensors', 'kind'),
    [
        (_CLIP | _TEXT | {'input_resolution': 224}, 'openai-clip'),
        (_CLIP | _TEXT, 'openai-clip'),
        (_CLIP | _TEXT | {'attn_mask': np.zeros((7, 7))}, 'open-clip'),
        (_CLIP | {'text.token_embedding.weight': np.zeros(3)}, 'open-clip'),
        (_HF, 'huggingface-clip'),
        ({'params/visual/conv1/kernel': np.zeros(3)}, 'scenic-clip'),
        (_TRUNK, 'omnivore'),
        ({'trunk.' + n: t for n, t in _TRUNK.items()}, 'omnivore'),
    ],
)
def test_kinds(tensors, kind):
  assert identify(tensors) == kind
  assert kind in LABELS


@pytest.mark.parametrize(
    'tensors',
    [
        {'layer1.0.conv1.weight': np.zeros((2, 3))},
        # A Swin for images: 2-D patches.
        {'patch_embed.proj.weight': np.zeros((4, 3, 4, 4))},
    ],
)
def test_unknown_tensors_are_shown(tensors):
  name = next(iter(tensors))
  with pytest.raises(WeightsError, match=name.replace('.', r'\.')):
    identify(tensors)


@pytest.mark.parametrize(
    ('name', 'model'),
    [
        ('logit_bias', 'SigLIP'),
        ('vision_model.head.probe', 'SigLIP'),
        ('text_model.head.weight', 'SigLIP'),
        ('visual.blocks.0.attn.q_bias', 'EVA-CLIP'),
        ('visual.rope.freqs_cos', 'EVA-CLIP'),
        ('visual.trunk.blocks.3.attn.q_proj.weight', 'EVA-CLIP'),
        ('visual.trunk.blocks.3.attn.qkv.weight', 'tower of timm'),
        ('text_decoder.resblocks.0.ln_1.weight', 'CoCa'),
        ('visual.attn_pool.query', 'CoCa'),
        ('text.transformer.encoder.layer.0.x', 'text tower of Hugging Face'),
    ],
)
def test_relatives_of_clip_are_named(name, model):
  with pytest.raises(WeightsError, match=f'it is .*{model}'):
    identify(_CLIP | _TEXT | _HF | {name: np.zeros(2)})


CLIPS = [kind for kind, (_, part) in states.STATES.items() if part == 'clip']


def read(tmp_path, tensors):
  path = tmp_path / 'source.npz'
  np.savez(path, **tensors)
  return files.read_tensors(path)


def test_torchscript_files_of_openai_alone_need_no_activation(tmp_path):
  file = read(tmp_path, states.openai_state())
  file = dataclasses.replace(file, kind='torchscript')
  assert not networks.convert_part(file, 'clip').assumed
  del file.tensors['input_resolution']
  assert 'activation' in networks.convert_part(file, 'clip').assumed


@pytest.mark.parametrize('kind', CLIPS)
def test_clip_is_the_same_in_every_naming(kind, tmp_path):
  make, part = states.STATES[kind]
  converted = networks.convert_part(read(tmp_path, make()), part)
  assert converted.sizes == small.VIT
  assert len(converted.ignored) == {
      'openai-clip': 1, 'huggingface-clip': 2
  }.get(kind, 0)
  wanted = small.flat()
  assert converted.flat.keys() == wanted.keys()
  for path, value in wanted.items():
    # OpenAI's file is in half precision.
    tolerance = 2e-3 if kind == 'openai-clip' else 0
    np.testing.assert_allclose(
        converted.flat[path], value, rtol=tolerance, atol=1e-6, err_msg=path
    )
    assert converted.flat[path].shape == value.shape


@pytest.mark.parametrize('kind', states.STATES)
def test_another_branch_is_refused(kind, tmp_path):
  # tests/test_convert.py has the right branches.
  make, part = states.STATES[kind]
  wanted = 'encoder' if part == 'clip' else 'clip'
  # This module does not know the checkpoints of methods.
  message = r'it is .*, not a (CLIP|video)|of no model|no rule for the tensor'
  with pytest.raises(WeightsError, match=message):
    networks.convert_part(read(tmp_path, make()), wanted)


@pytest.mark.parametrize(
    'note',
    ['{', '3', '{"a": 3}', '{"vision_heads": 0}', '{"activation": "relu"}'],
)
def test_a_broken_note_on_heads_and_activation_is_refused(note, tmp_path):
  file = read(tmp_path, states.openai_state())
  file = dataclasses.replace(file, metadata={networks.NOTE: note})
  with pytest.raises(WeightsError, match=r'evclip_jax\.clip.* is broken'):
    networks.convert_part(file, 'clip')


def test_heads_of_a_scenic_tree_are_kept(tmp_path):
  sizes = dataclasses.replace(small.VIT, vision_heads=4, text_heads=2)
  tree = scenic_names.to_scenic(small.flat(), sizes)
  name = 'params/visual/transformer/resblocks.0/attn/query/bias'
  assert tree[name].shape == (4, 32)
  found = trained_weights.convert(read(tmp_path, tree))
  assert (found.sizes, found.assumed) == (sizes, ())
  assert_same(found.flat, small.flat())
  gelu = dataclasses.replace(sizes, activation='gelu')
  with pytest.raises(UserError, match='computes quick_gelu'):
    scenic_names.to_scenic(small.flat(), gelu)


def test_half_a_scenic_tree_is_refused(tmp_path):
  tree = scenic_names.to_scenic(small.flat())
  tree['params/visual/extra'] = np.zeros(2, np.float32)
  with pytest.raises(WeightsError, match='not a whole Scenic CLIP.*visual/ex'):
    trained_weights.convert(read(tmp_path, tree))
