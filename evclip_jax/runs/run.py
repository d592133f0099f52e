"""Where a run begins: which kind it is, whose folder, which data."""

import functools
import pathlib
from typing import Any

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, schema
from evclip_jax.methods import base
from evclip_jax.reporting import log
from evclip_jax.runs import folder


def run(
    config: ml_collections.ConfigDict, workdir: str, mode: str = 'train'
) -> dict[str, Any]:
  """Runs one experiment: a method, a comparison of several, or a protocol.

  Args:
    config: a locked config.
    workdir: the run folder, made if need be.
    mode: 'train' (which continues what it finds) or 'evaluate', which leaves
      a trained run's own files as they are.

  Returns:
    The run card, or {row: run card}, or what `protocols.run` returns.

  Raises:
    UserError: anything the user can mend; nothing half-written stays.
  """
  schema.check(config)
  for key in ('shots', 'seeds', 'splits'):
    if config.protocol.name:
      break
    if tuple(config.protocol[key]) != schema.KEYS[f'protocol.{key}'].default:
      raise UserError(
          f'protocol.{key} has no effect without protocol.name; '
          "protocol.name='seeds' repeats a run."
      )
  log.log(f'run folder: {pathlib.Path(workdir).absolute()}')
  if config.protocol.name:
    from evclip_jax.runs import protocols

    part = functools.partial(_run, is_part=True)
    return protocols.run(config, workdir, mode, part)
  return _run(config, workdir, mode)


def _run(config, workdir, mode, is_part=False) -> dict[str, Any]:
  # A folder of another run is refused before any work.
  trained = (pathlib.Path(workdir) / 'config.json').exists()
  if mode == 'evaluate' and trained and not config.compare:
    folder.check_same_model(workdir, config)
  else:
    folder.check_free(workdir, config)
  if is_part and not config.compare:
    # What only scores may score any list, its training list as well.
    mode = fitting_mode(mode, config)
  open_data = functools.partial(
      _open,
      workdir=workdir,
      evaluate_only=mode == 'evaluate',
      episodic=experiment.is_episodic(config),
  )
  if config.compare:
    from evclip_jax.runs import compare

    return compare.run(config, workdir, mode, open_data)
  data = open_data(config)
  from evclip_jax.runs import execute

  return execute.execute(config, workdir, mode, data)


def _open(config, **how) -> Any:
  """Opens the data of a config and says what there is."""
  # Imported when it is needed: mistakes are answered without it.
  from data_pipelines.loaders import pipeline

  if jax.distributed.is_initialized():
    how['process_index'] = jax.process_index()
    how['process_count'] = jax.process_count()
  data = pipeline.Pipeline(config, **how)
  counts = []
  for name, about in data.description['lists'].items():
    left_out = [
        f'{about[kind]} {kind}'
        for kind in ('missing', 'skipped')
        if about.get(kind)
    ]
    more = f' ({", ".join(left_out)})' if left_out else ''
    counts.append(f'{about["clips"]} {name}{more}')
  log.log(f'{len(data.class_names)} classes; clips: {", ".join(counts)}')
  return data


def fitting_mode(mode: str, config: ml_collections.ConfigDict) -> str:
  """Returns 'evaluate' for a run among others that has nothing to train."""
  trains = base.trains(config.method.name, experiment.settings(config))
  return mode if trains else 'evaluate'
