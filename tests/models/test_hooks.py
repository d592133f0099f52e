"""Hooks: what methods can do inside CLIP's blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.models.clip.hooks import PLAIN, Hooks
from tests.models import small

# Two compiled programs are equal up to the rounding of float32.
CLOSE = {'rtol': 1e-5, 'atol': 1e-5}
LAYERS = range(2)


def encode(clip, params, tower, hooks):
  """Encodes fixed inputs by one of the towers."""
  if tower == 'images':
    return small.encode_images(clip, params, small.images(), hooks)
  return small.encode_text(clip, params, small.tokens(), hooks)


TOWERS = pytest.mark.parametrize('tower', ['images', 'text'])


@TOWERS
def test_hooks_that_do_nothing_change_nothing(tower):
  clip, params = small.model()
  seen = []
  hooks = Hooks(
      embed=lambda x: x,
      before_attn=lambda layer, x, attend: x,
      reweigh=lambda layer, weights: weights,
      around_attn=lambda layer, y: y,
      after_attn=lambda layer, x: x,
      beside_mlp=lambda layer, y: jnp.zeros_like(y),
      around_mlp=lambda layer, y: y,
      attention_map=lambda layer, weights: seen.append((layer, weights.shape)),
  )
  plain = encode(clip, params, tower, None)
  np.testing.assert_array_equal(encode(clip, params, tower, PLAIN), plain)
  hooked = encode(clip, params, tower, hooks)
  np.testing.assert_allclose(hooked, plain, **CLOSE)
  n, heads, tokens = (3, 2, 5) if tower == 'images' else (4, 1, 8)
  assert seen == [(i, (n, heads, tokens, tokens)) for i in LAYERS]


@TOWERS
def test_each_hook_acts_in_every_layer(tower):
  clip, params = small.model()
  inputs = small.images() if tower == 'images' else small.tokens()
  names = 'around_attn', 'after_attn', 'beside_mlp', 'around_mlp', 'reweigh'

  @jax.jit
  def run(params, gains):
    def act(number, layer, y):
      return y * (gains[number, layer] - (names[number] == 'beside_mlp'))

    hooks = {n: functools.partial(act, i) for i, n in enumerate(names)}
    return getattr(clip, tower)(params, inputs, Hooks(**hooks))

  plain = run(params, jnp.ones((5, 2)))
  for hook in np.ndindex(5, 2):
    hooked = run(params, jnp.ones((5, 2)).at[hook].set(1.5))
    assert np.abs(hooked - plain).max() > 1e-3, hook


def test_hooks_see_what_the_formula_says():
  clip, params = small.model()
  block = params['visual']['transformer']['resblocks.0']
  images, seen = small.images(), {}
  hooks = Hooks(
      embed=lambda x: seen.setdefault('embed', x),
      before_attn=lambda layer, x, attend: seen.setdefault(
          f'in {layer}', (x, attend(x))
      )[0],
      around_attn=lambda layer, y: seen.setdefault(f'attn {layer}', y),
      after_attn=lambda layer, x: seen.setdefault(f'mid {layer}', x),
      beside_mlp=lambda layer, y: 0 * seen.setdefault(f'normed {layer}', y),
      around_mlp=lambda layer, y: seen.setdefault(f'mlp {layer}', y),
  )

  @jax.jit
  def look(params, images):
    clip.images(params, images, hooks)
    return dict(seen)

  seen = look(params, images)
  # Before the first norm.
  patch = images[0, :8, 8:].reshape(-1) @ (
      params['visual']['conv1']['kernel'].reshape(-1, 128)
  )
  embedded = patch + params['visual']['positional_embedding'][2]
  np.testing.assert_allclose(seen['embed'][0, 2], embedded, atol=1e-5)
  x, attended = seen['in 0']
  np.testing.assert_allclose(attended, seen['attn 0'], **CLOSE)
  np.testing.assert_allclose(x + attended, seen['mid 0'], **CLOSE)
  mid, ln = np.asarray(seen['mid 0']), block['ln_2']
  normed = (mid - mid.mean(-1, keepdims=True)) / np.sqrt(
      mid.var(-1, keepdims=True) + 1e-5
  ) * ln['scale'] + ln['bias']
  np.testing.assert_allclose(normed, seen['normed 0'], atol=1e-5)
  np.testing.assert_allclose(mid + seen['mlp 0'], seen['in 1'][0], **CLOSE)


@TOWERS
@pytest.mark.parametrize('remat', [None, False, True])
def test_gradients_reach_what_a_hook_closes_over(tower, remat):
  clip, params = small.model(remat=remat)
  width = 128 if tower == 'images' else 32
  inputs = small.images() if tower == 'images' else small.tokens()
  own = {'down': jnp.full((2, width, 4), 0.02), 'up': jnp.ones((2, 4, width))}

  def objective(own):
    def adapter(layer, x, attend=None):
      return x + jax.nn.gelu(x @ own['down'][layer]) @ own['up'][layer]

    hooks = Hooks(before_attn=adapter, after_attn=adapter)
    return (getattr(clip, tower)(params, inputs, hooks) ** 2).sum()

  value_and_grad = jax.jit(jax.value_and_grad(objective))
  _, grads = value_and_grad(own)
  for grad in jax.tree.leaves(grads):
    assert np.isfinite(grad).all()
    assert (np.abs(grad).max(axis=(1, 2)) > 0).all()
  # Against a difference quotient along a random direction.
  direction = jax.tree.map(
      lambda x: np.random.default_rng(2).standard_normal(x.shape, 'f'), own
  )
  step = 1e-3

  def along(length):
    there = jax.tree.map(lambda x, d: x + length * d, own, direction)
    return float(value_and_grad(there)[0])

  slope = sum(
      float((g * d).sum())
      for g, d in zip(
          jax.tree.leaves(grads), jax.tree.leaves(direction), strict=True
      )
  )
  quotient = (along(step) - along(-step)) / (2 * step)
  assert quotient == pytest.approx(slope, rel=0.02)


def test_attention_maps_can_be_kept_under_jit_and_remat():
  clip, params = small.model(remat=True)

  @jax.jit
  def look(params, images):
    maps = {}
    out = clip.images(params, images, Hooks(attention_map=maps.__setitem__))
    return out, maps

  out, maps = look(params, small.images())
  np.testing.assert_allclose(
      out, encode(clip, params, 'images', None), atol=1e-5
  )
  assert sorted(maps) == [0, 1]
  np.testing.assert_allclose(maps[1].sum(-1), 1, atol=1e-5)


def test_text_attention_is_causal_and_attend_too():
  clip, params = small.model()

  @jax.jit
  def look(params, tokens):
    maps = []

    def keep(weights):
      maps.append(weights)
      return weights

    def before_attn(layer, x, attend):
      attend(x, keep)
      return x

    hooks = Hooks(
        before_attn=before_attn, attention_map=lambda layer, w: maps.append(w)
    )
    clip.text(params, tokens, hooks)
    return maps

  maps = look(params, small.tokens())
  assert len(maps) == 4
  for weights in maps:
    assert np.triu(np.asarray(weights), 1).max() == 0


def test_reweigh_is_attention_dropout():
  clip, params = small.model()

  @jax.jit
  def look(params, images):
    seen = []
    hooks = Hooks(
        reweigh=lambda layer, weights: 0 * weights,
        around_attn=lambda layer, y: seen.append(y) or y,
    )
    clip.images(params, images, hooks)
    return seen

  # Without attention, only the bias of the output projection is left.
  seen = look(params, small.images())
  bias = params['visual']['transformer']['resblocks.0']['attn']['out_proj']
  np.testing.assert_allclose(
      seen[0], np.broadcast_to(bias['bias'], seen[0].shape), atol=1e-6
  )


def test_a_resnet_refuses_hooks_for_blocks_it_does_not_have():
  clip, params = small.model(small.RESNET)
  images = small.images(1, small.RESNET)
  with pytest.raises(UserError, match='clip.name to a ViT'):
    clip.images(params, images, Hooks(after_attn=lambda layer, x: x))
