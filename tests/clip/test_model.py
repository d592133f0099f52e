"""Both towers: shapes, types, sizes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.clip import sizes
from evclip_jax.clip.model import Clip
from evclip_jax.weights.tree import flatten
from tests.clip import small

BOTH = pytest.mark.parametrize('wanted', [small.VIT, small.RESNET])
# Weights a person trains or downloads, as the specification counts them.
PUBLISHED = {
    'ViT-B/32': 151_277_313,
    'ViT-B/16': 149_620_737,
    'ViT-L/14': 427_616_513,
    'RN50': 102_007_137,
    'RN101': 119_688_033,
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_models_have_the_right_number_of_weights(name):
  leaves = flatten(Clip(sizes.TABLE[name]).shapes())
  count = sum(
      math.prod(leaf.shape)
      for path, leaf in leaves.items()
      if not path.endswith(('/mean', '/var'))
  )
  assert count == PUBLISHED[name]


@BOTH
def test_shapes_and_types(wanted):
  clip, params = small.model(wanted)
  images = clip.images(params, small.images(3, wanted))
  assert (images.shape, images.dtype) == ((3, 16), jnp.float32)
  tokens = small.tokens(6, wanted).reshape(2, 3, -1)
  text = clip.text(params, tokens)
  assert (text.shape, text.dtype) == ((2, 3, 16), jnp.float32)
  one = clip.text(params, tokens[1, 2])
  np.testing.assert_allclose(one, text[1, 2], atol=1e-5)
  assert clip.logit_scale(params) == pytest.approx(100)


@BOTH
def test_a_picture_is_encoded_the_same_whoever_is_beside_it(wanted):
  clip, params = small.model(wanted)
  images = small.images(3, wanted)
  together = clip.images(params, images)
  alone = clip.images(params, images[1:2])
  np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


@BOTH
def test_bfloat16_is_close_and_returns_float32(wanted):
  clip, params = small.model(wanted)
  half = Clip(wanted, jnp.bfloat16)
  images, tokens = small.images(3, wanted), small.tokens(3, wanted)
  for full, rough in (
      (clip.images(params, images), half.images(params, images)),
      (clip.text(params, tokens), half.text(params, tokens)),
  ):
    assert rough.dtype == jnp.float32
    assert not np.array_equal(rough, full)
    deviation = np.linalg.norm(rough - full) / np.linalg.norm(full)
    assert deviation < 0.03


@BOTH
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_remat_changes_no_gradient(wanted, dtype):
  images = small.images(2, wanted)

  def gradient(remat):
    clip, params = small.model(wanted, dtype=dtype, remat=remat)

    def objective(images, params):
      return (clip.images(params, images) ** 2).sum()

    return jax.jit(jax.grad(objective, (0, 1)))(images, params)

  plain, again = jax.tree.leaves(gradient(False)), gradient(True)
  tolerance = 1e-5 if dtype == jnp.float32 else 0.05
  for a, b in zip(plain, jax.tree.leaves(again), strict=True):
    scale = np.abs(a).max() + 1e-6
    np.testing.assert_allclose(a / scale, b / scale, atol=tolerance)


def test_ids_behind_the_end_do_not_matter():
  clip, params = small.model()
  tokens = small.tokens(4)
  whole = clip.text(params, tokens)
  noisy = tokens.copy()
  for row in noisy:
    row[row.argmax() + 1 :] = 3
  np.testing.assert_allclose(clip.text(params, noisy), whole, atol=1e-5)
  longest = tokens.argmax(-1).max() + 1
  np.testing.assert_allclose(
      clip.text(params, tokens[:, :longest]), whole, atol=1e-5
  )


def test_wrong_inputs_are_refused():
  clip, params = small.model()
  with pytest.raises(ValueError, match=r'wants \[n, 16, 16, 3\]'):
    clip.images(params, np.zeros((1, 24, 24, 3)))
  with pytest.raises(ValueError, match='up to 8 ids'):
    clip.text(params, np.zeros((1, 9), np.int32))


def test_init_trains_from_a_sensible_start():
  clip = Clip(small.VIT)
  params = clip.init(jax.random.key(0))
  assert jax.tree.map(lambda x: x.shape, params) == jax.tree.map(
      lambda x: x.shape, clip.shapes()
  )
  assert clip.logit_scale(params) == pytest.approx(1 / 0.07)
  out = clip.images(params, small.images())
  assert np.isfinite(out).all() and np.abs(out).max() < 10
