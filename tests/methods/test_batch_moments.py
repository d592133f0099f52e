"""Batch norms in training. Numbers: fixture A5 of EV-CLIP's spec."""

import functools
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import batch_moments
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names
from tests import spec_numbers

# Rounding is amplified if a channel's variance is that of a few values.
AMPLIFIED = 1e-4
_BATCH_NORM = re.compile(r'(.*\.)?(bn\d|downsample\.1)\.weight')
TEXT = {
    'text_width': 64, 'text_layers': 1, 'context_length': 4, 'vocab_size': 8
}


def image_tower(wanted):
  """Returns a model whose image tower is filled by the fixtures' rule."""
  shapes = clip_names.shapes(wanted)
  state = clip_names.to_original({p: np.zeros(s) for p, s in shapes.items()})
  visual = {
      name.removeprefix('visual.'): x.shape
      for name, x in state.items()
      if name.startswith('visual.')
  }
  # Statistics are buffers, which the rule does not count.
  filled = spec_numbers.fill(
      {n: shape for n, shape in visual.items() if 'running' not in n}
  )
  for name, shape in visual.items():
    if name.endswith('running_mean'):
      filled[name] = 0.1 * spec_numbers.series(shape[0], 900)
    elif name.endswith('running_var'):
      filled[name] = 1 + 0.5 * spec_numbers.series(shape[0], 901)
    elif _BATCH_NORM.fullmatch(name):
      # It was drawn around 0, like any vector.
      filled[name] = 1 + filled[name]
  state |= {f'visual.{name}': x for name, x in filled.items()}
  flat = clip_names.from_original(state).flat
  return Clip(wanted), unflatten_dict(flat, sep='/')


@pytest.fixture(scope='module')
def tower():
  wanted = sizes.resnet(
      16, (2, 1, 1, 1), embed_dim=24, image_resolution=64, **TEXT
  )
  x = spec_numbers.tensor((2, 3, 64, 64), 780, 1.7).transpose(0, 2, 3, 1)
  return *image_tower(wanted), x


@pytest.fixture(scope='module')
def encode(tower):
  """Maps (pictures of each pass, groups) to embeddings and statistics."""
  clip, params, _ = tower

  @functools.partial(jax.jit, static_argnums=1)
  def run(passes, groups=1):
    return batch_moments.encode(clip, {'clip': params}, passes, groups)

  return run


def test_one_pass_is_the_originals(tower, encode):
  (out,), after = encode((tower[2],))
  assert np.linalg.norm(out) == pytest.approx(4.681996441, rel=1e-4)
  np.testing.assert_allclose(
      out[0, :4],
      [-0.037804779, 1.262055519, -0.943203846, -0.309763306],
      atol=AMPLIFIED,
  )
  np.testing.assert_allclose(
      after['clip/visual/bn1/mean'][:2], [-0.025555883, -0.030192958], atol=2e-5
  )
  np.testing.assert_allclose(
      after['clip/visual/bn1/var'][:2], [1.002712264, 0.855052950], atol=2e-5
  )
  assert 'clip/visual/layer2.0/downsample.1/var' in after
  norms = [p for p in after if p.endswith('/mean')]
  assert len(after) == 2 * len(norms)


def test_groups_know_nothing_of_each_other(tower, encode):
  x = tower[2]
  # Bright pictures, so that common statistics would differ.
  other = np.random.default_rng(0).normal(2, 2, x.shape).astype(np.float32)
  (out,), after = encode((np.concatenate([x, other]),), 2)
  afters = []
  for i, group in enumerate((x, other)):
    (alone,), one = encode((group,))
    np.testing.assert_allclose(
        out[2 * i : 2 * i + 2], alone, rtol=1e-3, atol=AMPLIFIED
    )
    afters.append(one)
  path = 'clip/visual/layer1.1/bn2/mean'
  np.testing.assert_allclose(
      after[path], (afters[0][path] + afters[1][path]) / 2, atol=AMPLIFIED
  )


def test_two_passes_update_twice(tower, encode):
  _, params, x = tower
  _, once = encode((x,))
  _, twice = encode((x, x))
  path = 'clip/visual/bn1/mean'
  before = params['visual']['bn1']['mean']
  # With the same statistics, the old value shrinks by 0.9 twice.
  new = (once[path] - 0.9 * before) / 0.1
  np.testing.assert_allclose(
      twice[path], 0.81 * before + 0.19 * new, rtol=1e-5, atol=1e-6
  )
