"""EZ-CLIP's settings, and what training draws at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods import adapters, base, heads
from evclip_jax.methods.ez_clip import method as ez_clip
from evclip_jax.methods.ez_clip import towers
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.model import Clip
from tests.methods.ez_clip import ez_tiny

# From a generator that compiles fast.
KEYS = {
    'drop_path': jax.random.key(1, impl='unsafe_rbg'),
    'dropout': jax.random.key(2, impl='unsafe_rbg'),
}


@pytest.mark.parametrize('kind', ['deep', 'adapter'])
def test_a_clip_does_not_depend_on_its_neighbours(kind):
  both, _, _ = ez_tiny.outputs(kind)
  swapped, _, _ = ez_tiny.outputs(kind, change=lambda x: x[::-1])
  np.testing.assert_allclose(swapped[::-1], both, atol=1e-5)


@pytest.mark.parametrize(('kind', 'ordered'), [('deep', True), ('none', False)])
def test_only_prompts_see_the_order_of_frames(kind, ordered):
  still = {'temporal_embedding': jnp.zeros((1, 4, 128))}
  there, _, _ = ez_tiny.outputs(kind, own=still)
  back, _, _ = ez_tiny.outputs(kind, own=still, change=lambda x: x[:, ::-1])
  assert (np.abs((there - back).mean(1)).max() > 1e-3) == ordered


def test_initially_without_prompts_it_is_clip():
  method, params = ez_tiny.built('none')
  clip = Clip(ez_tiny.SIZES)
  params = params | {'method': method.init(jax.random.key(0))}

  @jax.jit
  def run(params, pixels, tokens):
    features = method.video(params, pixels, None, False)
    ours = features.frames[0], method.text(params, tokens)
    plain = params['clip']
    return ours, (clip.images(plain, pixels[0]), clip.text(plain, tokens))

  ours, plain = run(params, ez_tiny.pixels(), ez_tiny.tokens())
  for found, expected in zip(ours, plain, strict=True):
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('unit', adapters.DROP_UNITS)
def test_training_is_random_and_evaluation_is_not(unit):
  method, params = ez_tiny.built('deep', drop_path=0.5, drop_unit=unit)
  pixels = ez_tiny.pixels()
  run = jax.jit(method.video, static_argnums=3)
  plain = run(params, pixels, None, True).clip
  np.testing.assert_array_equal(run(params, pixels, KEYS, False).clip, plain)
  first = run(params, pixels, KEYS, True).clip
  np.testing.assert_array_equal(run(params, pixels, KEYS, True).clip, first)
  assert np.abs(first - plain).max() > 1e-3
  others = KEYS | {'drop_path': jax.random.key(3, impl='unsafe_rbg')}
  assert np.abs(run(params, pixels, others, True).clip - first).max() > 1e-3


@pytest.mark.slow
def test_recomputed_blocks_drop_the_same():
  settings = ez_clip.Settings(drop_path=0.5, temporal_embedding=True)
  _, params = ez_tiny.built('deep')

  def gradient(remat):
    clip = Clip(ez_tiny.SIZES, remat=remat)
    method = ez_clip.make(settings, base.Backbones(clip, None, 4), ())

    def total(own):
      params_now = params | {'method': own}
      features = method.video(params_now, ez_tiny.pixels(), KEYS, True)
      return (features.clip**2).sum()

    return jax.jit(jax.grad(total))(params['method'])['temporal_prompts']

  np.testing.assert_allclose(
      gradient(True), gradient(False), rtol=1e-4, atol=1e-6
  )


@pytest.mark.parametrize(('unit', 'shape'), [('token', 1), ('sample', 0)])
def test_drop_path_takes_whole_tokens_or_whole_clips(unit, shape):
  dropped = adapters.Drops(KEYS, 0, (0.5,), (0.0,), unit)
  out = dropped.path(0, 'mlp path', jnp.ones((12, 10, 3)), frames=2)
  assert set(np.unique(out)) == {0.0, 2.0}
  kept = np.asarray(out).reshape(6, 2, 10, 3)
  # Values differ only along the axis of what is dropped.
  for axis in {'token': (0, 1, 3), 'sample': (1, 2, 3)}[unit]:
    assert np.ptp(kept, axis=axis).max() == 0
  assert np.ptp(kept, axis=2 if unit == 'token' else 0).max() == 2


def contrastive(classes, labels, rngs=None, **settings):
  """Computes the method's loss for clips with random features."""
  method, params = ez_tiny.built('deep', **settings)
  batch = {'label': np.array(labels), 'mask': np.ones(len(labels), np.float32)}
  frames = jax.random.normal(jax.random.key(0), (len(labels), 4, 64))
  features = base.VideoFeatures(frames.mean(1), frames)
  total = jax.jit(lambda *args: method.loss(*args, batch, rngs)[0])
  return total(params, features, jnp.asarray(classes))


def test_texts_encoded_once_or_per_clip_are_the_same():
  tokens = ez_tiny.tokens()
  few = contrastive(tokens[None], [0, 2, 2, 1])  # three texts, four clips
  many = contrastive(tokens[[0, 2, 1, 0, 0, 0]][None], [0, 1, 1, 2])
  np.testing.assert_allclose(few, many, rtol=1e-5)


def test_a_template_is_drawn_for_each_clip():
  tokens = np.stack([ez_tiny.tokens(), ez_tiny.tokens()[::-1]])
  quiet = {'drop_path': 0.0, 'attention_dropout': 0.0}
  first = contrastive(tokens, [0, 0, 2], **quiet)
  seen = {
      float(contrastive(tokens, [0, 0, 2], KEYS | {'dropout': k}, **quiet))
      for k in jax.random.split(KEYS['dropout'], 4)
  }
  assert len(seen | {float(first)}) > 2


def test_probabilities_are_averaged_over_templates():
  method, params = ez_tiny.built('deep', score_scale=5.0)
  classes = jax.random.normal(jax.random.key(0), (3, 4, 64))
  clip = jax.random.normal(jax.random.key(1), (2, 64))
  features = base.VideoFeatures(clip, clip[:, None])
  unit = heads.normalise_rows
  each = jax.nn.softmax(5 * unit(clip) @ unit(classes).swapaxes(1, 2))
  found = jax.nn.softmax(method.score(params, features, classes, {}))
  np.testing.assert_allclose(found, each.mean(0), rtol=1e-5)


def test_prompts_for_other_numbers_of_frames():
  there = np.arange(8, dtype=np.float32)[None, :, None]
  # A line stays a line; its ends are repeated.
  np.testing.assert_allclose(
      towers.resize_prompts(there, 16)[0, :, 0],
      np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7),
  )
  np.testing.assert_array_equal(towers.resize_prompts(there, 8), there)
  clip = Clip(clip_sizes.TABLE['ViT-B/16'])

  def made(**settings):
    networks = base.Backbones(clip, None, 16)
    return ez_clip.make(ez_clip.Settings(**settings), networks, ())

  method = made()
  with pytest.raises(UserError, match='for 8 frames, .*\n.*resize_prompt'):
    method.fit({'temporal_prompts': there})
  method = made(resize_prompts=True)
  fitted = method.fit({'temporal_prompts': there})
  assert fitted['temporal_prompts'].shape == (1, 16, 1)
  with pytest.raises(UserError, match='settings.temporal_embedding=False'):
    method.fit({'temporal_embedding': there})
  both = made(resize_prompts=True, temporal_embedding=True)
  fitted = both.fit({'temporal_embedding': there})
  np.testing.assert_array_equal(
      fitted['temporal_embedding'], towers.resize_prompts(there, 16)
  )
  with pytest.raises(UserError, match=r'shape \(8,\); wanted three axes'):
    method.fit({'temporal_prompts': np.zeros(8)})
