"""OpenAI's naming to ours and back; sizes from shapes."""

import numpy as np
import pytest

from data_pipelines.errors import WeightsError
from evclip_jax.models.clip import sizes
from evclip_jax.weights import clip_names
from tests.models import small

BOTH = pytest.mark.parametrize('wanted', [small.VIT, small.RESNET])


@pytest.fixture(scope='module')
def state():
  return clip_names.to_original(small.flat())


@BOTH
def test_there_and_back_is_lossless(wanted):
  flat = small.flat(wanted)
  state = clip_names.to_original(flat)
  converted = clip_names.from_original(state)
  assert converted.sizes == wanted
  assert converted.flat.keys() == flat.keys()
  for path, leaf in flat.items():
    np.testing.assert_array_equal(converted.flat[path], leaf)
  assert converted.mapped.keys() == state.keys()
  assert clip_names.sizes_of(flat) == wanted


def test_layouts(state):
  flat = clip_names.from_original(state).flat
  patches = state['visual.conv1.weight']
  assert patches.shape == (128, 3, 8, 8)
  np.testing.assert_array_equal(
      flat['visual/conv1/kernel'][2, 5, 1], patches[:, 1, 2, 5]
  )
  name = 'transformer.resblocks.1.attn.in_proj_weight'
  assert state[name].shape == (96, 32)
  np.testing.assert_array_equal(
      flat['text/transformer/resblocks.1/attn/in_proj/kernel'], state[name].T
  )
  # What is multiplied from the left already is [in, out].
  np.testing.assert_array_equal(flat['visual/proj'], state['visual.proj'])


def test_a_part_of_a_tree_goes_back_alone():
  grads = {'visual/layer1.0/downsample.1/mean': np.ones(4)}
  assert list(clip_names.to_original(grads)) == [
      'visual.layer1.0.downsample.1.running_mean'
  ]


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


def test_float16_becomes_float32_with_the_same_values(state):
  half = {n: x.astype(np.float16) for n, x in state.items()}
  flat = clip_names.from_original(half).flat
  assert all(x.dtype == np.float32 for x in flat.values())
  np.testing.assert_array_equal(flat['visual/proj'], half['visual.proj'])


def test_text_tower_behind_open_clips_prefix(state):
  theirs = {
      n if n.startswith('visual.') or n == 'logit_scale' else f'text.{n}': x
      for n, x in state.items()
  }
  assert clip_names.from_original(theirs).sizes == small.VIT
  with pytest.raises(WeightsError, match="'ln_final.bias' is there twice"):
    clip_names.from_original(state | theirs)


def changed(state, **changes):
  """The state dict with some tensors replaced, or removed if None."""
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
        (
            {'visual__transformer__resblocks__5__ln_1__bias': np.ones(128)},
            r'\[0, 1, 5\]',
        ),
        (
            {'visual__layer1__0__conv1__weight': np.ones((4, 4, 1, 1))},
            'which this architecture does not have',
        ),
    ],
)
def test_refusals(state, changes, message):
  with pytest.raises(WeightsError, match=message):
    clip_names.from_original(changed(state, **changes))


@pytest.mark.parametrize('name', ['ViT-L/14@336px', 'RN50x16'])
def test_published_sizes_are_found_in_shapes(name):
  shapes = clip_names.shapes(sizes.TABLE[name])
  # No memory is touched.
  flat = {p: np.broadcast_to(np.float32(0), s) for p, s in shapes.items()}
  assert clip_names.sizes_of(flat) == sizes.TABLE[name]
