"""python -m evclip_jax.export --workdir=RUN --out=FILE.safetensors

Writes the trained weights of a run into one small file, without optimizer and
frozen networks: for `config.method.weights`, for `python -m evclip_jax.convert`
and for any program that reads safetensors.
"""

import os
import pathlib

import jax
import numpy as np
from absl import flags
from safetensors.numpy import save

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax.runs import trained_run
from evclip_jax.training import params


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('workdir', '', 'The run folder.')
  flags.DEFINE_string('out', '', 'The .safetensors file to write.')


def main(args: list[str]):
  """Writes the file that the flags name."""
  values = flags.FLAGS
  if args or not values.workdir or not values.out:
    raise UserError(
        'wanted python -m evclip_jax.export --workdir=RUN '
        '--out=FILE.safetensors.'
    )
  print(save_trained(values.workdir, values.out))


def save_trained(workdir: str, path: str | os.PathLike) -> str:
  """Writes a run's selected trained leaves as a .safetensors file.

  Args:
    workdir: the run folder.
    path: the file; an older one is replaced, whole or not at all.

  Returns:
    A line that says what was written.

  Raises:
    UserError: nothing trained in the run, or the file cannot be written.
  """
  run = trained_run.load(workdir)
  if not run.weights:
    raise UserError(f'{workdir} is a run without trained weights.')
  leaves = {
      # Not ascontiguousarray, which gives scalars an axis.
      name: np.asarray(value, order='C')
      for name, value in jax.device_get(run.weights).items()
  }
  metadata = {
      'format': 'evclip-jax',
      'kind': 'trained',
      'method': run.config.method.name,
      'num_frames': str(run.config.data.num_frames),
      'step': str(run.step),
      'selected_by': run.selected_by,
      **{f'weights.{n}': h for n, h in run.session.model.hashes.items()},
  }
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    temporary.write_bytes(save(leaves, metadata))
    os.replace(temporary, path)
  except OSError as e:
    temporary.unlink(missing_ok=True)
    raise UserError(f'cannot write {path}: {e.strerror or e}.') from e
  return (
      f'{path}: {params.count(leaves):,} trained weights of '
      f'{run.config.method.name}, step {run.step} ({run.selected_by})'
  )


if __name__ == '__main__':
  define_flags()
  cli.run(main)
