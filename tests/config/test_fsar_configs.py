"""configs/fsar.py: the recipes of the original, and what decays in them."""

import functools
import itertools
import pathlib
import re

import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.config import identity, schema
from evclip_jax.config.experiment import settings
from evclip_jax.methods import base
from evclip_jax.methods.clip_fsar import checkpoint as interop
from evclip_jax.methods.clip_fsar import method as clip_fsar
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import TABLE
from evclip_jax.training.params import split
from evclip_jax.weights import clip_names as clip_convert
from tests.config.test_configs import load

FILE = pathlib.Path(__file__).parents[2] / 'configs' / 'fsar.py'
BENCHMARKS = ('hmdb51', 'ucf101', 'kinetics100', 'ssv2_full', 'ssv2_small')
NAMES = [
    f'{data}_{shots}shot_{clip}'
    for data, shots, clip in itertools.product(
        BENCHMARKS, (1, 5), ('rn50', 'vit_b16')
    )
]


@functools.cache
def flat(name):
  return identity.flat(load(FILE, name))


@pytest.mark.parametrize('name', NAMES)
def test_every_recipe_is_valid(name):
  config = load(FILE, name)
  schema.check(config)
  assert config.is_locked
  assert config.method.name == 'clip_fsar'
  clip = Clip(TABLE[config.clip.name])
  clip_fsar.make(settings(config), base.Backbones(clip, None, 8, 5), ())
  shots = 5 if '5shot' in name else 1
  assert config.episodes.test_shot == shots
  assert config.method.settings.prototypes == (
      'before' if shots == 5 else 'after'
  )


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('hmdb51', (1.2, 1e-5, 1e-6, 700, 5000, 300, 'segment')),
        ('ucf101', (1.5, 2e-6, 1e-7, 600, 3000, 100, 'segment')),
        ('kinetics100', (1.5, 1e-5, 5e-6, 250, 5000, 100, 'interval')),
        ('ssv2_full', (3.0, 5e-5, 1e-5, 4000, 30000, 1000, 'segment')),
        ('ssv2_small', (3.0, 5e-5, 2e-5, 2000, 30000, 1000, 'segment')),
    ],
)
@pytest.mark.parametrize('shots', [1, 5])
def test_the_recipes_are_the_originals(name, expected, shots):
  found = flat(f'{name}_{shots}shot_rn50')
  keys = (
      'method.settings.video_text_weight',
      'optimizer.learning_rate',
      'optimizer.warmup_learning_rate',
      'optimizer.iterations_per_epoch',
      'episodes.train_episodes',
      'episodes.eval_every_episodes',
      'data.frame_rule',
  )
  assert tuple(found[key] for key in keys) == expected
  assert found['optimizer.weight_decay'] == 1e-3
  assert not found['optimizer.epochs_count_twice']
  assert found['data.query_augment'] == (name == 'kinetics100')
  assert found['data.class_names'] == f'clip_fsar/{name}'
  assert [found[f'episodes.{k}'] for k in ('way', 'shot', 'query')] == [5, 1, 5]
  assert found['episodes.per_step'] == found['optimizer.iterations_per_step']


@pytest.mark.parametrize(
    ('name', 'free', 'decayed'),
    [('hmdb51_1shot_rn50', 104, 82), ('hmdb51_1shot_vit_b16', 2, 162)],
)
def test_what_decays_is_what_decays_in_the_original(name, free, decayed):
  config = load(FILE, name)
  sizes = TABLE[config.clip.name]
  leaves = interop.shapes(interop.HeadSizes(sizes.embed_dim, 1, 2048, True))
  leaves |= {
      f'clip/{path}': shape
      for path, shape in clip_convert.shapes(sizes).items()
      if path.startswith('visual/')
  }
  tree = {p: np.broadcast_to(np.float32(0), s) for p, s in leaves.items()}
  method = clip_fsar.make(
      settings(config), base.Backbones(Clip(sizes), None, 8, 5), ()
  )
  trainable, _ = split(unflatten_dict(tree, sep='/'), method.trainable)
  counts = {True: 0, False: 0}
  for path, value in trainable.items():
    (theirs,) = interop.to_original({path: value})
    # The original's rule, on its names.
    wanted = 'bn' in theirs or 'norm' in theirs
    ours = any(re.fullmatch(p, path) for p in config.optimizer.no_decay)
    assert ours == wanted, path
    counts[ours] += 1
  assert counts == {True: free, False: decayed}
