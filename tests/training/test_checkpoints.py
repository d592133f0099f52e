"""Saving, restoring, refusing."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines.errors import UserError
from evclip_jax.training import checkpoints, devices, steps
from tests.runs import tiny_run

WEIGHTS = {'clip': 'a' * 64, 'encoder': 'b' * 64}
PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'tfds.md'


def make_state(step=0, value=1.0, shape=(3,), **more):
  mesh = devices.make_mesh()
  trainable = {'method/scale': jnp.full(shape, value), **more}
  made = steps.new_state(trainable, optax.adamw(0.1))
  return devices.put(mesh, made.replace(step=jnp.int32(step)))


@pytest.fixture
def saver(tmp_path):
  """One with the checkpoints of some step of training."""
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5, 2.0), {})
  return saver


def steps_of(saver):
  return [p.name for p in (saver.folder / 'last').iterdir()]


def test_round_trip_and_only_the_newest_stays(saver, tmp_path):
  saver.save('last', make_state(6, 3.0), {})
  loader = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  back = loader.restore('last', make_state())
  assert int(back.step) == 6
  leaf = back.trainable['method/scale']
  np.testing.assert_array_equal(leaf, np.full(3, 3.0))
  assert leaf.sharding.is_fully_replicated
  assert len(leaf.devices()) == len(jax.devices())
  # Also without an optimizer.
  alone = loader.weights('last', make_state().weights)
  np.testing.assert_array_equal(alone['method/scale'], leaf)
  assert steps_of(saver) == ['6']
  assert saver.meta('best') is saver.restore('best', make_state()) is None


@pytest.mark.parametrize(
    ('hashes', 'like', 'message'),
    [
        ({'clip': 'c' * 64}, {}, 'other clip weights'),
        ({}, {'shape': (4,)}, 'does not fit'),
    ],
)
def test_what_does_not_fit_is_refused(saver, tmp_path, hashes, like, message):
  other = checkpoints.Checkpoints(tmp_path, WEIGHTS | hashes)
  with pytest.raises(UserError, match=message):
    other.weights('last', make_state(**like).weights)
  with pytest.raises(UserError, match=message):
    other.restore('last', make_state(**like))


def test_leaves_that_are_not_there_are_named(saver):
  more = make_state().weights | {'clip/proj': np.ones(3, np.float32)}
  with pytest.raises(UserError, match='it and this config differ in clip.proj'):
    saver.weights('last', more)


def test_a_half_written_checkpoint_is_not_seen(saver, tmp_path):
  (saver.folder / 'last/9.orbax-checkpoint-tmp-1').mkdir()
  loader = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  assert loader.latest('last') == 5
  assert int(loader.restore('last', make_state()).step) == 5


def test_the_page_reads_weights_saved_on_more_devices(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, {})
  saver.save('last', make_state(0, 2.0, **{'clip/a.0/b': jnp.ones(2)}), {})
  # docs/tfds.md: by Orbax alone.
  code = PAGE.read_text().split('```python\n')[2].split('```')[0]
  said = tiny_run.python(code.replace('RUN/', f'{tmp_path}/'), tmp_path)
  assert said.splitlines() == [
      "['clip']['a.0']['b'] (2,) 1.0", "['method']['scale'] (3,) 2.0"
  ]


def test_the_best_is_reported_where_it_is_wanted(saver):
  last = 5, make_state().weights
  assert list(saver.reported('best_val', last)) == ['last']
  saver.save('best', make_state(5, 1.0), {'metric': 40.0})
  # The same step can be saved again.
  saver.save('best', make_state(5, 2.0), {'metric': 50.0})
  assert saver.meta('best')['metric'] == 50.0
  assert list(saver.reported('best_val', last)) == ['best_val', 'last']
  assert list(saver.reported('last', last)) == ['last']


def test_a_full_disk_keeps_the_last_good_checkpoint(saver, monkeypatch):
  def fail(*args, **kwargs):
    (saver.folder / 'last/6.orbax-checkpoint-tmp').mkdir()
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(checkpoints.ocp.Checkpointer, 'save', fail)
  with pytest.raises(UserError, match='step 5 is intact'):
    saver.save('last', make_state(6), {})
  assert steps_of(saver) == ['5']
