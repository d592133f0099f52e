"""Every config makes steps: its recipe on networks of a few channels.

Recipes that differ in numbers only share one compiled step, which takes these
numbers as arguments: compiling one for each would take minutes. What is trained
of networks of full size is seen by shapes alone.
"""

import dataclasses
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.config import experiment
from evclip_jax.methods import base
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.runs import cost_table
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import devices, params, steps
from evclip_jax.training import optimizer as optim
from evclip_jax.weights import clip_names, random_init
from evclip_jax.weights import swin3d_names as encoder_convert
from tests.config.test_configs import FILES, NAMES, ROOT, load
from tests.models import small as small_clip

DATA = ('arid', 'egtea', 'ek100', 'folder', 'hmdb', 'kinetics', 'ssv2', 'ucf')
# (file, argument) of configs with the same computation and other numbers.
FAMILIES = {
    'ev_clip': [(name, 'ev_clip') for name in (*DATA, 'demo')],
    'ez_clip': [(name, 'ez_clip') for name in DATA]
    + [('ez_zero_shot', 'ez_clip'), ('ez_base_to_novel', 'ez_clip')],
    'ez_clip without drops': [('ez_few_shot', 'ez_clip')],
    'ez_clip with one template': [('demo', 'ez_clip')],
    'clip_fsar rn50': [('fsar', n) for n in NAMES if n.endswith('rn50')],
    'clip_fsar vit_b16': [('fsar', n) for n in NAMES if n.endswith('vit_b16')],
}

# The first step of some recipes has the rate 0, and what reads from leaves that
# begin at 0 moves a step later.
STEPS = 3
PIXELS, NUM_FRAMES, NUM_CLASSES = 32, 2, 6
COMMON = small_clip.TEXT | {'embed_dim': 8, 'image_resolution': PIXELS}
VIT = sizes.vit(16, 1, 16, **COMMON)
RESNET = sizes.resnet(4, (1, 1, 1, 1), **COMMON)
ENCODER = VideoEncoderSizes(8, (1, 1, 1, 1), (1, 1, 1, 1), drop_path=0.5)


def small(file, argument):
  """The config of a file with small networks in mind."""
  loaded = load(ROOT / 'configs' / f'{file}.py', argument)
  config = experiment.choose_variant(loaded)
  config.data.num_frames = NUM_FRAMES
  own = config.method.settings
  if config.method.name == 'ev_clip':
    # The mask wants 224 pixels.
    own.prompt = 'context'
  if config.method.name == 'clip_fsar':
    own.hidden = 8
    # Training has one shot: nothing is averaged.
    own.prototypes = 'after'
    # Seen in tests/methods.
    own.query_colours = False
  return config


def structure(config):
  """What must be the same for two configs to share a compiled step."""
  settings = experiment.settings(config)
  if config.method.name == 'clip_fsar':
    settings = dataclasses.replace(settings, video_text_weight=1.0)
  return settings, optimizer_values(config), episode_shape(config)


def optimizer_values(config):
  """What `make_optimizer` reads, but the decay, which is an argument."""
  names = 'name', 'b1', 'b2', 'eps', 'no_decay', 'clip_norm'
  return {name: config.optimizer[name] for name in names}


def episode_shape(config):
  return config.episodes.way, config.episodes.shot, config.episodes.query


def make_method(config, settings):
  clip = Clip(RESNET if config.clip.name.startswith('RN') else VIT)
  module = base.load(config.method.name)
  way, shot, _ = episode_shape(config)
  encoder = VideoEncoder(ENCODER) if module.uses_encoder(settings) else None
  return module.make(
      settings, base.Backbones(clip, encoder, NUM_FRAMES, way * shot), ()
  )


def weights(config, method):
  """(trainable, statistics, frozen) of random networks, on the host."""
  clip = RESNET if config.clip.name.startswith('RN') else VIT
  flat = random_init.draw(clip_names.shapes(clip), 0)
  tree = {'clip': unflatten_dict(flat, sep='/')}
  if config.method.name == 'ev_clip':
    shapes = encoder_convert.shapes(ENCODER)
    tree['encoder'] = unflatten_dict(random_init.draw(shapes, 1), sep='/')
  tree['method'] = jax.device_get(method.init(steps.init_rng(config.seed)))
  trainable, rest = params.split(tree, method.trainable)
  return (trainable, *params.split(rest, method.statistics))


def numbers(config, schedule):
  """The arguments of a family's step."""
  own = config.method.settings
  return {
      'rates': schedule(jnp.arange(STEPS)),
      'decay': jnp.float32(config.optimizer.weight_decay),
      'text_weight': jnp.float32(own.get('video_text_weight', 0)),
  }


def make_step(config, mesh, shardings):
  """(numbers, state, frozen, classes, batch) -> (state, metrics)."""

  @jax.jit
  def run(given, *arguments):
    settings = experiment.settings(config)
    method = make_method(config, settings)
    if config.method.name == 'clip_fsar':
      # Behind the method's own checks, which cannot see into an argument.
      object.__setattr__(settings, 'video_text_weight', given['text_weight'])
    schedule = given['rates'].__getitem__
    values = types.SimpleNamespace(
        **optimizer_values(config), weight_decay=given['decay']
    )
    optimizer = optim.make_optimizer(values, schedule)
    return steps.make_train_step(
        method, optimizer, schedule, mesh, shardings, config.seed
    )(*arguments)

  return run


def make_batch(config):
  """(classes or tokens, batch) of noise."""
  if config.method.name == 'ez_clip':
    templates = range(len(config.method.settings.templates))
    texts = [small_clip.tokens(NUM_CLASSES, VIT, seed) for seed in templates]
    classes = np.stack(texts)
  else:
    shape = (1, NUM_CLASSES, VIT.embed_dim)
    classes = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
  end = (NUM_FRAMES, PIXELS, NUM_CLASSES, 0)
  if config.method.name == 'clip_fsar':
    return classes, batch_lib.synthetic(1, *end, episode=episode_shape(config))
  return classes, batch_lib.synthetic(4, *end)


@pytest.fixture
def short_random_numbers():
  """The usual ones of JAX take longest to compile of all."""
  with jax.default_prng_impl('unsafe_rbg'):
    yield


@pytest.mark.usefixtures('short_random_numbers')
@pytest.mark.parametrize(
    'family',
    [
        # Their towers step in tests/methods, other numbers in 'ez_clip'.
        pytest.param(f, marks=pytest.mark.slow)
        if f.endswith(('rn50', 'drops', 'template'))
        else f
        for f in FAMILIES
    ],
)
def test_every_recipe_makes_steps(family):
  configs = {case: small(*case) for case in FAMILIES[family]}
  first = next(iter(configs.values()))
  method = make_method(first, experiment.settings(first))
  trainable, statistics, frozen = weights(first, method)
  mesh = devices.make_mesh(1)
  shardings = devices.frozen_shardings(mesh, frozen, shard=False)
  placed = jax.device_put(frozen, shardings)
  run = make_step(first, mesh, shardings)
  classes, batch = make_batch(first)

  for case, config in configs.items():
    assert structure(config) == structure(first), case
    schedule = optim.make_schedule(config.optimizer, config.train.epochs, 1)
    optimizer = optim.make_optimizer(config.optimizer, schedule)
    given = numbers(config, schedule)
    rates = np.asarray(given['rates'])
    assert np.all(rates[1:] > 0), case
    # Placed like what a step returns, or the second one compiles again.
    now = devices.put(mesh, steps.new_state(trainable, optimizer, statistics))
    for i in range(STEPS):
      now, metrics = run(given, now, placed, classes, batch)
      metrics = jax.device_get(metrics)
      wrong = [k for k, ok in metrics['finite'].items() if not ok]
      assert not wrong, case
      assert metrics['learning_rate'] == rates[i], case
      if i == 0:
        check_first_step(config, trainable, now.trainable, rates[0])
      if config.method.name == 'clip_fsar':
        weight = config.method.settings.video_text_weight
        total = metrics['few_shot'] + weight * metrics['video_text']
        assert metrics['loss'] == pytest.approx(total, rel=1e-5), case
    for path, before in (trainable | statistics).items():
      assert not np.array_equal(now.weights[path], before), (case, path)
  for path, before in frozen.items():
    np.testing.assert_array_equal(placed[path], before, err_msg=path)


def check_first_step(config, before, after, rate):
  """Adam's first step is as long as the rate, whatever the gradient."""
  longest = 0
  for path, old in before.items():
    moves = np.abs(after[path] - old)
    decay = config.optimizer.weight_decay * np.abs(old)
    rounding = np.spacing(np.abs(old)) + 1e-12
    assert np.all(moves <= rate * (1.001 + decay) + rounding), path
    longest = max(longest, moves.max())
  assert longest >= 0.99 * rate


def test_no_config_is_missing():
  found = {file for cases in FAMILIES.values() for file, _ in cases}
  assert found | {'compare'} == {path.stem for path in FILES}


CASES = [case for cases in FAMILIES.values() for case in cases]
CASES += [('demo', 'clip_fsar'), ('folder', 'clip_fsar'), ('ucf', 'zero_shot')]
CASES += [('compare', 'demo'), ('compare', 'ssv2')]
_SHAPES = {}


def shapes_of(config):
  # The first of what `structure` returns: settings without mere numbers.
  settings, *_ = structure(config)
  names = config.method.name, config.clip.name, config.encoder.name
  key = (*names, config.data.num_frames, repr(settings))
  if key not in _SHAPES:
    _SHAPES[key] = cost_table.shapes(config, ('a', 'b'))
  return _SHAPES[key]


def variants(file, argument):
  """The config of a file, and those it compares."""
  config = experiment.choose_variant(
      load(ROOT / 'configs' / f'{file}.py', argument)
  )
  yield config
  yield from experiment.rows(config).values()


@pytest.mark.usefixtures('packaged_sizes')
@pytest.mark.parametrize(('file', 'argument'), CASES)
def test_the_trained_leaves_are_there(file, argument):
  for config in variants(file, argument):
    found = shapes_of(config)
    settings, name = experiment.settings(config), config.method.name
    assert bool(found.trainable) == base.load(name).trains(settings)
    # CLIP's text tower trains in one method, the video trunk nowhere.
    towers = ('clip/text/', 'clip/token_embedding', 'encoder/')
    towers = towers[2:] if name == 'vifi_clip' else towers
    assert not [path for path in found.trainable if path.startswith(towers)]
    patterns = config.optimizer.no_decay
    kept = [
        p for p in found.trainable if any(re.fullmatch(x, p) for x in patterns)
    ]
    assert bool(kept) == bool(patterns)


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
  assert params.count(shapes_of(config).trainable) == trained
