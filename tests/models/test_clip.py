"""CLIP's towers: shapes, dtypes, numbers of weights, rematerialisation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip
from tests.models import small

BOTH = pytest.mark.parametrize('wanted', [small.VIT, small.RESNET])
# Numbers of weights in the specification, without batch norms' statistics.
PUBLISHED = {
    'ViT-B/32': 151_277_313,
    'ViT-B/16': 149_620_737,
    'ViT-L/14': 427_616_513,
    'RN50': 102_007_137,
    'RN101': 119_688_033,
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_models_have_the_right_number_of_weights(name):
  leaves = flatten_dict(Clip(sizes.TABLE[name]).shapes(), sep='/')
  count = sum(
      math.prod(leaf.shape)
      for path, leaf in leaves.items()
      if not path.endswith(('/mean', '/var'))
  )
  assert count == PUBLISHED[name]


def test_images_are_the_readout_of_the_class_token():
  clip, params = small.model()
  images = small.images(3)
  tokens = jax.jit(clip.tokens)(params, images)
  assert (tokens.shape, tokens.dtype) == ((3, 5, 128), jnp.float32)
  found = small.encode_images(clip, params, images)
  assert (found.shape, found.dtype) == ((3, 16), jnp.float32)
  np.testing.assert_allclose(
      clip.readout(params, tokens[:, 0]), found, atol=1e-5
  )
  assert clip.logit_scale(params) == pytest.approx(100)
  # The norm, then the projection of any token, by hand.
  x, visual = np.asarray(tokens[1, 4], np.float64), params['visual']
  x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
  x = x * visual['ln_post']['scale'] + visual['ln_post']['bias']
  np.testing.assert_allclose(
      clip.readout(params, tokens)[1, 4], x @ visual['proj'], atol=1e-5
  )


def test_tokens_go_through_hooks_and_need_a_transformer():
  clip, params = small.model()
  hooks = Hooks(around_mlp=lambda layer, y: y * (layer == 0))

  @jax.jit
  def both(params, images):
    return [clip.tokens(params, images, which) for which in (hooks, None)]

  changed, plain = both(params, small.images(1))
  assert np.abs(changed - plain).max() > 1e-3
  clip, params = small.model(small.RESNET)
  with pytest.raises(UserError, match='clip.name to a ViT'):
    clip.tokens(params, small.images(1, small.RESNET))


@pytest.mark.parametrize(
    ('wanted', 'tower'),
    [(small.VIT, 'images'), (small.VIT, 'text'), (small.RESNET, 'images')],
)
def test_bfloat16_is_close_and_returns_float32(wanted, tower):
  clip, params = small.model(wanted)
  inputs = getattr(small, 'tokens' if tower == 'text' else 'images')(3, wanted)
  encode = small.encode_text if tower == 'text' else small.encode_images
  full = encode(clip, params, inputs)
  rough = encode(Clip(wanted, jnp.bfloat16), params, inputs)
  assert rough.dtype == full.dtype == jnp.float32
  assert full.shape == (3, 16)
  assert not np.array_equal(rough, full)
  deviation = np.linalg.norm(rough - full) / np.linalg.norm(full)
  assert deviation < 0.03


@BOTH
def test_remat_changes_no_gradient(wanted):
  images = small.images(2, wanted)
  clip, params = small.model(wanted)
  # For a ResNet, gradients of images alone compile faster.
  wrt = (0, 1) if wanted == small.VIT else (1,)

  @jax.jit
  def gradients(images, params):
    return [
        jax.grad(lambda *x, c=c: (c.images(*x) ** 2).sum(), wrt)(
            params, images
        )
        for c in (clip, Clip(wanted, remat=True))
    ]

  plain, again = map(jax.tree.leaves, gradients(images, params))
  for a, b in zip(plain, again, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(a).max() + 1e-7)


def test_remat_of_whole_blocks_keeps_less():
  def kept(remat):
    clip, params = small.model(remat=remat)
    backward = jax.eval_shape(
        lambda x: jax.vjp(lambda x: clip.images(params, x), x)[1],
        small.images(8),
    )
    return sum(x.size for x in jax.tree.leaves(backward))

  assert kept(True) < kept(False)


def test_texts_have_any_leading_axes_and_ids_behind_their_end():
  clip, params = small.model()
  tokens = small.tokens(4)
  whole = small.encode_text(clip, params, tokens)
  pairs = small.encode_text(clip, params, tokens.reshape(2, 2, -1))
  assert pairs.dtype == jnp.float32
  np.testing.assert_allclose(pairs, whole.reshape(2, 2, 16), atol=1e-5)
  one = small.encode_text(clip, params, tokens[3])
  np.testing.assert_allclose(one, whole[3], atol=1e-5)
  noisy = tokens.copy()
  for row in noisy:
    row[row.argmax() + 1 :] = 3
  np.testing.assert_allclose(
      small.encode_text(clip, params, noisy), whole, atol=1e-5
  )
  longest = tokens.argmax(-1).max() + 1
  np.testing.assert_allclose(
      small.encode_text(clip, params, tokens[:, :longest]), whole, atol=1e-5
  )


def test_wrong_inputs_are_refused():
  clip, params = small.model()
  with pytest.raises(ValueError, match=r'wants \[n, 16, 16, 3\]'):
    clip.images(params, np.zeros((1, 24, 24, 3)))
  with pytest.raises(ValueError, match='up to 8 ids'):
    clip.text(params, np.zeros((1, 9), np.int32))


def test_init_trains_from_a_sensible_start():
  clip = Clip(small.VIT)
  params = jax.jit(clip.init)(jax.random.key(0))
  assert jax.tree.map(lambda x: x.shape, params) == jax.tree.map(
      lambda x: x.shape, clip.shapes()
  )
  assert clip.logit_scale(params) == pytest.approx(1 / 0.07)
  out = small.encode_images(clip, params, small.images())
  assert np.isfinite(out).all() and np.abs(out).max() < 10
