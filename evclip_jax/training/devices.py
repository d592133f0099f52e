"""Places arrays on devices; no other file decides where they are."""

import collections
import functools
import os
import shutil
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from data_pipelines.video import pool
from evclip_jax.reporting import log

# Frozen leaves with fewer weights than this are replicated even if sharding is
# on: the communication would cost more than the memory is worth.
_SHARD_FROM = 1 << 20


def prepare(config: ml_collections.ConfigDict):
  """Logs what JAX runs on, and sets up its compilation cache."""
  _announce()
  kept = config.compute.compilation_cache
  jax.config.update('jax_enable_compilation_cache', kept)
  # A folder that the user has set (JAX_COMPILATION_CACHE_DIR) is kept.
  if kept and not jax.config.jax_compilation_cache_dir:
    folder = cache_folder(config.cache_dir) / 'compiled'
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # Keep all programs, so that a second start compiles nothing.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    # If something was compiled before, as in a notebook, JAX has decided not
    # to use a cache.
    compilation_cache.reset_cache()


@functools.cache
def _announce():
  log.log(f'runs on {describe()}')
  for warning in unseen():
    log.log(f'warning: {warning}')


def describe() -> str:
  """Returns '1 x NVIDIA H100', '8 x TPU v5e' or 'CPU, 2 cores'."""
  devices = jax.devices()
  if devices[0].platform == 'cpu':
    several = f' as {len(devices)} devices' if len(devices) > 1 else ''
    return f'CPU, {pool.cores()} cores{several}'
  kinds = collections.Counter(
      d.device_kind.replace(' lite', 'e') for d in devices
  )
  return ' and '.join(f'{n} x {kind}' for kind, n in kinds.items())


def unseen() -> list[str]:
  """Lists accelerators of this machine that JAX does not see, and why."""
  if jax.default_backend() != 'cpu':
    return []
  platforms = os.environ.get('JAX_PLATFORMS')
  nvidia = os.path.exists('/dev/nvidia0') or shutil.which('nvidia-smi')
  tpu = os.path.exists('/dev/accel0') or 'TPU_ACCELERATOR_TYPE' in os.environ
  found = []
  for name, there, extra in (
      ('an NVIDIA GPU', nvidia, 'cuda12'), ('a TPU', tpu, 'tpu')
  ):
    why = f"pip install -e '.[{extra}]'"
    if platforms:
      why = f'JAX_PLATFORMS={platforms} is set'
    if there:
      found.append(f'{name} is there, but JAX does not see it: {why}.')
  return found


def make_mesh(data: int = 0) -> Mesh:
  """Makes the mesh of devices: axis 'data' splits batches, 'model' has size 1.

  It has `data` devices, 0 = all; UserError if there are fewer.
  """
  devices = jax.devices()
  data = data or len(devices)
  if data > len(devices):
    raise UserError(
        f'mesh.data={data}, but there are {len(devices)} devices. '
        f'Use {len(devices)} or fewer, or 0 for all.'
    )
  # Auto: with Explicit axes, the default since JAX 0.8, concatenating the
  # class token to sharded patches is a type error.
  return jax.make_mesh(
      (data, 1),
      ('data', 'model'),
      axis_types=(AxisType.Auto, AxisType.Auto),
      devices=devices[:data],
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays that every device holds a copy of."""
  return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of a batch: its first axis is split over 'data'."""
  return NamedSharding(mesh, PartitionSpec('data'))


def frozen_shardings(mesh: Mesh, frozen: dict[str, Any], shard: bool):
  """Returns a sharding for each frozen leaf.

  With `shard`, each large leaf is split over 'data' along its longest axis that
  the number of devices divides, and gathered where it is used.
  """
  size = mesh.shape['data']

  def rule(leaf):
    shape = np.shape(leaf)
    axes = [i for i, n in enumerate(shape) if n % size == 0]
    if not shard or size == 1 or np.prod(shape) < _SHARD_FROM or not axes:
      return replicated(mesh)
    spec = [None] * len(shape)
    spec[max(axes, key=lambda i: shape[i])] = 'data'
    return NamedSharding(mesh, PartitionSpec(*spec))

  return {path: rule(leaf) for path, leaf in frozen.items()}


def put(mesh: Mesh, tree: Any) -> Any:
  """Copies a tree of host arrays to every device."""
  return jax.device_put(tree, replicated(mesh))


def put_batch(mesh: Mesh, batch: dict[str, Any]) -> dict[str, Any]:
  """Makes global arrays from this process's rows of a batch."""
  sharding = batched(mesh)
  return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, x), batch
  )


def jit(
    function: Callable,
    mesh: Mesh,
    shardings: dict[str, Any],
    arguments: int,
    batch: bool = True,
    **options: Any,
) -> Callable:
  """Jits a function (weights, frozen, ..., batch) with shardings on a mesh.

  It has `arguments` positional arguments. All but the frozen weights and the
  batch (the last one, unless `batch` is False) are replicated, and so are the
  results. `options` are those of `jax.jit`.
  """
  everywhere = replicated(mesh)
  given = [everywhere] * arguments
  given[1] = shardings
  if batch:
    given[-1] = batched(mesh)
  return jax.jit(
      function, in_shardings=tuple(given), out_shardings=everywhere, **options
  )


def check_batch_size(mesh: Mesh, batch_size: int, key: str = 'batch_size'):
  """Raises UserError if a global batch does not split evenly over devices."""
  size = mesh.shape['data']
  if batch_size % size == 0:
    return
  below, above = batch_size - batch_size % size, batch_size + -batch_size % size
  fits = f'{below} or {above}' if below else f'{above}'
  divisors = [d for d in range(1, size + 1) if batch_size % d == 0]
  # Several processes use all of their devices.
  fewer = f', or mesh.data={divisors[-1]}' if jax.process_count() == 1 else ''
  raise UserError(
      f'{key}={batch_size} is not divisible by {size} devices.\n'
      f'  Use {key}={fits}{fewer}.'
  )
