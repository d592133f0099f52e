"""Parameter trees, where they lie on eight fake devices, and what fits."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from data_pipelines.errors import UserError
from evclip_jax.training import costs, devices, params


def test_mesh_axes_are_auto():
  mesh = devices.make_mesh()
  assert mesh.axis_names == ('data', 'model')
  assert set(mesh.axis_types) == {AxisType.Auto}
  assert mesh.shape['data'] == 8
  with pytest.raises(UserError, match='mesh.data=9, but there are 8'):
    devices.make_mesh(9)


def test_uneven_batch_names_the_numbers_that_fit():
  with pytest.raises(UserError, match='Use batch_size=4 or 8, or mesh.data=3'):
    devices.check_batch_size(devices.make_mesh(4), 6)
  devices.check_batch_size(devices.make_mesh(2), 6)


def test_batch_is_split_over_devices():
  batch = devices.put_batch(
      devices.make_mesh(4), {'label': np.arange(8, dtype=np.int32)}
  )
  shards = [s.data.tolist() for s in batch['label'].addressable_shards]
  assert shards == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_large_frozen_leaves_are_spread_on_request():
  mesh = devices.make_mesh(4)
  frozen = {'big': np.zeros((2048, 1024)), 'small': np.zeros(3)}
  placed = devices.frozen_shardings(mesh, frozen, shard=True)
  assert placed['big'].shard_shape((2048, 1024)) == (512, 1024)
  assert placed['small'].is_fully_replicated
  same = devices.frozen_shardings(mesh, frozen, shard=False)
  assert same['big'].is_fully_replicated
  assert isinstance(placed['big'], jax.sharding.NamedSharding)


TREE = {
    'clip': {'proj': np.ones(2)}, 'method': {'mask': {'scale': np.ones(())}}
}


def test_split_and_merge_round_trip():
  trainable, frozen = params.split(TREE, ('method/.*',))
  assert list(trainable) == ['method/mask/scale']
  assert list(frozen) == ['clip/proj']
  assert params.merge(frozen, trainable) == TREE
  text = params.table(trainable, frozen)
  assert text.startswith('trainable 1 of 3 parameters in 1 tensors')
  # Nothing trains without patterns, which match in full.
  trainable, frozen = params.split(TREE, ())
  assert trainable == {} and len(frozen) == 2
  with pytest.raises(ValueError, match='matches no parameter'):
    params.split(TREE, ('mask',))


def test_what_jax_runs_on_and_does_not_see(tmp_path, monkeypatch):
  assert devices.describe().startswith('CPU, ')
  (tmp_path / 'nvidia-smi').write_text('')
  (tmp_path / 'nvidia-smi').chmod(0o755)
  monkeypatch.setenv('PATH', str(tmp_path))
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  assert any('NVIDIA' in x and '[cuda12]' in x for x in devices.unseen())
  monkeypatch.setenv('TPU_ACCELERATOR_TYPE', 'v5litepod-8')
  assert any('TPU' in x and '[tpu]' in x for x in devices.unseen())
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  assert all('JAX_PLATFORMS=cpu' in x for x in devices.unseen())


def test_kernels_of_frozen_networks_are_held_in_the_compute_dtype():
  paths = {
      'clip/visual/conv1/kernel': 'bfloat16',
      'encoder/layers.0/blocks.0/mlp/fc1/kernel': 'bfloat16',
      'clip/visual/attnpool/c_proj/kernel': 'float32',
      'clip/visual/ln_pre/scale': 'float32',
      'clip/visual/proj': 'float32',
      'method/mask/upsample1/expand/kernel': 'float32',
  }
  frozen = {path: np.ones(1, np.float32) for path in paths}
  held = params.in_dtype(frozen, jnp.dtype('bfloat16'))
  assert {path: x.dtype.name for path, x in held.items()} == paths


@pytest.mark.parametrize('size, rows', [(16, 7), (20, 9), (1, 0)])
def test_rows_that_fit(size, rows):
  # 4 rows need 8 GB of temporaries beside 1 GB of weights.
  parts = {'argument': 1.0, 'output': 0.1, 'alias': 0.1, 'temp': 8.0}
  memory = {f'{k}_size_in_bytes': int(x * 1e9) for k, x in parts.items()}
  memory = types.SimpleNamespace(**memory)
  compiled = types.SimpleNamespace(memory_analysis=lambda: memory)
  assert costs.rows_that_fit(compiled, 4, size * 10**9) == rows
