"""The files in configs/: they load, are locked, and say what they should."""

import ast
import importlib.util
import pathlib
import re

import numpy as np
import pytest

from evclip_jax.config import experiment, identity, schema
from evclip_jax.methods import base
from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.runs import cost_table

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / 'configs').glob('*.py'))


def load(path, *method):
  spec = importlib.util.spec_from_file_location(path.stem, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*method)


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.stem)
def test_a_config_is_valid_and_says_what_it_is(path):
  config = load(path)
  schema.check(config)
  assert config.is_locked
  with pytest.raises(AttributeError, match='Did you mean'):
    config.batch_sizes = 3
  again = identity.from_dict(identity.to_dict(config))
  assert identity.digest(again) == identity.digest(config)
  text = ast.get_docstring(ast.parse(path.read_text()))
  assert f'--config=configs/{path.name}' in text and 'Expect:' in text
  config = load(path, 'zero_shot')
  assert config.method.name == 'zero_shot'
  experiment.settings(config)


def values_of(path, *method):
  return identity.flat(load(ROOT / 'configs' / f'{path}.py', *method))


def check(values, expected, group=''):
  assert {k: values[group + k] for k in expected} == expected


def test_ucf_is_the_recipe_of_the_paper():
  # Spec of EV-CLIP, 7.1 to 7.3, row ucf101_video_vifi/omniS_vit_b16, of which
  # more numbers are below.
  expected = {
      'clip.name': 'ViT-B/16',
      'encoder.name': 'omnivore_swinS',
      'data.shots': 8,
      'data.num_frames': 8,
      'data.resize_height': 256,
      'data.resize_width': 340,
      'data.crop_pixels': 224,
      'optimizer.b1': 0.9,
      'optimizer.b2': 0.999,
      'optimizer.eps': 1e-8,
      'train.eval_every_epochs': 5,
      'eval.clips': 1,
      'eval.crops': 1,
      'method.settings.prompt': 'both',
      'method.settings.templates': ['A video of {}.'],
      'method.settings.pixels': 'imagenet',
      'method.settings.encoder_drop_path': True,
      'method.settings.consistency_weight': 0.0,
      'method.settings.activation': 'gelu',
      'method.settings.bias': False,
  }
  check(values_of('ucf'), expected)


EZ_CLIP = ('demo', 'folder', 'ucf', 'ez_base_to_novel', 'ez_few_shot')


@pytest.mark.parametrize('name', [*EZ_CLIP, 'ez_zero_shot'])
def test_ez_clip_has_its_own_optimizer_everywhere(name):
  config = load(ROOT / 'configs' / f'{name}.py', 'ez_clip')
  schema.check(config)
  assert experiment.settings(config).temporal == 'deep'
  # Spec of EZ-CLIP, 5: one optimizer and schedule in all shipped configs.
  expected = {
      'name': 'adamw',
      'b1': 0.9,
      'b2': 0.98,
      'eps': 1e-8,
      'weight_decay': 0.2,
      'clip_norm': 0.0,
      'schedule': 'warmup_cosine',
  }
  check(identity.flat(config), expected, 'optimizer.')


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        # The README of T2L; then the files of the same names.
        ('ez_zero_shot', {'batch_size': 70, 'optimizer.learning_rate': 5e-5,
                          'data.train_temporal': 'random'}),
        ('ez_base_to_novel', {'batch_size': 60, 'data.train_temporal': 'center',
                              'optimizer.learning_rate': 1e-5}),
    ],
)  # fmt: skip
def test_ez_clip_recipes(name, expected):
  expected |= {
      'optimizer.warmup_epochs': 5,
      'train.epochs': 50,
      'data.preprocess': 'ez_clip',
      'data.num_frames': 8,
  }
  drops = ('drop_path', 'attention_dropout', 'prompt_dropout')
  expected |= {f'method.settings.{drop}': 0.1 for drop in drops}
  check(values_of(name), expected)


S, T, B = 'omnivore_swinS', 'omnivore_swinT', 'omnivore_swinB'
B16, B32, L14 = 'ViT-B/16', 'ViT-B/32', 'ViT-L/14'
# Spec of EV-CLIP, 7.3: its configs by data set, trunk, CLIP and frames; then
# batch, rate, rate of the warm-up, epochs, epochs of the warm-up, decay, and
# where the window lies in training.
UCF_64 = (64, 4e-4, 2e-5, 500, 1, 0.05, 'center')
UCF_32 = (32, 2e-4, 1e-5, 500, 1, 0.05, 'center')
UCF_16 = (16, 1e-4, 5e-6, 500, 1, 0.05, 'center')
ARID = (28, 2e-4, 1e-5, 400, 1, 0.05, 'random')
EV_CLIP = [
    ('ucf', S, B16, 8, UCF_64),
    ('ucf', S, B16, 16, UCF_32),
    ('ucf', T, B16, 8, UCF_64),
    ('ucf', B, B16, 8, UCF_64),
    ('ucf', S, B32, 8, UCF_64),
    ('ucf', S, L14, 8, UCF_16),
    ('ucf', B, L14, 8, UCF_16),
    ('ucf', S, 'RN50', 8, UCF_64),
    ('ucf', S, 'RN101', 8, UCF_64),
    ('hmdb', S, B16, 8, UCF_64),
    ('hmdb', T, B16, 8, UCF_64),
    ('hmdb', S, L14, 8, UCF_16),
    ('hmdb', B, L14, 8, UCF_16),
    ('arid', S, B16, 8, ARID),
    ('arid', T, B16, 8, ARID),
    ('arid', B, B16, 8, ARID),
    ('arid', S, B32, 8, ARID),
    ('arid', S, L14, 8, ARID),
    ('arid', S, 'RN50', 8, ARID),
    ('arid', S, 'RN101', 8, ARID),
    ('egtea', S, B16, 8, UCF_64),
    ('egtea', T, B16, 8, (*UCF_64[:-1], 'random')),
    ('kinetics', S, B16, 8, (256, 8e-6, 5e-6, 50, 5, 0.2, 'random')),
]


@pytest.mark.parametrize(('file', 'encoder', 'clip', 'frames', 'row'), EV_CLIP)
def test_ev_clip_has_the_originals_numbers(file, encoder, clip, frames, row):
  config = load(ROOT / 'configs' / f'{file}.py')
  config.encoder.name, config.clip.name = encoder, clip
  config.data.num_frames = frames
  chosen = experiment.choose_variant(config)
  schema.check(chosen)
  optimizer = chosen.optimizer
  assert row == (
      chosen.batch_size,
      optimizer.learning_rate,
      optimizer.warmup_learning_rate,
      chosen.train.epochs,
      optimizer.warmup_epochs,
      optimizer.weight_decay,
      chosen.data.train_temporal,
  )
  assert chosen.data.window_frames == 32
  assert (optimizer.name, optimizer.schedule) == ('adamw', 'delayed_cosine')


def test_clips_of_left_and_right_are_not_mirrored():
  assert not load(ROOT / 'configs' / 'ssv2.py', 'ez_clip').data.flip


# zero_shot has none.
@pytest.mark.parametrize('method', ['ez_clip', 'zero_shot'])
def test_a_recipe_replaces_only_its_own_values(method):
  config = experiment.new(method)
  wanted = identity.flat(config) | getattr(base.load(method), 'RECIPE', {})
  experiment.use_recipe(config)
  assert identity.flat(config) == wanted
  assert config.is_locked


FSAR = ROOT / 'configs' / 'fsar.py'
# Weight of the video-text loss, rate, first rate of the warm-up, iterations of
# an epoch, episodes of the run and between evaluations, the rule for frames.
FSAR_KEYS = (
    'method.settings.video_text_weight',
    'optimizer.learning_rate',
    'optimizer.warmup_learning_rate',
    'optimizer.iterations_per_epoch',
    'episodes.train_episodes',
    'episodes.eval_every_episodes',
    'data.frame_rule',
)
FSAR_VALUES = {
    'hmdb51': (1.2, 1e-5, 1e-6, 700, 5000, 300, 'segment'),
    'ucf101': (1.5, 2e-6, 1e-7, 600, 3000, 100, 'segment'),
    'kinetics100': (1.5, 1e-5, 5e-6, 250, 5000, 100, 'interval'),
    'ssv2_full': (3.0, 5e-5, 1e-5, 4000, 30000, 1000, 'segment'),
    'ssv2_small': (3.0, 5e-5, 2e-5, 2000, 30000, 1000, 'segment'),
}


NAMES = [
    f'{data}_{shots}shot_{clip}'
    for data in FSAR_VALUES
    for shots in (1, 5)
    for clip in ('rn50', 'vit_b16')
]


@pytest.mark.parametrize('name', NAMES)
def test_the_recipes_of_clip_fsar_are_the_originals(name):
  config = load(FSAR, name)
  schema.check(config)
  assert config.is_locked
  found, data = identity.flat(config), re.split(r'_\dshot', name)[0]
  if name.endswith('rn50'):
    assert tuple(found[key] for key in FSAR_KEYS) == FSAR_VALUES[data]
  shots = 5 if '5shot' in name else 1
  check(found, {
      'method.name': 'clip_fsar',
      'method.settings.prototypes': 'before' if shots == 5 else 'after',
      'optimizer.weight_decay': 1e-3,
      'optimizer.epochs_count_twice': False,
      'data.query_augment': data == 'kinetics100',
      'data.class_names': f'clip_fsar/{data}',
      'episodes.way': 5,
      'episodes.shot': 1,
      'episodes.query': 5,
      'episodes.test_shot': shots,
      'episodes.per_step': found['optimizer.iterations_per_step'],
  })  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'free', 'decayed'),
    [('hmdb51_1shot_rn50', 104, 82), ('hmdb51_1shot_vit_b16', 2, 162)],
)
def test_what_decays_is_what_decays_in_the_original(name, free, decayed):
  config = load(FSAR, name)
  counts = {True: 0, False: 0}
  for path, leaf in cost_table.shapes(config, ('a', 'b')).trainable.items():
    value = np.broadcast_to(np.float32(0), leaf.shape)
    (theirs,) = checkpoint.CHECKPOINT.to_original({path: value})
    # The original's rule, on its names.
    wanted = 'bn' in theirs or 'norm' in theirs
    ours = any(re.fullmatch(p, path) for p in config.optimizer.no_decay)
    assert ours == wanted, path
    counts[ours] += 1
  assert counts == {True: free, False: decayed}
