"""Saves and restores the training state; the only file that uses Orbax.

Layout: `checkpoints/last/<step>` and `checkpoints/best/<step>`, each with the
items `weights` (the leaves that training changes, as a nested tree),
`optimizer` (its state) and `meta` (JSON: hashes of the frozen weights, and for
`best` the metric). Orbax writes to a temporary folder and renames it, so a
folder named by a step is complete.
"""

import logging
import os
import pathlib
import re
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from data_pipelines.errors import UserError
from evclip_jax.reporting import log
from evclip_jax.training.params import merge
from evclip_jax.training.steps import TrainState


class Checkpoints:
  """Saves and restores the checkpoints of one run, in `folder`."""

  def __init__(self, workdir: str | os.PathLike, hashes: dict[str, str]):
    """Touches no files yet.

    Checkpoints made with frozen networks of other `hashes` are refused.
    """
    self.folder = pathlib.Path(workdir).resolve() / 'checkpoints'
    self._hashes = hashes
    # Orbax's threads would log tracebacks of errors that are raised anyway.
    logging.getLogger('absl').setLevel(logging.CRITICAL)

  def save(self, kind: str, state: TrainState, meta: dict[str, Any]):
    """Saves a state as the newest of its kind, then deletes the older one.

    Args:
      kind: 'last' or 'best'.
      state: what to save.
      meta: JSON values to save with it.

    Raises:
      UserError: it cannot be written; the older checkpoint is kept.
    """
    step, folder = int(state.step), self.folder / kind
    args = ocp.args.Composite(
        weights=ocp.args.StandardSave(merge(state.weights)),
        optimizer=ocp.args.StandardSave(state.opt_state),
        meta=ocp.args.JsonSave({**meta, 'frozen_hashes': self._hashes}),
    )
    try:
      with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        # force: a run restored from 'last' may repeat a step whose 'best' has
        # been written already, with the same numbers.
        orbax.save(folder / str(step), args, force=True)
    except Exception as e:
      kept = self.latest(kind)
      _tidy(folder, kept)
      intact = f'The checkpoint of step {kept} is intact.'
      if kept is None:
        intact = 'There is no earlier checkpoint.'
      raise UserError(
          f'cannot write checkpoint {step} to {folder}: {_reason(e)}.\n  '
          f'{intact} If the disk is full, free some space; then run the same '
          'command again.'
      ) from e
    _tidy(folder, step)

  def latest(self, kind: str) -> int | None:
    """Returns the newest complete step of a kind, or None."""
    names = [p.name for p in (self.folder / kind).glob('*')]
    return max((int(name) for name in names if name.isdigit()), default=None)

  def meta(self, kind: str) -> dict[str, Any] | None:
    """Returns the `meta` of the newest checkpoint of a kind, or None.

    UserError if it was made with other frozen weights.
    """
    if self.latest(kind) is None:
      return None
    meta = self._read(kind, 'meta', ocp.args.JsonRestore())
    for name, digest in self._hashes.items():
      other = meta['frozen_hashes'].get(name)
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
    """Restores the newest weights of a kind, placed as `like`; None if none.

    UserError if they were made with other frozen weights or another model.
    """
    if self.meta(kind) is None:
      return None
    found = self._read(kind, 'weights', _standard(merge(like)))
    return flatten_dict(found, sep='/')

  def reported(
      self, select: str, last: tuple[int, dict[str, jax.Array]]
  ) -> dict[str, tuple[int, dict[str, jax.Array]]]:
    """Returns {rule: (step, weights)}: the best if `select` asks, the last."""
    states = {'last': last}
    if select.startswith('best') and (best := self.latest('best')) is not None:
      states = {select: (best, self.weights('best', last[1]))} | states
    return states

  def restore(self, kind: str, like: TrainState) -> TrainState | None:
    """Restores the newest state of a kind, placed as `like`; None if none.

    UserError as for `weights`.
    """
    weights = self.weights(kind, like.weights)
    if weights is None:
      return None
    step = jnp.asarray(self.latest(kind), like.step.dtype)
    return TrainState(
        step=jax.device_put(step, like.step.sharding),
        trainable={path: weights[path] for path in like.trainable},
        opt_state=self._read(kind, 'optimizer', _standard(like.opt_state)),
        statistics={path: weights[path] for path in like.statistics},
    )

  def _read(self, kind: str, item: str, how: Any) -> Any:
    path = self.folder / kind / str(self.latest(kind))
    args = ocp.args.Composite(**{item: how})
    try:
      with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        return orbax.restore(path, args)[item]
    except (ValueError, KeyError, OSError) as e:
      raise UserError(
          f'the checkpoint {path} does not fit: {_reason(e)}.\n  Was it made '
          'with another config or version? Use another --workdir.'
      ) from e


def _standard(like: Any) -> ocp.args.StandardRestore:
  return ocp.args.StandardRestore(
      jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  )


def _tidy(folder: pathlib.Path, step: int | None):
  """Removes all steps but one, and unfinished checkpoints."""
  for path in folder.glob('*') if log.is_first() else ():
    if path.name != str(step):
      shutil.rmtree(path, ignore_errors=True)


def _reason(error: Exception) -> str:
  if 'No space left' in str(error):
    return 'the disk is full'
  # Orbax reports leaves that only one of the trees has in two forms.
  differ = re.findall(r'^(\S+):\n +- Source: ', str(error), re.M)
  for path in re.findall(r'Target path \((.*?)\) not found', str(error)):
    differ.append('.'.join(re.findall("'(.*?)'", path)))
  if differ:
    more = ' and more' if len(differ) > 4 else ''
    return f'it and this config differ in {", ".join(differ[:4])}{more}'
  lines = str(error).strip().splitlines()
  return (lines[0] if lines else type(error).__name__)[:300].rstrip('.')
