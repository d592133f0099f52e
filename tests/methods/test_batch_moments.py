"""Batch norms in training: fixture A5 of EV-CLIP's specification, groups."""

import functools

import jax
import numpy as np
import pytest

from evclip_jax.methods.batch_moments import BatchMoments, running
from tests.models.test_clip_numbers import a5

# Rounding is amplified where a channel's variance comes of a few values.
AMPLIFIED = 1e-4


@pytest.fixture(scope='module')
def tower():
  return a5()


@pytest.fixture(scope='module')
def encode(tower):
  """(pictures of each pass, groups) -> embeddings, running statistics."""
  clip, params, _ = tower

  @functools.partial(jax.jit, static_argnums=1)
  def run(passes, groups=1):
    seen, outs = [], []
    for x in passes:
      seen.append(BatchMoments(groups))
      outs.append(clip.images(params, x, seen[-1].hooks))
    return outs, running(params['visual'], seen)

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
  # Bright pictures: statistics of all together would be others.
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
  # The same statistics again: what is left shrinks by the same factor.
  new = (once[path] - 0.9 * before) / 0.1
  np.testing.assert_allclose(
      twice[path], 0.81 * before + 0.19 * new, rtol=1e-5, atol=1e-6
  )
