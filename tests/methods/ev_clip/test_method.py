"""EV-CLIP: its prompts, dtypes, batch norms and other trunks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.methods import batch_moments, losses
from evclip_jax.methods.ev_clip import method as ev_clip
from evclip_jax.methods.ev_clip.generators import ContextGenerator, to_grid
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.pixels import fold_time
from evclip_jax.training.params import split
from evclip_jax.weights import trunks
from tests.methods import tiny
from tests.methods.test_batch_moments import TEXT, image_tower


def run_tiny(settings, rngs=None, train=False):
  """Returns features of two tiny clips, also from a bank, and the loss."""
  method = ev_clip.make(settings, tiny.backbones(True), ())
  params = tiny.params(True) | {'method': method.init(jax.random.key(0))}
  batch = tiny.batch(2)
  classes = jax.random.normal(jax.random.key(1), (1, 3, tiny.CLIP.embed_dim))

  @jax.jit
  def run(params):
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, rngs, train)
    kept = method.frozen and method.video(
        params, method.frozen(params, pixels, rngs, train), rngs, train
    )
    return features, kept, method.loss(params, features, classes, batch, None)

  return run(params)


def test_context_alone_masks_nothing():
  features, kept, _ = run_tiny(ev_clip.Settings(prompt='context'))
  assert not features.maps
  tokens = jnp.concatenate([features.context, features.frames], axis=1)
  assert tokens.shape[1] == tiny.NUM_FRAMES + 1
  np.testing.assert_allclose(
      features.clip, tokens.mean(1), rtol=1e-5, atol=1e-6
  )
  # The same from features of the frozen networks.
  np.testing.assert_allclose(kept.clip, features.clip, rtol=1e-5, atol=1e-6)


def test_mask_alone_adds_no_token():
  settings = ev_clip.Settings(prompt='mask', consistency_weight=2.0)
  features, kept, (total, parts) = run_tiny(settings)
  assert kept is None
  assert features.context is None
  np.testing.assert_allclose(
      features.clip, features.frames.mean(1), rtol=1e-5, atol=1e-6
  )
  mask = features.maps['mask']
  assert mask.shape == (2, 224, 224)
  assert abs(float(mask.min())) < 1e-6
  assert 0.9 < float(mask.max()) < 1
  np.testing.assert_allclose(
      parts['consistency'],
      losses.consistency(features.frames, jnp.ones(2)),
      rtol=1e-5,
  )
  np.testing.assert_allclose(
      total, parts['cross_entropy'] + 2 * parts['consistency'], rtol=1e-6
  )


@pytest.mark.slow
def test_bfloat16_keeps_what_needs_it_in_float32():
  half = ev_clip.make(
      ev_clip.Settings(), tiny.backbones(True, dtype=jnp.bfloat16), ()
  )
  params = tiny.params(True) | {'method': half.init(jax.random.key(0))}
  full = ev_clip.make(ev_clip.Settings(), tiny.backbones(True), ())
  pixels = half.pixels(tiny.batch(2)['video'], None)
  masks = []
  for method in (full, half):
    features = jax.jit(method.video, static_argnums=(2, 3))(
        params, pixels, None, False
    )
    masks.append(features.maps['mask'])
    for value in jax.tree.leaves(features):
      assert value.dtype == jnp.float32
  assert float(jnp.abs(masks[0] - masks[1]).mean()) < 0.01
  assert len(np.unique(masks[1])) > 10_000  # finer than bfloat16


@pytest.mark.parametrize(
    'train', [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_batch_norms_of_clip_may_be_updated(train):
  # By what they are updated is tested in tests/methods/test_batch_moments.py.
  wanted = clip_sizes.resnet(
      8, (1, 1, 1, 1), embed_dim=16, image_resolution=224, **TEXT
  )
  clip, clip_params = image_tower(wanted)
  method = ev_clip.make(
      ev_clip.Settings(prompt='context', clip_batch_norm='batch'),
      dataclasses.replace(tiny.backbones(True), clip=clip), (),
  )
  params = tiny.params(True) | {
      'clip': clip_params,
      'method': method.init(jax.random.key(0)),
  }
  pixels = method.pixels(tiny.batch(2)['video'], None)
  features = jax.jit(method.video, static_argnums=(2, 3))(
      params, pixels, None, train
  )
  if not train:
    assert not features.statistics
    return
  (frames,), after = batch_moments.encode(
      clip, {'clip': clip_params}, [fold_time(pixels)]
  )
  np.testing.assert_allclose(
      fold_time(features.frames), frames, rtol=1e-3, atol=1e-4
  )
  _, rest = split(params, method.trainable)
  statistics, _ = split(rest, method.statistics)
  assert features.statistics.keys() == after.keys() == statistics.keys()
  path = 'clip/visual/layer1.0/bn3/var'
  np.testing.assert_allclose(features.statistics[path], after[path], rtol=1e-4)


@pytest.mark.parametrize('prompt', ['both', 'context'])
def test_clip_and_another_trunk_see_their_own_squares(prompt):
  trunk = tiny.VIDEOPRISM
  method = ev_clip.make(
      ev_clip.Settings(prompt=prompt), tiny.backbones(True, trunk), ()
  )
  own = method.init(jax.random.key(0))
  params = tiny.params(True, trunk) | {'method': own}
  side = trunk.resolution
  batch = tiny.batch(1, trunk_pixels=side)
  video = jax.jit(method.video, static_argnums=(2, 3))

  def seen(frames):
    return video(params, method.pixels(frames, None), None, False)

  found = seen(batch['video'])
  lower = batch['video'][:, :, tiny.PIXELS :, :side] / np.float32(255)
  z = trunks.network(trunk).features(params['encoder'], lower)
  token = ContextGenerator(tiny.CLIP.embed_dim).apply(
      {'params': own['context']}, to_grid(z)
  )
  np.testing.assert_allclose(found.context, token, rtol=1e-4, atol=1e-6)
  other = batch['video'].copy()
  other[:, :, : tiny.PIXELS] = 0
  np.testing.assert_array_equal(seen(other).context, found.context)
  assert not np.allclose(seen(other).frames, found.frames)
  if prompt == 'both':
    assert own['mask']['projection2spatial.0']['kernel'].shape == (2, 2)
    np.testing.assert_array_equal(seen(other).maps['mask'], found.maps['mask'])
  else:
    other = batch['video'].copy()
    other[:, :, tiny.PIXELS :] = 0
    np.testing.assert_array_equal(seen(other).frames, found.frames)
