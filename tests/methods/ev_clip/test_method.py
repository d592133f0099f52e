"""Numbers: fixture A11 of the specification, from the original."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from data_pipelines.errors import UserError
from evclip_jax.methods import base, losses
from evclip_jax.methods.batch_moments import BatchMoments, running
from evclip_jax.methods.ev_clip import method as ev_clip
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.pixels import fold_time
from evclip_jax.models.swin3d.sizes import TABLE
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.training.params import split
from evclip_jax.weights import swin3d_names as encoder_convert
from tests import spec_numbers
from tests.methods import tiny
from tests.methods.ev_clip.test_generators import fixture as generators
from tests.models.test_clip_numbers import image_tower
from tests.models.test_swin3d import fixture_tensors


def backbones(trunk, clip, num_frames):
  return base.Backbones(
      Clip(clip_sizes.TABLE[clip]), VideoEncoder(TABLE[trunk]), num_frames
  )


@pytest.mark.parametrize(
    ('trunk', 'clip', 'num_frames', 'expected'),
    [
        ('omnivore_swinS', 'ViT-B/16', 8, 6_055_086),
        ('omnivore_swinS', 'ViT-L/14', 16, 6_252_258),
        ('omnivore_swinT', 'RN50', 4, 6_449_312),
        ('omnivore_swinS', 'RN101', 32, 6_055_338),
        ('omnivore_swinB', 'ViT-B/32', 8, 10_545_344),
        ('omnivore_swinB', 'RN50', 16, 11_070_708),
    ],
)
def test_trainable_parameter_counts(trunk, clip, num_frames, expected):
  method = ev_clip.make(
      ev_clip.Settings(), backbones(trunk, clip, num_frames), ()
  )
  tree = jax.eval_shape(method.init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == expected


def test_fixture_a11():
  num_frames, labels = 8, np.array([1])
  clip, clip_params = image_tower(
      clip_sizes.vit(
          64,
          2,
          patch=32,
          embed_dim=512,
          text_width=64,
          text_layers=1,
          context_length=4,
          vocab_size=8,
      )
  )
  tensors = fixture_tensors(TABLE['omnivore_swinT'])
  trunk = encoder_convert.from_original(tensors)
  method = ev_clip.make(
      ev_clip.Settings(consistency_weight=0.1),
      base.Backbones(clip, VideoEncoder(trunk.sizes), num_frames), (),
  )
  params = {
      'clip': clip_params | {'logit_scale': np.float32(np.log(100))},
      'encoder': unflatten_dict(trunk.flat, sep='/'),
      'method': generators(768, num_frames)[0],
  }
  video = spec_numbers.tensor((1, 3, num_frames, 224, 224), 779, 1.7)
  pixels = video.transpose(0, 2, 3, 4, 1)
  classes = spec_numbers.tensor((1, 3, 512), 785, 1)
  batch = {'label': labels, 'mask': np.ones(1, np.float32)}

  @jax.jit
  def run(params, pixels):
    features = method.video(params, pixels, None, False)
    return (
        features,
        method.score(params, features, classes, batch),
        method.loss(params, features, classes, batch, None),
    )

  features, logits, (total, parts) = run(params, pixels)
  mask = np.asarray(features.maps['mask'])
  masked = pixels * mask[:, None, :, :, None]
  frames, unit = features.frames[0], base.normalise_rows(features.clip)[0]
  for found, expected, tolerance in (
      (mask.mean(), 0.2564247396, 1e-5),
      (mask.max(), 0.9998613067, 1e-5),
      (masked.mean(), 0.0000768148, 1e-6),
      (masked.std(), 0.2860252722, 1e-5),
      (frames[0, :3], [-0.50587545, 0.01485103, -0.63529116], 1e-4),
      (frames[7, :3], [-0.43085413, -0.12036038, -0.48231317], 1e-4),
      (
          features.context[0, 0, :3],
          [0.00268823, 0.005328, -0.00736398],
          1e-6,
      ),
      (unit[:3], [-0.06694807, 0.00063787, -0.08942648], 1e-5),
      (logits[0], [-4.42374542, -4.69761388, -5.54090004], 1e-3),
      (parts['cross_entropy'], 1.00990347, 2e-4),
      (parts['consistency'], 0.0338428975, 1e-5),
      (total, 1.01328776, 2e-4),
  ):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def run_tiny(settings, rngs=None, train=False):
  """Features of two tiny clips, and the loss."""
  method = ev_clip.make(settings, tiny.backbones(True), ())
  params = tiny.params(True) | {'method': method.init(jax.random.key(0))}
  batch = tiny.batch(2)
  classes = jax.random.normal(jax.random.key(1), (1, 3, tiny.CLIP.embed_dim))

  @jax.jit
  def run(params):
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, rngs, train)
    return features, method.loss(params, features, classes, batch, None)

  return run(params)


def test_context_alone_masks_nothing():
  features, _ = run_tiny(ev_clip.Settings(prompt='context'))
  assert not features.maps
  tokens = jnp.concatenate([features.context, features.frames], axis=1)
  assert tokens.shape[1] == tiny.NUM_FRAMES + 1
  np.testing.assert_allclose(
      features.clip, tokens.mean(1), rtol=1e-5, atol=1e-6
  )


def test_mask_alone_adds_no_token():
  settings = ev_clip.Settings(prompt='mask', consistency_weight=2.0)
  features, (total, parts) = run_tiny(settings)
  assert features.context is None
  np.testing.assert_allclose(
      features.clip, features.frames.mean(1), rtol=1e-5, atol=1e-6
  )
  mask = features.maps['mask']
  assert mask.shape == (2, 224, 224)
  assert abs(float(mask.min())) < 1e-6
  assert 0.9 < float(mask.max()) < 1
  np.testing.assert_allclose(
      parts['consistency'], losses.consistency(features.frames, jnp.ones(2))
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
    ('choice', 'train', 'active'),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_the_trunks_drop_path_is_a_choice(choice, train, active):
  rngs, seen = {'drop_path': jax.random.key(5)}, []

  class Recorder(VideoEncoder):

    def features(self, params_encoder, video, drop_path_rng=None):
      seen.append(drop_path_rng)
      return super().features(params_encoder, video, drop_path_rng)

  given = tiny.backbones(True)
  method = ev_clip.make(
      ev_clip.Settings(prompt='context', encoder_drop_path=choice),
      dataclasses.replace(given, encoder=Recorder(tiny.ENCODER)), (),
  )
  params = tiny.params(True) | {
      'method': jax.eval_shape(method.init, jax.random.key(0))
  }
  pixels = method.pixels(tiny.batch(1)['video'], None)
  jax.eval_shape(
      lambda params: method.video(params, pixels, rngs, train), params
  )
  assert seen == [rngs['drop_path'] if active else None]


@pytest.mark.parametrize(
    'train', [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_batch_norms_of_clip_move_if_they_are_asked_to(train):
  # What moves them is tested in tests/methods/test_batch_moments.py.
  wanted = clip_sizes.resnet(
      8,
      (1, 1, 1, 1),
      embed_dim=16,
      text_width=64,
      image_resolution=224,
      text_layers=1,
      context_length=4,
      vocab_size=8,
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
  moments = BatchMoments()
  frames = clip.images(clip_params, fold_time(pixels), moments.hooks)
  np.testing.assert_allclose(
      fold_time(features.frames), frames, rtol=1e-3, atol=1e-4
  )
  after = running(clip_params['visual'], [moments])
  _, rest = split(params, method.trainable)
  statistics, _ = split(rest, method.statistics)
  assert features.statistics.keys() == after.keys() == statistics.keys()
  path = 'clip/visual/layer1.0/bn3/var'
  np.testing.assert_allclose(features.statistics[path], after[path], rtol=1e-4)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'clip_batch_norm': 'batch'}, 'clip_batch_norm=batch: the ViT'),
        ({'clip_batch_norm': 'eval'}, 'method.settings.clip_batch_norm'),
        ({'prompt': 'Both'}, 'method.settings.prompt'),
        ({'activation': 'silu'}, 'method.settings.activation'),
        ({'pixels': 'raw'}, 'method.settings.pixels'),
    ],
)
def test_settings_that_do_not_exist_are_named(settings, message):
  with pytest.raises(UserError, match=message):
    ev_clip.make(ev_clip.Settings(**settings), tiny.backbones(True), ())


def test_an_odd_number_of_frames_is_fine_without_a_mask():
  odd = backbones('omnivore_swinT', 'ViT-B/32', 7)
  with pytest.raises(UserError, match='data.num_frames=7'):
    ev_clip.make(ev_clip.Settings(), odd, ())
  ev_clip.make(ev_clip.Settings(prompt='context'), odd, ())


def test_templates_need_a_place_for_the_name():
  method = ev_clip.make(
      ev_clip.Settings(templates=('A video.',)), tiny.backbones(True), ()
  )
  with pytest.raises(UserError, match='method.settings.templates'):
    method.class_texts(['run'])
