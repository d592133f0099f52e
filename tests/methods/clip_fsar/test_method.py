"""CLIP-FSAR. Numbers are from the original: the spec's section 12.4."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.methods.clip_fsar import checkpoint
from evclip_jax.methods.clip_fsar import method as clip_fsar
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import vit
from evclip_jax.training import batch as batch_lib
from evclip_jax.training import devices as sharding
from evclip_jax.training.params import split
from tests.models import small

D, T = 16, 8
FIXTURE = clip_fsar.Settings(hidden=32, backbone='frozen')
TENSORS = (
    ('0.fn.to_q.weight', (D, D)),
    ('0.fn.to_k.weight', (D, D)),
    ('0.fn.to_v.weight', (D, D)),
    ('0.fn.to_out.0.weight', (D, D)),
    ('0.fn.to_out.0.bias', (D,)),
    ('1.net.0.weight', (32, D)),
    ('1.net.0.bias', (32,)),
    ('1.net.3.weight', (D, 32)),
    ('1.net.3.bias', (D,)),
)


def fill(shape, size, step, phase):
  """Returns the fixture's numbers."""
  n = np.arange(math.prod(shape))
  return (size * np.sin(step * n + phase)).reshape(shape).astype(np.float32)


def fixture(shots):
  """Returns (params, features, classes, batch) of the fixture."""
  state = {
      f'context2.layers.0.{name}': fill(shape, 0.3, 0.7, 0.5 * k)
      for k, (name, shape) in enumerate(TENSORS, start=1)
  }
  n = np.arange(D)
  state |= {
      'context2.layers.0.0.norm.weight': 1 + 0.1 * np.sin(n),
      'context2.layers.0.0.norm.bias': 0.05 * np.cos(n),
      'scale': np.array([1.7]),
  }
  flat = checkpoint.CHECKPOINT.from_original(state).flat
  params = unflatten_dict(flat, sep='/')
  support = fill((5 * shots, T, D), 1, 0.31, 0.2)
  # The fixture has shot after shot, an episode has class after class.
  support = support.reshape(shots, 5, T, D).swapaxes(0, 1).reshape(-1, T, D)
  queries = fill((3, T, D), 1, 0.23, 0.9)
  frames = np.concatenate([support, queries])[None]
  batch = {
      'label': np.array([[4, 0, 2]]),
      'way': np.array([[6, 1, 3, 0, 4]]),
      'mask': np.ones(1, np.float32),
  }
  features = base.VideoFeatures(frames.mean(2), frames)
  return params, features, fill((1, 7, D), 1, 0.9, 0.3), batch


def made(settings, num_frames=T, width=D):
  clip = Clip(vit(64, 1, 32, width, 64, text_layers=1))
  return clip_fsar.make(settings, base.Backbones(clip, None, num_frames), ())


ROWS = {
    'one shot': (
        {},
        1,
        [
            [-0.9225991, -0.9197471, -0.7440886, -0.9697268, -0.8730016],
            [-0.8801309, -0.9496445, -1.0197768, -0.8567745, -0.8995285],
            [-0.9827141, -1.0837450, -0.7990886, -0.8681273, -1.1308945],
        ],
    ),
    'one direction': (
        {'directions': 'one'},
        1,
        [
            [0.2494238, 0.0663429, 0.2945451, 0.2645443, 0.0922077],
            [0.1424602, 0.2470962, 0.2539413, 0.1160489, 0.2474309],
            [0.1892402, 0.2380107, 0.1887990, 0.2105327, 0.2291663],
        ],
    ),
    'merged after': (
        {},
        5,
        [
            [0.9481243, 0.6067455, 0.9378072, 0.9810924, 0.8259389],
            [0.4715420, 0.6725922, 0.5186377, 0.6787533, 0.7357135],
            [0.6687176, 0.6733722, 0.6999557, 0.7713217, 0.7519926],
        ],
    ),
    'merged before': (
        {'prototypes': 'before'},
        5,
        [
            [0.8040523, 0.6211907, 0.8612356, 0.9329262, 0.8038547],
            [0.3852668, 0.5513621, 0.5215363, 0.6583517, 0.6153960],
            [0.5366044, 0.6039945, 0.6809494, 0.7217558, 0.6699798],
        ],
    ),
    'text': (
        {'evaluate': 'text'},
        1,
        [
            [0.2301795, 0.1362875, 0.2495443, 0.2207542, 0.1632345],
            [0.2131511, 0.2390029, 0.1790074, 0.1707133, 0.1981254],
            [0.1546145, 0.2508988, 0.1625331, 0.1930650, 0.2388885],
        ],
    ),
    'combined': (
        {'evaluate': 'combined'},
        1,
        [
            [0.2268618, 0.1415556, 0.2445138, 0.2183552, 0.1666102],
            [0.2119061, 0.2346984, 0.1807800, 0.1735769, 0.1983652],
            [0.1586243, 0.2449316, 0.1662988, 0.1939991, 0.2342155],
        ],
    ),
    'half and half': (
        {'evaluate': 'combined', 'text_exponent': 0.5},
        1,
        [
            [0.2140623, 0.1647450, 0.2253856, 0.2090173, 0.1808253],
            [0.2069984, 0.2182418, 0.1880478, 0.1855201, 0.1993273],
            [0.1757306, 0.2224484, 0.1822542, 0.1977809, 0.2164202],
        ],
    ),
}


@pytest.mark.parametrize('shots', [1, 5])
def test_scores_are_the_originals(shots):
  rows = {name: row for name, row in ROWS.items() if row[1] == shots}
  methods = {
      name: made(dataclasses.replace(FIXTURE, **changes))
      for name, (changes, _, _) in rows.items()
  }
  # One program shares what they have in common.
  found = jax.jit(
      lambda *given: {n: m.score(*given)[0] for n, m in methods.items()}
  )(*fixture(shots))
  for name, (changes, _, expected) in rows.items():
    scores = jnp.exp(found[name]) if 'evaluate' in changes else found[name]
    np.testing.assert_allclose(scores, expected, atol=5e-6, err_msg=name)


@pytest.mark.parametrize('metric', ['bimhm', 'mean'])
@pytest.mark.parametrize('prototypes', ['before', 'after', 'none'])
def test_every_metric_prefers_what_is_alike(metric, prototypes):
  changes = {'metric': metric, 'prototypes': prototypes}
  method = made(
      dataclasses.replace(FIXTURE, depth=0, text_token=False, **changes)
  )
  _, _, classes, batch = fixture(2)
  rng = np.random.default_rng(0)
  support = rng.normal(size=(5, 1, T, D)).astype(np.float32)
  both = support + 0.01 * rng.normal(size=(5, 2, T, D)).astype(np.float32)
  queries = support[[4, 0, 2], 0]
  frames = np.concatenate([both.reshape(-1, T, D), queries])[None]
  features = base.VideoFeatures(frames.mean(2), frames)
  params = {'method': method.init(jax.random.key(0))}
  logits = method.score(params, features, classes, batch)
  np.testing.assert_array_equal(logits.argmax(-1), batch['label'])


@pytest.fixture(scope='module')
def resnet():
  """Returns the method on a ResNet, and its parameters."""
  clip, params = small.model(small.RESNET)
  networks = base.Backbones(clip, None, 2, num_support=2)
  settings = clip_fsar.Settings(hidden=8, prototypes='before')
  method = clip_fsar.make(settings, networks, ())
  return method, {'clip': params, 'method': method.init(jax.random.key(0))}


def test_a_resnet_sees_support_and_queries_apart(resnet):
  method, params = resnet
  video = batch_lib.synthetic(2, 2, 32, 3, 0, episode=(2, 1, 1))['video']
  run = jax.jit(method.video, static_argnums=(2, 3))
  pixels = jnp.asarray(method.pixels(video, None))
  before = run(params, pixels, None, True)
  # Other queries and another episode do not affect the support.
  changed = pixels.at[0, 2:].multiply(-1).at[1].multiply(-1)
  after = run(params, changed, None, True)
  np.testing.assert_allclose(
      after.frames[0, :2], before.frames[0, :2], rtol=1e-4, atol=1e-4
  )
  # Clips of the support share statistics, so they affect each other.
  changed = pixels.at[0, 1].multiply(-1)
  after = run(params, changed, None, True)
  assert np.abs(after.frames[0, 0] - before.frames[0, 0]).max() > 1e-2
  still = run(params, pixels, None, False)
  assert not still.statistics
  trainable, rest = split(params, method.trainable)
  statistics, _ = split(rest, method.statistics)
  assert before.statistics.keys() == statistics.keys()
  assert not any(p.endswith(('/mean', '/var')) for p in trainable)
  for path, value in before.statistics.items():
    assert not np.array_equal(value, statistics[path]), path


def test_running_statistics_do_not_know_the_number_of_devices(resnet):
  method, params = resnet
  episodes = batch_lib.synthetic(4, 2, 32, 3, 0, episode=(2, 1, 1))
  run = jax.jit(
      lambda params, video: method.video(
          params, method.pixels(video, None), None, True
      )
  )
  found = []
  for devices in (1, 4):
    mesh = sharding.make_mesh(devices)
    video = jax.device_put(episodes['video'], sharding.batched(mesh))
    placed = jax.device_put(params, sharding.replicated(mesh))
    found.append(jax.device_get(run(placed, video).statistics))
  one, four = found
  for path, value in one.items():
    np.testing.assert_allclose(
        four[path], value, rtol=1e-4, atol=1e-5, err_msg=path
    )
