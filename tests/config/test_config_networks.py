"""What each config trains of the networks it names, by shapes alone."""

import functools
import re

import jax
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.config import experiment
from evclip_jax.methods import base
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.swin3d import sizes as encoder_sizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.training import params
from evclip_jax.weights import clip_names as clip_convert
from evclip_jax.weights import swin3d_names as encoder_convert
from tests.config.test_config_steps import FAMILIES, structure
from tests.config.test_configs import ROOT, load
from tests.methods import tiny

CASES = [case for cases in FAMILIES.values() for case in cases]
CASES += [('demo', 'clip_fsar'), ('folder', 'clip_fsar'), ('ucf', 'zero_shot')]


@functools.cache
def leaves(name, settings, clip, encoder, num_frames):
  """(trainable, frozen) shapes of a method on the networks of these names."""
  # The packaged networks' sizes are in their files; any small ones will do.
  clip = sizes.TABLE.get(clip, tiny.CLIP)
  encoder = encoder_sizes.TABLE.get(encoder, tiny.ENCODER)
  module = base.load(name)
  shapes = {'clip': clip_convert.shapes(clip)}
  trunk = None
  if module.uses_encoder(settings):
    shapes['encoder'] = encoder_convert.shapes(encoder)
    trunk = VideoEncoder(encoder)
  tree = {
      part: unflatten_dict(
          {p: jax.ShapeDtypeStruct(s, 'float32') for p, s in flat.items()}
      , sep='/')
      for part, flat in shapes.items()
  }
  method = module.make(
      settings, base.Backbones(Clip(clip), trunk, num_frames, num_support=5), ()
  )
  tree['method'] = jax.eval_shape(method.init, jax.random.key(0))
  trainable, rest = params.split(tree, method.trainable)
  statistics, frozen = params.split(rest, method.statistics)
  return trainable, statistics | frozen


def leaves_of(config):
  # The first of what `structure` returns: settings without mere numbers.
  settings, *_ = structure(config)
  return leaves(
      config.method.name,
      settings,
      config.clip.name,
      config.encoder.name,
      config.data.num_frames,
  )


def variants(file, argument):
  """The config of a file, and those it compares."""
  loaded = load(ROOT / 'configs' / f'{file}.py', argument)
  config = experiment.choose_variant(loaded)
  yield config
  yield from experiment.rows(config).values()


@pytest.mark.parametrize(('file', 'argument'), CASES)
def test_the_trained_leaves_are_there(file, argument):
  for config in variants(file, argument):
    trainable, frozen = leaves_of(config)
    scores_only = config.method.name == 'zero_shot' or (
        config.method.name == 'clip_fsar'
        and config.method.settings.loss == 'few_shot'
        and config.method.settings.depth == 0
    )
    assert bool(trainable) != scores_only
    # CLIP's text tower trains nowhere, the video trunk neither.
    towers = ('clip/text/', 'clip/token_embedding', 'encoder/')
    assert not [path for path in trainable if path.startswith(towers)]
    assert len(frozen) > 10


@pytest.mark.parametrize(
    ('file', 'argument', 'trained'),
    [
        # Specs of EV-CLIP and EZ-CLIP, and the files' own words.
        ('ucf', 'ev_clip', 6_055_086),
        ('hmdb', 'ev_clip', 6_055_086),
        ('ez_zero_shot', 'ez_clip', 5_204_736),
        ('ez_few_shot', 'ez_clip', 5_204_736),
    ],
)
def test_as_many_weights_train_as_in_the_original(file, argument, trained):
  config = next(variants(file, argument))
  assert params.count(leaves_of(config)[0]) == trained


@pytest.mark.parametrize(('file', 'argument'), CASES)
def test_what_is_kept_from_decay_is_among_the_trained(file, argument):
  config = next(variants(file, argument))
  patterns = config.optimizer.no_decay
  trainable, _ = leaves_of(config)
  kept = [p for p in trainable if any(re.fullmatch(x, p) for x in patterns)]
  assert bool(kept) == bool(patterns)
