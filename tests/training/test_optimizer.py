"""Optimizer and schedule against the original's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evclip_jax.config import schema
from evclip_jax.training import optimizer as optim


def make(kind, epochs, steps_per_epoch, **values):
  """A schedule, of an optimizer with these values."""
  config = schema.base().optimizer
  config.update(schedule=kind, **values)
  return optim.make_schedule(config, epochs, steps_per_epoch)


@pytest.mark.parametrize(
    ('args', 'expected'),
    [
        ((2e-4, 400, 1, 1e-5),
         {0: 1e-5, 1: 2e-4, 2: 1.9999691576e-4, 3: 1.9998766325e-4,
          4: 1.9997224302e-4, 200: 1.0078539009e-4, 399: 1.2336751834e-8}),
        ((8e-6, 50, 5, 5e-6),
         {0: 5e-6, 4: 5e-6, 5: 8e-6, 6: 7.9921069137e-6, 25: 5.2360679775e-6,
          49: 2.8089405645e-7}),
    ],
)  # fmt: skip
def test_delayed_cosine_is_the_originals(args, expected):
  rate, epochs, warmup, low = args
  schedule = make(
      'delayed_cosine', epochs, 7, learning_rate=rate, warmup_epochs=warmup,
      warmup_learning_rate=low,
  )  # fmt: skip
  for epoch, rate in expected.items():
    for step in (7 * epoch, 7 * epoch + 6):
      # float32 loses digits of 1 + cos near pi.
      np.testing.assert_allclose(schedule(step), rate, rtol=1e-5, atol=2e-11)


def test_adamw_is_the_originals():
  optimizer = optim.make_optimizer(schema.base().optimizer, 2e-4)
  params = {'p': jnp.array([1.0, -2.0])}
  state = optimizer.init(params)
  expected = [
      (0.9997900000040001, -1.999780000002),
      (0.999593566180955, -1.9998588401682176),
      (0.9994394547372506, -1.9999152436140886),
  ]
  for gradient, after in zip(
      [(0.5, -1.0), (0.25, 3.0), (0.0, 0.0)], expected, strict=True
  ):
    updates, state = optimizer.update({'p': jnp.array(gradient)}, state, params)
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params['p'], after, rtol=2e-7)


def ez_rates(per_epoch, every_steps):
  return make(
      'warmup_cosine', 150, per_epoch, learning_rate=1e-4, warmup_epochs=5,
      rate_every_steps=every_steps,
  )  # fmt: skip


@pytest.mark.parametrize('every_steps', [1, 10])
def test_warmup_cosine_is_the_originals(every_steps):
  # Section 5 of EZ-CLIP's specification: 150 epochs, of which 5 warm-up.
  per_epoch = 100
  schedule = ez_rates(per_epoch, every_steps)
  expected = {
      0: 0, 0.09: 1.8e-6, 1: 2e-5, 2.5: 5e-5, 5: 1e-4, 5.09: 9.99999049e-5,
      27.5: 9.41756022e-5, 77.5: 5e-5, 100: 2.65795780e-5, 149: 1.17350991e-8,
  }  # fmt: skip
  for epochs, rate in expected.items():
    step = round(epochs * per_epoch)
    # The original sets the rate at the steps 0, 9, 19, ... of an epoch.
    if every_steps == 1 or step % per_epoch in (0, 9):
      np.testing.assert_allclose(schedule(step), rate, rtol=1e-5, atol=1e-11)


def test_the_rate_stands_still_between_every_tenth_step():
  schedule = ez_rates(25, 10)
  found = np.asarray(schedule(jnp.arange(25)))
  assert not found[:9].any()
  np.testing.assert_allclose(found[9:19], 2e-5 * 9 / 25, rtol=1e-6)
  np.testing.assert_allclose(found[19:], 2e-5 * 19 / 25, rtol=1e-6)
  # Fewer than ten steps: one rate for the epoch.
  short = ez_rates(7, 10)
  np.testing.assert_allclose(short(jnp.arange(7, 14)), 2e-5, rtol=1e-6)


def fsar_rates(rate, low, per_epoch, stairs=(0, 4, 6), twice=True, each=1):
  return make(
      'relative_steps', 10, 1, learning_rate=rate, warmup_learning_rate=low,
      iterations_per_epoch=per_epoch, stair_epochs=stairs,
      stair_rates=(1.0, 0.1, 0.01), epochs_count_twice=twice,
      iterations_per_step=each,
  )  # fmt: skip


KINETICS = 1e-5, 5e-6, 250, (0, 6, 9)


@pytest.mark.parametrize(
    ('recipe', 'expected'),
    [
        ((1e-5, 1e-6, 700),
         {0: 1e-6, 700: 1e-5, 1399: 1e-5, 1400: 1e-6, 2100: 1e-7}),
        (KINETICS, {0: 5e-6, 125: 7.5e-6, 249: 9.98e-6, 750: 1e-6, 1250: 1e-7}),
        ((5e-5, 1e-5, 4000),
         {2000: 3e-5, 7999: 5e-5, 8000: 5e-6, 12000: 5e-7, 29999: 5e-7}),
        ((2e-6, 1e-7, 600), {300: 1.05e-6, 1200: 2e-7, 1800: 2e-8}),
        # Counted once, the stairs come where the table says.
        ((1e-5, 1e-6, 700, (0, 4, 6), False),
         {2799: 1e-5, 2800: 1e-6, 4200: 1e-7}),
    ],
)  # fmt: skip
def test_relative_steps_are_the_originals(recipe, expected):
  schedule = jax.jit(fsar_rates(*recipe))
  for iteration, rate in expected.items():
    np.testing.assert_allclose(schedule(iteration), rate, rtol=1e-5)


def test_a_step_of_four_iterations_has_the_rate_of_the_last():
  each, fourth = (fsar_rates(*KINETICS, each=each) for each in (1, 4))
  for step in (0, 30, 61, 62, 186, 187, 312):
    np.testing.assert_allclose(fourth(step), each(4 * step + 3), rtol=1e-6)


def test_adam_with_l2_is_torchs():
  config = schema.base().optimizer
  config.update(name='adam_l2', weight_decay=0.5, no_decay=(r'.*/norm',))
  optimizer = optim.make_optimizer(config, 0.1)
  params = {'a': jnp.array([1.0, -2.0]), 'b/norm': jnp.array([1.0])}
  grads = {'a': jnp.array([0.5, 1.0]), 'b/norm': jnp.array([0.25])}
  state = optimizer.init(params)
  expected = {k: np.asarray(v, np.float64) for k, v in params.items()}
  m = {k: np.zeros_like(v) for k, v in expected.items()}
  v = {k: np.zeros_like(x) for k, x in expected.items()}
  for t in range(1, 4):
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    for k, p in expected.items():
      g = np.asarray(grads[k]) + (0.5 * p if k == 'a' else 0)
      m[k] = 0.9 * m[k] + 0.1 * g
      v[k] = 0.999 * v[k] + 0.001 * g**2
      step = m[k] / (1 - 0.9**t)
      expected[k] = p - 0.1 * step / (np.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
  for k in params:
    np.testing.assert_allclose(params[k], expected[k], rtol=1e-5)


@pytest.mark.parametrize(
    ('schedule', 'epochs', 'shown'),
    [
        ('warmup_cosine', 3, 'warmup_epochs=5 becomes 2'),
        ('delayed_cosine', 3, 'warmup_epochs=5 becomes 3'),
        ('delayed_cosine', 5, ''),
        ('relative_steps', 1, 'warmup_epochs=5 becomes 1'),
    ],
)
def test_a_long_warmup_shrinks_with_a_note(schedule, epochs, shown, capsys):
  config = schema.base().optimizer
  config.schedule, config.warmup_epochs = schedule, 5
  rates = optim.make_schedule(config, epochs, 2)(jnp.arange(2 * epochs))
  assert np.isfinite(rates).all()
  optim.note_warmup(config, epochs)
  assert shown in capsys.readouterr().out
