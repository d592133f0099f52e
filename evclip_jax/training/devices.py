"""The one place where it is decided what lies on which device."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from data_pipelines.errors import UserError

# Frozen leaves below this many weights are copied even if sharding is on: the
# traffic would cost more than the memory is worth.
_SHARD_FROM = 1 << 20


def make_mesh(data: int = 0) -> Mesh:
  """One mesh over the devices: 'data' splits batches, 'model' is 1.

  Args:
    data: number of devices along the batch axis; 0 = all.

  Raises:
    UserError: if there are fewer devices.
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
  """The same on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
  """The first axis split over 'data'."""
  return NamedSharding(mesh, PartitionSpec('data'))


def frozen_shardings(mesh: Mesh, frozen: dict[str, Any], shard: bool):
  """A sharding for each frozen leaf.

  With `shard`, the longest axis of each large leaf that the number of devices
  divides is split over 'data' and gathered where it is used.
  """
  size = mesh.shape['data']

  def rule(leaf):
    shape = np.shape(leaf)
    if not shard or size == 1 or np.prod(shape) < _SHARD_FROM:
      return replicated(mesh)
    axes = [i for i, n in enumerate(shape) if n % size == 0]
    if not axes:
      return replicated(mesh)
    axis = max(axes, key=lambda i: shape[i])
    spec = [None] * len(shape)
    spec[axis] = 'data'
    return NamedSharding(mesh, PartitionSpec(*spec))

  return {path: rule(leaf) for path, leaf in frozen.items()}


def check_batch_size(mesh: Mesh, batch_size: int, key: str = 'batch_size'):
  """Raises UserError if a global batch does not split evenly."""
  size = mesh.shape['data']
  if batch_size % size == 0:
    return
  below, above = batch_size - batch_size % size, batch_size + -batch_size % size
  fits = f'{below} or {above}' if below else f'{above}'
  divisors = [d for d in range(1, size + 1) if batch_size % d == 0]
  raise UserError(
      f'{key}={batch_size} is not divisible by {size} devices.\n'
      f'  Use {key}={fits}, or mesh.data={divisors[-1]}.'
  )


def put(mesh: Mesh, tree: Any) -> Any:
  """Copies a tree of host arrays to every device."""
  return jax.device_put(tree, replicated(mesh))


def put_frozen(mesh: Mesh, frozen: dict[str, Any], shard: bool):
  """Places the frozen leaves, by `frozen_shardings`."""
  return jax.device_put(frozen, frozen_shardings(mesh, frozen, shard))


def put_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
  """This process's rows of a batch -> one global array per field."""
  sharding = batched(mesh)
  return {
      name: jax.make_array_from_process_local_data(sharding, value)
      for name, value in batch.items()
  }
