"""What a run would fail at later, found before it has a folder."""

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.evaluation import run_card
from evclip_jax.training import devices, session
from evclip_jax.training.model import Model


def check(
    config: ml_collections.ConfigDict,
    mode: str,
    model: Model,
    data: session.Data,
):
  """Raises UserError if method, data, devices and config do not go together.

  Args:
    config: a locked config.
    mode: 'train' or 'evaluate'.
    model: the method with its weights.
    data: the data pipeline.
  """
  mesh = devices.make_mesh(config.mesh.data)
  if mode == 'train':
    if not model.method.trainable:
      raise UserError(
          f'the method {config.method.name!r} has nothing to train. '
          'Use --mode=evaluate.'
      )
    devices.check_batch_size(mesh, data.batch_size, data.batch_key)
    _check_parts(config, model, data.batch_size // mesh.shape['data'])
    run_card.selection(config.train.select, data.evals)
  for scored in data.evals.values():
    for key, size in scored.batch_sizes.items():
      devices.check_batch_size(mesh, size, key)
  # A class without a description, a text that is too long.
  lists = [data.class_names, *(e.class_names for e in data.evals.values())]
  for names in dict.fromkeys(tuple(names) for names in lists):
    model.tokens(list(names))


def _check_parts(config, model: Model, share: int):
  """Raises UserError if a batch cannot be cut as train.accumulate says."""
  parts = config.train.accumulate
  if parts == 1:
    return
  if not model.method.loss_is_a_mean:
    raise UserError(
        f'train.accumulate={parts}: the loss of {config.method.name!r} depends '
        'on the clips of a batch together. Use 1, or a smaller batch_size.'
    )
  if share % parts:
    raise UserError(
        f'train.accumulate={parts} does not divide the {share} rows of a batch '
        'that each device holds.'
    )
