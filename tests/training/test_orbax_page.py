"""docs/tfds.md: Orbax alone reads the weights of a run."""

import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import optax

from evclip_jax.training import checkpoints, devices, steps

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'tfds.md'


def test_the_page_reads_weights_saved_on_more_devices(tmp_path):
  trainable = {'method/scale': jnp.full((3,), 2.0), 'clip/a.0/b': jnp.ones(2)}
  state = steps.new_state(trainable, optax.adamw(0.1))
  state = devices.put(devices.make_mesh(), state)
  saver = checkpoints.Checkpoints(tmp_path, {})
  saver.save('last', state, {})
  code = PAGE.read_text().split('```python\n')[2].split('```')[0]
  done = subprocess.run(
      [sys.executable, '-P', '-c', code.replace('RUN/', f'{tmp_path}/')],
      capture_output=True,
      check=True,
      cwd=tmp_path,
      env=os.environ | {'XLA_FLAGS': ''},
      text=True,
      timeout=120,
  )
  assert done.stdout.splitlines() == [
      "['clip']['a.0']['b'] (2,) 1.0",
      "['method']['scale'] (3,) 2.0",
  ]
