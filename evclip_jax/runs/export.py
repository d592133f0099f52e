"""Writes the trained weights of a run into a file of their own."""

import os

import jax
import numpy as np
from safetensors.numpy import save

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from evclip_jax.runs.trained_model import TrainedModel
from evclip_jax.training import params


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
  run = TrainedModel(workdir)
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
  try:
    whole_file.write(path, save(leaves, metadata))
  except OSError as e:
    raise UserError(f'cannot write {path}: {e.strerror or e}.') from e
  return (
      f'{path}: {params.count(leaves):,} trained weights of '
      f'{run.config.method.name}, step {run.step} ({run.selected_by})'
  )
