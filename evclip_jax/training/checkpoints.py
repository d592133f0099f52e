"""Saves and restores what a run trains. Only this file knows Orbax.

Layout: `checkpoints/last/<step>` and `checkpoints/best/<step>`, each with the
items `weights` (the leaves that training changes, as a nested tree),
`optimizer` (its state) and `meta` (JSON: hashes of the frozen weights, and for
`best` the metric). Orbax writes into a temporary folder and renames it, so a
folder named by a step is complete.
"""

import contextlib
import logging
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict
from orbax.checkpoint.checkpoint_managers import preservation_policy

from data_pipelines.errors import UserError
from evclip_jax.training.params import merge
from evclip_jax.training.steps import TrainState


class Checkpoints:
  """The checkpoints of one run folder.

  Attributes:
    folder: `checkpoints` of the run.
  """

  def __init__(
      self,
      workdir: pathlib.Path,
      hashes: dict[str, str],
      read_only: bool = False,
  ):
    """Opens the folder.

    Args:
      workdir: the run folder.
      hashes: name -> content hash of each frozen network. A checkpoint made
        with others is refused.
      read_only: nothing is saved or tidied up, so that a run may be looked at
        while it trains.
    """
    self._read_only = read_only
    # Orbax warns at length that what is read only will not be written.
    level = logging.ERROR if read_only else logging.WARNING
    logging.getLogger('absl').setLevel(level)
    self.folder = pathlib.Path(workdir).resolve() / 'checkpoints'
    self._hashes = hashes
    self._managers: dict[str, ocp.CheckpointManager] = {}

  def save(self, kind: str, state: TrainState, meta: dict[str, Any]):
    """Saves a state as the newest of its kind, then drops the older one.

    Args:
      kind: 'last' or 'best'.
      state: what to save.
      meta: JSON values to keep beside it.

    Raises:
      UserError: if it cannot be written; what was saved before stays.
    """
    step = int(state.step)
    manager = self._manager(kind)
    args = ocp.args.Composite(
        weights=ocp.args.StandardSave(merge(state.weights)),
        optimizer=ocp.args.StandardSave(state.opt_state),
        meta=ocp.args.JsonSave({**meta, 'weights': self._hashes}),
    )
    try:
      with _quiet():
        # force: a run restored from 'last' may pass a step again whose 'best'
        # was already written; the numbers are the same.
        if step in manager.all_steps():
          manager.delete(step)
        manager.save(step, args=args, force=True)
        manager.wait_until_finished()
    except Exception as e:
      self._drop_unfinished(kind)
      kept = self.latest(kind)
      raise UserError(
          f'cannot write checkpoint {step} to {self.folder / kind}: '
          f'{_reason(e)}.\n  '
          + (
              f'The checkpoint of step {kept} is intact. '
              if kept is not None
              else 'There is no earlier checkpoint. '
          )
          + 'Free some space and run the same command again.'
      ) from e

  def latest(self, kind: str) -> int | None:
    """Returns the newest complete step of a kind, or None."""
    folder = self.folder / kind
    if not folder.is_dir():
      return None
    steps = [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
    return max(steps, default=None)

  def meta(self, kind: str) -> dict[str, Any] | None:
    """Returns the JSON beside the newest checkpoint of a kind, or None.

    Raises:
      UserError: if it was made with other frozen weights.
    """
    if self.latest(kind) is None:
      return None
    meta = self._read(kind, meta=ocp.args.JsonRestore())['meta']
    for name, digest in self._hashes.items():
      other = meta['weights'].get(name)
      if other != digest:
        raise UserError(
            f'{self.folder / kind} was trained with other {name} weights '
            f'({str(other)[:12]}) than those given ({digest[:12]}).\n  Set '
            f'{name}.name and {name}.weights to what the run was made with, '
            'or use another --workdir.'
        )
    return meta

  def weights(
      self, kind: str, like: dict[str, jax.Array]
  ) -> dict[str, jax.Array] | None:
    """Returns the weights of the newest checkpoint of a kind, or None.

    Args:
      kind: 'last' or 'best'.
      like: flat dict of the right paths, shapes and shardings.

    Raises:
      UserError: if it was made with other frozen weights or another model.
    """
    if self.meta(kind) is None:
      return None
    found = self._read(kind, weights=_standard(merge(like)))['weights']
    return flatten_dict(found, sep='/')

  def restore(self, kind: str, like: TrainState) -> TrainState | None:
    """Returns the newest state of a kind, placed as `like` is, or None.

    Raises:
      UserError: if it was made with other frozen weights or another model.
    """
    weights = self.weights(kind, like.weights)
    if weights is None:
      return None
    found = self._read(kind, optimizer=_standard(like.opt_state))
    step = jnp.asarray(self.latest(kind), like.step.dtype)
    return like.replace(
        step=jax.device_put(step, like.step.sharding),
        trainable={path: weights[path] for path in like.trainable},
        opt_state=found['optimizer'],
        statistics={path: weights[path] for path in like.statistics},
    )

  def close(self):
    """Waits for what is being written."""
    for manager in self._managers.values():
      manager.close()

  def _read(self, kind: str, **args) -> dict[str, Any]:
    step = self.latest(kind)
    try:
      return self._manager(kind).restore(
          step, args=ocp.args.Composite(**args)
      )
    except (ValueError, KeyError, OSError) as e:
      raise UserError(
          f'the checkpoint {self.folder / kind / str(step)} does not fit: '
          f'{_reason(e)}.\n  Was it made with another config or version? Use '
          'another --workdir.'
      ) from e

  def _manager(self, kind: str) -> ocp.CheckpointManager:
    if kind not in self._managers:
      self._managers[kind] = ocp.CheckpointManager(
          self.folder / kind,
          options=ocp.CheckpointManagerOptions(
              preservation_policy=preservation_policy.LatestN(1),
              # A run's state is megabytes: writing it in the background would
              # save little and hide errors.
              enable_async_checkpointing=False,
              cleanup_tmp_directories=not self._read_only,
              read_only=self._read_only,
          ),
      )
    return self._managers[kind]

  def _drop_unfinished(self, kind: str):
    folder = self.folder / kind
    for path in folder.glob('*') if folder.is_dir() else ():
      if not path.name.isdigit():
        shutil.rmtree(path, ignore_errors=True)
    self._managers.pop(kind, None)


def _standard(like: Any) -> ocp.args.StandardRestore:
  return ocp.args.StandardRestore(
      jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  )


@contextlib.contextmanager
def _quiet():
  """Silences Orbax's threads, which log a traceback of what is raised too."""
  level = logging.getLogger('absl').level
  logging.getLogger('absl').setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logging.getLogger('absl').setLevel(level)


def _reason(error: Exception) -> str:
  if 'No space left' in str(error):
    return 'the disk is full'
  lines = str(error).strip().splitlines()
  return (lines[0] if lines else type(error).__name__)[:300].rstrip('.')
