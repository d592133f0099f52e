"""The number of trained weights of each method, as in the originals."""

import jax
import pytest

from evclip_jax.methods import base
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.swin3d.sizes import TABLE
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.training.params import count, split

BOTH = {'before': 'both'}
TWO = {'time_adapters': 2}


@pytest.mark.parametrize(
    ('method', 'clip', 'num_frames', 'settings', 'classes', 'expected'),
    [
        ('ev_clip/omnivore_swinS', 'ViT-B/16', 8, {}, 2, 6_055_086),
        ('ev_clip/omnivore_swinS', 'ViT-L/14', 16, {}, 2, 6_252_258),
        ('ev_clip/omnivore_swinT', 'RN50', 4, {}, 2, 6_449_312),
        ('ev_clip/omnivore_swinB', 'ViT-B/32', 8, {}, 2, 10_545_344),
        ('ez_clip', 'ViT-B/16', 8, {}, 2, 5_204_736),
        ('ez_clip', 'ViT-B/16', 8, {'temporal': 'shallow'}, 2, 5_137_152),
        ('ez_clip', 'ViT-B/16', 8, {'temporal': 'none'}, 2, 5_131_008),
        ('ez_clip', 'ViT-B/16', 8, {'temporal': 'adapter'}, 2, 8_681_472),
        ('ez_clip', 'ViT-L/14', 16, {}, 2, 16_557_312),
        ('coop', 'ViT-B/16', 8, {}, 2, 8_192),
        ('coop', 'ViT-L/14', 8, {'words_per_class': True}, 3, 3 * 12_288),
        ('vifi_clip', 'ViT-B/16', 8, {}, 2, 124_323_841),
        ('vifi_clip', 'ViT-L/14', 8, {}, 2, 389_671_169),
        ('vifi_clip', 'ViT-B/16', 8, {'train': 'image'}, 2, 86_192_640),
        ('vifi_clip', 'ViT-B/16', 8, {'train': 'text'}, 2, 38_131_200),
        ('ivlp', 'ViT-B/16', 8, {}, 2, 153_600),
        ('ivlp', 'ViT-L/14', 8, {}, 2, 215_040),
        ('st_adapter', 'ViT-B/16', 8, {}, 400, 7_417_744),
        ('st_adapter', 'ViT-B/16', 8, BOTH, 174, 14_354_094),
        ('st_adapter', 'ViT-L/14', 8, {'head': 'text'}, 2, 18_945_024),
        ('aim', 'ViT-B/16', 32, {}, 400, 10_985_104),
        ('aim', 'ViT-B/16', 8, TWO, 174, 14_343_342),
        ('aim', 'ViT-L/14', 8, TWO, 174, 50_643_118),
        ('linear_probe', 'ViT-B/16', 8, {}, 400, 400 * 513),
    ],
)
def test_trained_weights(method, clip, num_frames, settings, classes, expected):
  method, _, trunk = method.partition('/')
  module, clip = base.load(method), Clip(sizes.TABLE[clip])
  encoder = VideoEncoder(TABLE[trunk]) if trunk else None
  built = module.make(
      module.Settings(**settings),
      base.Backbones(clip, encoder, num_frames),
      tuple(map(str, range(classes))),
  )
  own = jax.eval_shape(built.init, jax.random.key(0))
  tree = {'clip': clip.shapes()} | ({'method': own} if own else {})
  assert count(split(tree, built.trainable)[0]) == expected
