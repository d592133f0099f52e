"""Optimizer and schedule against the original's numbers."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evclip_jax import optim, schedules


@pytest.mark.parametrize(
    ('args', 'expected'),
    [
        (
            (2e-4, 400, 1, 1e-5),
            {
                0: 1e-5,
                1: 2e-4,
                2: 1.9999691576e-4,
                3: 1.9998766325e-4,
                4: 1.9997224302e-4,
                200: 1.0078539009e-4,
                399: 1.2336751834e-8,
            },
        ),
        (
            (8e-6, 50, 5, 5e-6),
            {
                0: 5e-6,
                4: 5e-6,
                5: 8e-6,
                6: 7.9921069137e-6,
                25: 5.2360679775e-6,
                49: 2.8089405645e-7,
            },
        ),
    ],
)
def test_delayed_cosine_is_the_originals(args, expected):
  schedule = schedules.delayed_cosine(*args, steps_per_epoch=7)
  for epoch, rate in expected.items():
    for step in (7 * epoch, 7 * epoch + 6):
      # float32 loses digits of 1 + cos near pi.
      np.testing.assert_allclose(schedule(step), rate, rtol=1e-5, atol=2e-11)


def test_adamw_is_the_originals():
  optimizer = optim.adamw(2e-4, 0.9, 0.999, 1e-8, 0.05)
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
    updates, state = optimizer.update(
        {'p': jnp.array(gradient)}, state, params
    )
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params['p'], after, rtol=2e-7)
