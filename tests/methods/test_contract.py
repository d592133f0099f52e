"""What every method in `evclip_jax/methods` must do."""

import dataclasses
import functools
import importlib
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from evclip_jax.config import experiment, schema
from evclip_jax.methods import base, linear_probe
from evclip_jax.training import devices, steps
from evclip_jax.training.params import merge, split
from tests.methods import tiny

ROWS = 4
NUMBERS = ('loss', 'gradient_norm')
# Every method, and EV-CLIP on another trunk.
CASES = [*base.names(), 'ev_clip/videoprism']
TRUNKS = {
    'video_text': tiny.VIDEO_TEXT,
    'attention_probe': tiny.VIDEOPRISM,
    'ev_clip/videoprism': tiny.VIDEOPRISM,
}
KEYS = {name: jax.random.key(i) for i, name in enumerate(steps.STREAMS)}


@dataclasses.dataclass(frozen=True, eq=False)
class Built:
  """A method with default settings and random weights."""

  name: str
  # Side of a second square for the trunk; 0 = none.
  trunk_pixels: int
  method: base.Method
  trainable: dict
  frozen: dict
  bank: jax.Array
  # What the loss gets: the bank, or the tokens where texts train.
  classes: jax.Array
  texts: list

  def batch(self, rows, seed=0):
    return tiny.batch(rows, seed, self.method.episodic, self.trunk_pixels)

  def score(self, video, rngs=None):
    """Returns the logits of a video in uint8, in evaluation."""
    params = merge(self.frozen, self.trainable)
    pixels = self.method.pixels(video, None)
    features = self.method.video(params, pixels, rngs, False)
    return self.method.score(params, features, self.bank, self.batch(ROWS))

  @functools.cached_property
  def logits(self):
    """Returns `score`, compiled."""
    return jax.jit(self.score)


@functools.cache
def built(case: str) -> Built:
  name = case.partition('/')[0]
  module = base.load(name)
  settings = module.Settings()
  names = tuple(f'class {i}' for i in range(tiny.NUM_CLASSES))
  trunk = TRUNKS.get(case, tiny.ENCODER)
  networks = tiny.backbones(module.uses_encoder(settings), trunk)
  method = module.make(settings, networks, names)
  # On the device, as in a session: traced indices need it.
  params = jax.device_put(tiny.params(module.uses_encoder(settings), trunk))
  own = method.init(jax.random.key(0))
  if own:
    params['method'] = own
  texts = method.class_texts(list(names))
  tokens = tiny.tokens(len(texts))
  bank = jax.jit(method.text)(params, tokens)
  classes = tokens if method.text_trains else bank
  halves = split(params, method.trainable)
  side = trunk.resolution if module.uses_clip(settings) else None
  return Built(name, side or 0, method, *halves, bank, classes, texts)


@pytest.fixture(params=CASES)
def case(request):
  return built(request.param)


@pytest.fixture
def trains(case):
  if not case.method.trainable:
    pytest.skip('nothing trains')
  return case


def test_the_module_says_what_it_is(case):
  settings = base.load(case.name).Settings()
  for name, value in vars(settings).items():
    assert isinstance(value, (str, int, float, bool, tuple)), name
  assert base.load(case.name).trains(settings) == bool(case.trainable)
  assert not [path for path in case.frozen if path.startswith('method/')]
  # Its recipe has keys of the schema.
  config = experiment.new(case.name)
  experiment.use_recipe(config)
  schema.check(experiment.choose_variant(config))


def test_class_texts_are_one_list_per_template(case):
  for texts in case.texts:
    assert len(texts) == tiny.NUM_CLASSES
    assert all(f'class {i}' in text for i, text in enumerate(texts))
  assert case.bank.shape[:2] == (len(case.texts), tiny.NUM_CLASSES)


def test_pixels_are_normalised_floats(case):
  video = case.batch(2)['video']
  plain = case.method.pixels(video, None)
  assert 1 < float(jnp.abs(plain).max()) < 3
  pixels = jax.jit(case.method.pixels)
  drawn = pixels(video, KEYS['pixels'])
  np.testing.assert_array_equal(drawn, pixels(video, KEYS['pixels']))
  for found in (plain, drawn):
    assert found.shape == video.shape
    assert found.dtype == jnp.float32
    assert np.isfinite(found).all()


def test_soft_targets_are_what_the_loss_takes(case):
  method = case.method
  if method.targets is None:
    pytest.skip('labels are the targets')
  batch = case.batch(ROWS)
  target = method.targets(batch['label'], tiny.NUM_CLASSES, KEYS['pixels'])
  assert target.shape == (ROWS, tiny.NUM_CLASSES)
  np.testing.assert_allclose(target.sum(1), 1, rtol=1e-5)
  assert target.min() >= 0
  one_hot = jax.nn.one_hot(batch['label'], tiny.NUM_CLASSES)

  @jax.jit
  def run(params):
    features = _features(case, params, batch)
    return [
        method.loss(params, features, case.classes, batch | soft, None)[0]
        for soft in ({}, {'target': one_hot}, {'target': target})
    ]

  values = list(map(float, run(merge(case.frozen, case.trainable))))
  assert values[0] == pytest.approx(values[1], rel=1e-5)
  assert values[2] != values[0]


def test_logits_are_float32_per_clip_and_class(case):
  logits = case.logits(case.batch(ROWS)['video'])
  if case.method.episodic:
    assert logits.shape == (ROWS, tiny.WAY, tiny.WAY)
  else:
    assert logits.shape == (ROWS, tiny.NUM_CLASSES)
  assert logits.dtype == jnp.float32
  assert np.isfinite(logits).all()


def test_a_clip_changes_only_its_own_logits(case):
  video = case.batch(ROWS)['video']
  before = case.logits(video)
  video = video.copy()
  # Of an episode, the first query, which follows the support.
  clip = (1, tiny.WAY) if case.method.episodic else 1
  video[clip] = 255 - video[clip]
  after = case.logits(video)
  row = (1, 0) if case.method.episodic else 1
  assert float(jnp.abs(after[row] - before[row]).max()) > 1e-3
  after = after.at[row].set(before[row])
  np.testing.assert_allclose(after, before, atol=1e-4)


def test_clips_alone_have_the_features_they_have_in_episodes(case):
  if not case.method.episodic:
    pytest.skip('no episodes')
  params = merge(case.frozen, case.trainable)
  pixels = case.method.pixels(case.batch(2)['video'], None)
  features = jax.jit(case.method.video, static_argnums=(2, 3))
  together = features(params, pixels, None, False)
  clips = pixels.reshape(-1, *pixels.shape[2:])
  alone = features(params, clips, None, False)
  for name in ('frames', 'clip'):
    shape = getattr(together, name).shape
    np.testing.assert_allclose(
        getattr(alone, name).reshape(shape), getattr(together, name), atol=1e-5
    )


def test_features_of_frozen_networks_stand_in_for_clips(case):
  method = case.method
  if method.frozen is None:
    pytest.skip('what trains sees the clips')
  video = case.batch(2)['video']
  other = np.stack([video[0], 255 - video[1]])
  # Clips are not mixed, since a bank holds every clip alone.
  drawn = [method.pixels(x, KEYS['pixels'])[0] for x in (video, other)]
  np.testing.assert_array_equal(*drawn)

  @jax.jit
  def both(params):
    pixels = method.pixels(video, None)
    kept = method.frozen(params, pixels, None, True)
    return [method.video(params, x, None, True) for x in (kept, pixels)]

  kept, seen = both(merge(case.frozen, case.trainable))
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5),
               kept, seen)  # fmt: skip


def test_evaluation_ignores_the_random_keys(case):
  video = case.batch(ROWS)['video']

  def program(rngs):
    jaxpr = jax.make_jaxpr(lambda video: case.score(video, rngs))(video)
    return re.sub('0x[0-9a-f]+', '', str(jaxpr))  # addresses of functions

  assert program(KEYS) == program(None)


def _features(case, params, batch):
  pixels = case.method.pixels(batch['video'], None)
  return case.method.video(params, pixels, None, True)


def test_padding_rows_do_not_change_the_loss(case):
  @jax.jit
  def loss(batch):
    params = merge(case.frozen, case.trainable)
    features = _features(case, params, batch)
    return case.method.loss(params, features, case.classes, batch, None)

  batch = case.batch(ROWS)
  batch['mask'][2:] = 0
  total, parts = loss(batch)
  assert total.shape == ()
  assert all(v.shape == () for v in parts.values())
  batch['video'][2:] = 0
  batch['label'][2:] = 0
  again, _ = loss(batch)
  np.testing.assert_allclose(again, total, rtol=1e-5)


@functools.cache
def train(case, num_devices):
  """Trains 3 steps; returns (metrics per step, state, frozen leaves)."""
  mesh = devices.make_mesh(num_devices)
  shardings = devices.frozen_shardings(mesh, case.frozen, shard=False)
  frozen = jax.device_put(case.frozen, shardings)
  # Without weight decay, so that only a gradient can move a leaf.
  optimizer = optax.adam(1e-3)
  run = steps.make_train_step(
      case.method, optimizer, lambda _: 1e-3, mesh, shardings, seed=0
  )
  copies = jax.tree.map(jnp.array, case.trainable)
  current = jax.device_put(
      steps.new_state(copies, optimizer), devices.replicated(mesh)
  )
  found = []
  for i in range(3):
    batch = jax.device_put(case.batch(ROWS, seed=i), devices.batched(mesh))
    current, metrics = run(current, frozen, case.classes, batch)
    found.append({name: float(metrics[name]) for name in NUMBERS})
  return found, current, frozen


def test_three_steps_move_what_trains_and_nothing_else(trains):
  _, current, frozen = train(trains, 1)
  dead = trains.method.dead
  for path, before in trains.trainable.items():
    still = np.array_equal(before, current.trainable[path])
    assert still == any(re.fullmatch(p, path) for p in dead), path
  for path, before in trains.frozen.items():
    np.testing.assert_array_equal(before, frozen[path])


# One method of each kind of loss: by clip, mixed, by pairs, by episode.
@pytest.mark.parametrize(
    'name', ['ev_clip', 'vifi_clip', 'ez_clip', 'clip_fsar']
)
def test_one_device_and_four_agree(name):
  one, four = (train(built(name), n)[0][0] for n in (1, 4))
  assert four['loss'] == pytest.approx(one['loss'], rel=1e-5)
  # Loosely, since a minimum gives its gradient to one of two pixels that are
  # equal after rounding, which depends on the number of clips on a device.
  norms = one['gradient_norm'], four['gradient_norm']
  assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_a_file_of_a_method_is_all_that_a_row_needs(tmp_path, monkeypatch):
  (tmp_path / 'own_probe.py').write_bytes(
      pathlib.Path(linear_probe.__file__).read_bytes()
  )
  package = importlib.import_module('evclip_jax.methods')
  monkeypatch.setattr(package, '__path__', [*package.__path__, str(tmp_path)])
  config = experiment.new('zero_shot')
  config.compare = ({'method': 'zero_shot'}, {'method': 'own_probe'})
  row = experiment.rows(config)['own_probe']
  settings, networks = experiment.settings(row), tiny.backbones(False)
  method = base.load('own_probe').make(settings, networks, ('a', 'b'))
  assert method.init(jax.random.key(0))['head']['kernel'].shape[1] == 2


def test_init_is_a_function_of_its_key(trains):
  first = flatten_dict(trains.method.init(jax.random.key(3)), sep='/')
  second = flatten_dict(trains.method.init(jax.random.key(3)), sep='/')
  assert first.keys() == second.keys()
  for path, value in first.items():
    np.testing.assert_array_equal(value, second[path])
    assert value.dtype == jnp.float32
