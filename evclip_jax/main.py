"""python -m evclip_jax.main --config=FILE[:method] [--workdir=DIR] [--mode=...]

Trains and evaluates, or only evaluates, a run. The same command resumes a run
that was interrupted. Every config key can be overridden:
--config.data.shots=4.
"""

from absl import flags
from ml_collections import config_flags

from data_pipelines import cli
from data_pipelines.errors import UserError

# Import nothing heavy here: processes that read clips import this module, too.
_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Config file, with :method to choose a method.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', '', 'Run folder. Default: runs/<config>-<method>-s<seed>.'
)
_MODE = flags.DEFINE_enum('mode', 'train', ['train', 'evaluate'], 'What to do.')
_COORDINATOR = flags.DEFINE_string(
    'coordinator', '', 'HOST:PORT of process 0, if there are several.'
)
_PROCESSES = flags.DEFINE_integer('processes', 1, 'Number of processes.')
_PROCESS = flags.DEFINE_integer('process', 0, 'Number of this one, from 0.')


def main(args: list[str]):
  """Runs what the flags ask for."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  address, number = _COORDINATOR.value, _PROCESSES.value
  alone = number == 1 and not address
  if not 0 <= _PROCESS.value < number or not (alone or ':' in address):
    raise UserError(
        f'--coordinator={address} --processes={number} '
        f'--process={_PROCESS.value}: wanted HOST:PORT of process 0, N, and '
        'from 0 to N - 1 which of them this is.'
    )
  from evclip_jax.config import experiment
  from evclip_jax.runs import folder, run

  config = experiment.from_flag(_CONFIG)
  if address:
    import jax

    jax.distributed.initialize(address, number, _PROCESS.value)
    if config.mesh.data not in (0, jax.device_count()):
      raise UserError(
          f'mesh.data={config.mesh.data}: {number} processes use all of their '
          f'{jax.device_count()} devices. Use 0.'
      )
  file = flags.FLAGS['config'].config_filename
  workdir = _WORKDIR.value or folder.default(file, config)
  run.run(config, workdir, _MODE.value)


if __name__ == '__main__':
  cli.use_huge_pages()
  cli.run(main)
