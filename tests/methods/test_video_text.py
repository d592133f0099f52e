"""Methods without CLIP: a video-text model, and probes of a trunk."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.config import experiment
from evclip_jax.methods import attention_probe, video_text
from evclip_jax.models.videoprism import tokenizer
from evclip_jax.models.videoprism.video_text import VideoTextModel
from evclip_jax.training import session
from tests.methods import tiny
from tests.models.test_sentences import VOCABULARY


def test_scores_are_cosines_over_the_temperature():
  backbones = tiny.backbones(True, tiny.VIDEO_TEXT)
  settings = video_text.Settings(temperature=0.5)
  method = video_text.make(settings, backbones, ())
  params = tiny.params(True, tiny.VIDEO_TEXT)
  video = tiny.batch(2)['video']
  tokens = tiny.tokens(2)

  @jax.jit
  def run(params):
    features = method.video(params, method.pixels(video, None), None, False)
    classes = method.text(params, tokens)
    return method.score(params, features, classes, None), classes

  logits, classes = run(params)
  model = VideoTextModel(tiny.VIDEO_TEXT)
  frames = video / np.float32(255)
  clips = np.array(jax.jit(model.video)(params['encoder'], frames)[0])
  texts = np.array(classes)
  texts /= np.linalg.norm(texts, axis=-1, keepdims=True)
  texts = texts.mean(0)
  texts /= np.linalg.norm(texts, axis=-1, keepdims=True)
  clips /= np.linalg.norm(clips, axis=-1, keepdims=True)
  np.testing.assert_allclose(logits, clips @ texts.T / 0.5, atol=1e-4)


def test_a_trunk_without_texts_names_the_key():
  with pytest.raises(UserError, match=r'set encoder\.name to videoprism_lvt'):
    video_text.make(video_text.Settings(), tiny.backbones(True), ())
  settings = video_text.Settings(temperature=0.0)
  backbones = tiny.backbones(True, tiny.VIDEO_TEXT)
  with pytest.raises(UserError, match='temperature=0.0: wanted more'):
    video_text.make(settings, backbones, ())


def test_a_linear_probe_of_the_trunk_has_a_head_only():
  settings = attention_probe.Settings(pooler='mean')
  method = attention_probe.make(settings, tiny.backbones(True), ('a', 'b'))
  own = flatten_dict(method.init(jax.random.key(0)), sep='/')
  assert {path: x.shape for path, x in own.items()} == {
      'head/kernel': (128, 2), 'head/bias': (2,)
  }
  with pytest.raises(UserError, match='heads=3: .* the 128 channels'):
    attention_probe.make(
        attention_probe.Settings(heads=3), tiny.backbones(True), ()
    )


def test_texts_are_read_by_the_models_own_tokenizer():
  config = experiment.new('video_text')
  changes = {'name': 'videoprism_lvt_tiny', 'weights': 'random:0'}
  changes |= {'vocab': str(VOCABULARY)}
  config.encoder.update(changes)
  config.data.crop_pixels = 72
  names = ['walking', 'opening a door']
  model = session.build(config, names)
  texts = ['a video of walking.', 'a video of opening a door.']
  ids = tokenizer.read(VOCABULARY).encode(texts)
  np.testing.assert_array_equal(model.tokens(names), ids[None])
  config.data.crop_pixels = 70
  with pytest.raises(UserError, match='crop_pixels=70: .* 36 pixels'):
    session.build(config, names)
