"""Batch norms in training: fixture A5 of EV-CLIP's specification, groups."""

import jax
import numpy as np
import pytest

from evclip_jax.methods.batch_moments import BatchMoments, running
from evclip_jax.models.clip import sizes
from tests import spec_numbers
from tests.models.test_clip_numbers import TEXT, image_tower

# Rounding is amplified where a channel's variance comes of a few values.
AMPLIFIED = 1e-4


@pytest.fixture(scope='module')
def tower():
  wanted = sizes.resnet(
      16, (2, 1, 1, 1), embed_dim=24, image_resolution=64, **TEXT
  )
  x = spec_numbers.tensor((2, 3, 64, 64), 780, 1.7).transpose(0, 2, 3, 1)
  return *image_tower(wanted), x


def encode(clip, groups):
  @jax.jit
  def run(params, *passes):
    seen, outs = [], []
    for x in passes:
      seen.append(BatchMoments(groups))
      outs.append(clip.images(params, x, seen[-1].hooks))
    return outs, running(params['visual'], seen)

  return run


def test_one_pass_is_the_originals(tower):
  clip, params, x = tower
  (out,), after = encode(clip, 1)(params, x)
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


def test_groups_know_nothing_of_each_other(tower):
  clip, params, x = tower
  # Bright pictures: statistics of all together would be others.
  other = np.random.default_rng(0).normal(2, 2, x.shape).astype(np.float32)
  (out,), after = encode(clip, 2)(params, np.concatenate([x, other]))
  afters = []
  for i, group in enumerate((x, other)):
    (alone,), one = encode(clip, 1)(params, group)
    np.testing.assert_allclose(
        out[2 * i : 2 * i + 2], alone, rtol=1e-3, atol=AMPLIFIED
    )
    afters.append(one)
  path = 'clip/visual/layer1.1/bn2/mean'
  np.testing.assert_allclose(
      after[path], (afters[0][path] + afters[1][path]) / 2, atol=AMPLIFIED
  )


def test_two_passes_update_twice(tower):
  clip, params, x = tower
  _, once = encode(clip, 1)(params, x)
  _, twice = encode(clip, 1)(params, x, x)
  path = 'clip/visual/bn1/mean'
  before = params['visual']['bn1']['mean']
  # The same statistics again: what is left shrinks by the same factor.
  new = (once[path] - 0.9 * before) / 0.1
  np.testing.assert_allclose(
      twice[path], 0.81 * before + 0.19 * new, rtol=1e-5, atol=1e-6
  )
