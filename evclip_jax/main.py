"""python -m evclip_jax.main --config=FILE[:method] [--workdir=DIR] [--mode=...]

Trains and evaluates, or evaluates a run. The same command continues a run
that was interrupted. Every config key can be overridden:
--config.data.shots=4.
"""

import functools
import os
from typing import Any

import jax
import ml_collections
from absl import flags
from ml_collections import config_flags

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity
from evclip_jax.reporting import log
from evclip_jax.runs import compare, folder, protocol_run
from evclip_jax.runs import run as runs
from evclip_jax.training import model as model_lib
from evclip_jax.training import optimizer

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Config file, with :method to choose a method.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', '', 'Run folder. Default: runs/<config>-<method>-s<seed>.'
)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ['train', 'evaluate'], 'What to do.'
)
_COORDINATOR = flags.DEFINE_string(
    'coordinator', '', 'host:port of process 0, for several processes.'
)
_PROCESSES = flags.DEFINE_integer('processes', 1, 'How many processes.')
_PROCESS = flags.DEFINE_integer('process', 0, 'Which of them this is.')


def main(args: list[str]):
  """Runs what the flags say."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  config = experiment.from_flag(_CONFIG)
  identity.check(config)
  # Refuses rates that do not go together, before there is a run folder.
  optimizer.make_schedule(config.optimizer, config.train.epochs, 1)
  if _COORDINATOR.value:
    jax.distributed.initialize(
        _COORDINATOR.value, _PROCESSES.value, _PROCESS.value
    )
  file = flags.FLAGS['config'].config_filename
  workdir = _WORKDIR.value or folder.default(file, config)
  log.log(f'run folder: {os.path.abspath(workdir)}')
  run(config, workdir, _MODE.value)


def run(
    config: ml_collections.ConfigDict, workdir: str, mode: str
) -> dict[str, Any]:
  """Runs one experiment: a method, a comparison of several, or a protocol.

  Args:
    config: a locked config.
    workdir: the run folder, made if need be.
    mode: 'train' (which continues what it finds) or 'evaluate'.

  Returns:
    The run card, or {variant: run card}, or what `protocol_run.run` returns.

  Raises:
    UserError: anything the user can mend; nothing half-written stays.
  """
  if config.protocol.name:
    part = functools.partial(_run, is_part=True)
    return protocol_run.run(config, workdir, mode, part)
  return _run(config, workdir, mode)


def _run(config, workdir, mode, is_part=False) -> dict[str, Any]:
  if is_part and not config.compare:
    # What only scores may score any list, its training list as well.
    mode = runs.fitting_mode(mode, config)
  trained = os.path.exists(os.path.join(workdir, 'config.json'))
  # A folder of another run is refused before any work.
  if mode == 'evaluate' and trained and not config.compare:
    folder.check_same_model(workdir, config)
  else:
    folder.check_free(workdir, config)
  from data_pipelines.loaders import pipeline

  data = pipeline.open_pipeline(
      config,
      workdir,
      jax.process_index(),
      jax.process_count(),
      evaluate_only=mode == 'evaluate',
      episodic=experiment.is_episodic(config),
  )
  if config.compare:
    return compare.run(config, workdir, mode, data)
  model = model_lib.build(config, data.class_names)
  return runs.execute(config, workdir, mode, data, model)


if __name__ == '__main__':
  cli.run(main)
