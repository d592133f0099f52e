"""Kinds of weights by their names."""

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.weights.networks import LABELS, identify

CLIP = {'visual.conv1.weight': np.zeros((8, 3, 4, 4))}
TEXT = {'token_embedding.weight': np.zeros((9, 8))}
HF = {'text_model.embeddings.token_embedding.weight': np.zeros((9, 8))}
TRUNK = {'patch_embed.proj.weight': np.zeros((4, 3, 2, 4, 4))}


@pytest.mark.parametrize(
    ('tensors', 'kind'),
    [
        (CLIP | TEXT | {'input_resolution': 224}, 'openai-clip'),
        (CLIP | TEXT, 'openai-clip'),
        (CLIP | TEXT | {'attn_mask': np.zeros((7, 7))}, 'open-clip'),
        (CLIP | {'text.token_embedding.weight': np.zeros(3)}, 'open-clip'),
        (HF, 'huggingface-clip'),
        ({'params/visual/conv1/kernel': np.zeros(3)}, 'scenic-clip'),
        (TRUNK, 'omnivore'),
        ({'trunk.' + n: t for n, t in TRUNK.items()}, 'omnivore'),
    ],
)
def test_kinds(tensors, kind):
  assert identify(tensors) == kind
  assert kind in LABELS


def test_own_files_say_so():
  assert identify({'x': 0}, {'format': 'evclip_jax'}) == 'evclip-jax'


@pytest.mark.parametrize(
    'tensors',
    [
        {'layer1.0.conv1.weight': np.zeros((2, 3))},
        # A Swin for pictures: 2-D patches.
        {'patch_embed.proj.weight': np.zeros((4, 3, 4, 4))},
    ],
)
def test_others_are_shown(tensors):
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
    identify(CLIP | TEXT | HF | {name: np.zeros(2)})
