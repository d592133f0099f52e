"""Saving, restoring, refusing."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines.errors import UserError
from evclip_jax.training import checkpoints, devices, steps

WEIGHTS = {'clip': 'a' * 64, 'encoder': 'b' * 64}


def make_state(step=0, value=1.0, shape=(3,)):
  mesh = devices.make_mesh()
  trainable = {'method/scale': jnp.full(shape, value)}
  made = steps.new_state(trainable, optax.adamw(0.1))
  return devices.put(mesh, made.replace(step=jnp.int32(step)))


def test_round_trip_and_only_the_newest_stays(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5, 2.0), {})
  saver.save('last', make_state(6, 3.0), {})
  loader = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  back = loader.restore('last', make_state())
  assert int(back.step) == 6
  np.testing.assert_array_equal(back.trainable['method/scale'], np.full(3, 3.0))
  assert [p.name for p in (tmp_path / 'checkpoints/last').iterdir()] == ['6']


def test_nothing_there_restores_nothing(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  assert saver.restore('last', make_state()) is None
  assert saver.meta('best') is None


def test_other_frozen_weights_are_refused(tmp_path):
  checkpoints.Checkpoints(tmp_path, WEIGHTS).save('last', make_state(1), {})
  other = checkpoints.Checkpoints(tmp_path, WEIGHTS | {'clip': 'c' * 64})
  with pytest.raises(UserError, match='other clip weights'):
    other.restore('last', make_state())


def test_another_model_is_refused(tmp_path):
  checkpoints.Checkpoints(tmp_path, WEIGHTS).save('last', make_state(1), {})
  with pytest.raises(UserError, match='does not fit'):
    checkpoints.Checkpoints(tmp_path, WEIGHTS).restore(
        'last', make_state(shape=(4,))
    )
  more = make_state().weights | {'clip/proj': np.ones(3, np.float32)}
  with pytest.raises(UserError, match='it and this config differ in clip.proj'):
    checkpoints.Checkpoints(tmp_path, WEIGHTS).weights('last', more)


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5), {})
  folder = tmp_path / 'checkpoints/last'
  (folder / '9.orbax-checkpoint-tmp-1').mkdir()
  loader = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  assert loader.latest('last') == 5
  assert int(loader.restore('last', make_state()).step) == 5


def test_weights_are_read_without_an_optimizer(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5, 2.0), {})
  back = saver.weights('last', make_state().weights)
  np.testing.assert_array_equal(back['method/scale'], np.full(3, 2.0))
  # By Orbax alone.
  folder = saver.folder / 'last' / '5' / 'weights'
  alone = checkpoints.ocp.StandardCheckpointer().restore(folder)
  np.testing.assert_array_equal(alone['method']['scale'], np.full(3, 2.0))


def test_the_same_step_can_be_saved_again(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('best', make_state(5, 1.0), {'metric': 40.0})
  saver.save('best', make_state(5, 2.0), {'metric': 50.0})
  assert saver.meta('best')['metric'] == 50.0


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5), {})

  def fail(*args, **kwargs):
    (tmp_path / 'checkpoints/last/6.orbax-checkpoint-tmp').mkdir()
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(checkpoints.ocp.Checkpointer, 'save', fail)
  with pytest.raises(UserError, match='step 5 is intact'):
    saver.save('last', make_state(6), {})
  names = [p.name for p in pathlib.Path(tmp_path, 'checkpoints/last').iterdir()]
  assert names == ['5']


def test_restored_leaves_lie_on_every_device(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path, WEIGHTS)
  saver.save('last', make_state(5), {})
  back = saver.restore('last', make_state())
  assert back.trainable['method/scale'].sharding.is_fully_replicated
  assert len(back.trainable['method/scale'].devices()) == len(jax.devices())
