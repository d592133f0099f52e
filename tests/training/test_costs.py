"""A measured step: which calls its program serves, and which count."""

import jax
import numpy as np
import pytest

from evclip_jax.training import costs, devices


def batch(rows, name='video'):
  arrays = {
      name: np.ones((rows, 1, 2, 2, 3), np.float32),
      'mask': np.ones(rows, np.float32),
  }
  return devices.put_batch(devices.make_mesh(1), arrays)


def test_calls_of_other_kinds_are_served_and_do_not_count():
  traced = []

  @jax.jit
  def step(weight, batch):
    traced.append(next(iter(batch)))
    if interrupted:
      raise KeyboardInterrupt
    return weight * batch['mask'].sum()

  measured, interrupted = costs.Measured(step, alone=True), True
  weight = np.float32(2)
  assert measured.costs() == {}
  with pytest.raises(KeyboardInterrupt):
    measured(weight, batch(2))
  interrupted = False
  # Features of frozen networks, before there are clips.
  assert measured(weight, batch(2, 'frozen')) == 4 and measured.costs() == {}
  del traced[:]
  answers = [measured(weight, batch(rows)) for rows in (2, 2, 3, 2)]
  assert answers == [4, 4, 6, 4]
  # Once ahead, for two rows, and once for three.
  assert len(traced) == 2
  found = measured.costs()
  assert found['clips_per_second'] > 0 and found['program_bytes'] > 0
