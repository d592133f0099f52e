"""Messages about invalid settings and networks that do not fit."""

import math

import pytest

from data_pipelines.errors import UserError
from evclip_jax.methods import base
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.swin3d.sizes import TABLE
from evclip_jax.models.swin3d.trunk import VideoEncoder


def make(method, settings, clip='ViT-B/32', num_frames=8):
  module = base.load(method)
  trunk = VideoEncoder(TABLE['omnivore_swinT'])
  networks = base.Backbones(Clip(sizes.TABLE[clip]), trunk, num_frames)
  return module.make(module.Settings(**settings), networks, ('a', 'b'))


@pytest.mark.parametrize(
    ('method', 'settings', 'message'),
    [
        ('zero_shot', {'pixels': 'raw'}, 'method.settings.pixels'),
        ('ev_clip', {'clip_batch_norm': 'batch'}, 'clip_batch_norm=batch: the'),
        ('ev_clip', {'clip_batch_norm': 'eval'}, 'method.settings.clip_batch'),
        ('ev_clip', {'prompt': 'Both'}, 'method.settings.prompt'),
        ('ev_clip', {'activation': 'silu'}, 'method.settings.activation'),
        ('ev_clip', {'templates': ('A video.',)}, 'method.settings.templates'),
        ('ez_clip', {'temporal': 'Deep'}, 'method.settings.temporal'),
        ('ez_clip', {'drop_unit': 'layer'}, 'method.settings.drop_unit'),
        ('ez_clip', {'average': 'logits'}, 'method.settings.average'),
        ('ez_clip', {'jitter': 'row'}, 'method.settings.jitter'),
        ('ez_clip', {'drop_path': 1.0}, 'method.settings.drop_path=1.0'),
        ('ez_clip', {'prompt_dropout': -0.1}, 'method.settings.prompt_dropout'),
        ('ez_clip', {'motion_weight': math.nan}, 'motion_weight=nan'),
        ('ez_clip', {'score_scale': -5.0}, 'score_scale=-5.0'),
        ('vifi_clip', {'descriptions': ' , '}, 'names no file'),
        ('clip_fsar', {'metric': 'dtw'}, 'method.settings.metric'),
        ('clip_fsar', {'prototypes': 'mean'}, 'method.settings.prototypes'),
        ('clip_fsar', {'loss': 'none'}, 'method.settings.loss'),
        ('clip_fsar', {'depth': 0}, 'text_token=True needs'),
        ('clip_fsar', {'depth': -1}, 'depth=-1'),
        ('clip_fsar', {'template': 'a photo'}, "'a photo'.*: wanted .* a {}"),
        ('clip_fsar', {'text_exponent': 1.5}, 'text_exponent=1.5'),
        ('clip_fsar', {'otam_softness': 0.0}, 'otam_softness=0.0'),
        ('coop', {'words': 0}, 'words=0: use 1 to 64'),
        ('coop', {'words_init': 'a', 'words_per_class': True}, 'words_init is'),
        ('ev_clip', {'text_prompt': 'CoOp'}, 'method.settings.text_prompt'),
        ('ev_clip', {'words': 4}, 'words has no effect'),
        ('zero_shot', {'descriptions_per_class': 'first'}, 'per_class'),
        ('coop', {'words_place': 'behind'}, 'method.settings.words_place'),
        ('ivlp', {'text_depth': 0}, 'text_depth=0'),
        ('ivlp', {'vision_prompts': 0}, 'vision_prompts=0'),
        ('vifi_clip', {'train': 'all'}, 'method.settings.train'),
        ('vifi_clip', {'smoothing': 1.0}, 'smoothing=1.0'),
        ('st_adapter', {'kernel': (2, 1, 1)}, 'kernel=.*three odd numbers'),
        ('st_adapter', {'layers': 13}, 'layers=13: use .* 0 to 12'),
        ('st_adapter', {'head': 'mlp'}, 'method.settings.head'),
        ('aim', {'time_adapters': 3}, 'time_adapters=3'),
    ],
)
def test_invalid_settings_are_refused(method, settings, message):
  with pytest.raises(UserError, match=message):
    make(method, settings).class_texts(['a', 'b'])


def test_networks_that_do_not_fit_are_refused():
  frozen = {'backbone': 'frozen'}
  for method, settings, networks, message in (
      ('ez_clip', {}, {'clip': 'RN50'}, 'clip.name'),
      ('aim', {}, {'clip': 'RN50'}, 'clip.name to a ViT'),
      ('ez_clip', {}, {'num_frames': 1}, 'data.num_frames=1'),
      ('ev_clip', {}, {'num_frames': 7}, 'data.num_frames=7'),
      ('clip_fsar', frozen, {'clip': 'RN50'}, 'set batch_norm=frozen'),
  ):
    with pytest.raises(UserError, match=message):
      make(method, settings, **networks)
  # Only a mask needs pairs of frames, and only the motion loss two frames.
  make('ev_clip', {'prompt': 'context'}, num_frames=7)
  make('ez_clip', {'motion_weight': 0.0}, num_frames=1)


@pytest.mark.parametrize(
    ('method', 'settings'),
    [('linear_probe', {}), ('aim', {}), ('coop', {'words_per_class': True})],
)
def test_heads_know_the_classes_of_training_only(method, settings):
  built = make(method, settings)
  built.class_texts(['a', 'b'])
  with pytest.raises(UserError, match="knows only the 2 classes.* such as 'c'"):
    built.class_texts(['a', 'c'])
  with pytest.raises(UserError, match='in another order'):
    built.class_texts(['b', 'a'])


def test_weights_of_the_other_kind_of_class_texts_name_the_key():
  for kind, own, other in (
      ('coop', {'words': 1}, {}), ('templates', {}, {'words': 1})
  ):
    built = make('ev_clip', {'text_prompt': kind})
    assert built.fit(own) == own
    with pytest.raises(UserError, match='text_prompt='):
      built.fit(other)
