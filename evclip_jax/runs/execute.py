"""One run in its folder: checked, then trained or evaluated."""

import pathlib
from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import train
from evclip_jax.training import devices, optimizer, session
from evclip_jax.training.checkpoints import Checkpoints


def execute(
    config: ml_collections.ConfigDict, workdir: str, mode: str, data: Any
) -> dict[str, Any]:
  """Trains or evaluates one method on an open data pipeline.

  Args:
    config: without `compare` and `protocol`.
    workdir, mode: see `run.run`.
    data: what `pipeline.Pipeline` gave.

  Returns:
    The run card.
  """
  devices.prepare(config)
  model = session.build(config, data.class_names)
  check(config, mode, model, data)
  folder = pathlib.Path(workdir).absolute()
  if mode == 'train' or not (folder / 'config.json').exists():
    run_folder.prepare(folder, config, log.is_first())
    if log.is_first():
      asked = {'train': data.class_names}
      asked |= {name: x.class_names for name, x in data.evals.items()}
      texts = {
          name: run_card.prompts_hash(model.method, list(names))
          for name, names in asked.items()
      }
      run_folder.check_data(folder, data.description | {'texts': texts})
      data.write(folder)
  if mode == 'evaluate':
    return evaluate(config, folder, model, data)
  return train.train_and_evaluate(config, folder, model, data)


def check(
    config: ml_collections.ConfigDict,
    mode: str,
    model: session.Model,
    data: Any,
):
  """Raises UserError if method, data, devices and config do not go together.

  What a run would fail at later is found before it has a folder.
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
    optimizer.check(config.optimizer)
  for scored in data.evals.values():
    for key, size in scored.batch_sizes.items():
      devices.check_batch_size(mesh, size, key)
  # A class without a description, a text that is too long.
  lists = [data.class_names, *(e.class_names for e in data.evals.values())]
  for names in dict.fromkeys(tuple(names) for names in lists):
    model.tokens(names)


def _check_parts(config, model, share: int):
  """Raises UserError if a batch cannot be cut as train.accumulate says."""
  parts = config.train.accumulate
  if parts > 1 and not model.method.loss_is_a_mean:
    raise UserError(
        f'train.accumulate={parts}: the loss of {config.method.name!r} depends '
        'on the clips of a batch together. Use 1, or a smaller batch_size.'
    )
  if share % parts:
    raise UserError(
        f'train.accumulate={parts} does not divide the {share} rows of a batch '
        'that each device holds.'
    )


def evaluate(
    config: ml_collections.ConfigDict,
    folder: pathlib.Path,
    model: session.Model,
    data: Any,
) -> dict[str, Any]:
  """Scores a finished run, or weights as they are given.

  Raises:
    UserError: if there is nothing trained to evaluate.
  """
  run = session.start(config, model, data.class_names)
  initial = run.initial()
  checkpoints = Checkpoints(folder, model.hashes)
  states = {'given': (0, initial)}
  last = checkpoints.latest('last') if run.trainable else None
  if last is not None:
    select = run_card.selection(config.train.select, data.evals)
    kinds = {'last': 'last'}
    if select.startswith('best') and checkpoints.latest('best') is not None:
      kinds = {select: 'best'} | kinds
    states = {
        rule: (checkpoints.latest(kind), checkpoints.weights(kind, initial))
        for rule, kind in kinds.items()
    }
  elif run.trainable and not config.method.weights:
    raise UserError(
        f'no checkpoint in {checkpoints.folder}. Train first, give the '
        '--workdir of a trained run, or set method.weights.'
    )
  metrics_log = log.MetricsLog(folder, None, write=log.is_first())
  card, shown = run_card.report(
      config, folder, run, data, states, last or 0, metrics_log
  )
  metrics_log.close()
  # The card of a trained run stays, and that of a run on frames as they are;
  # this one stands beside it.
  other = config.data.corrupt != run_folder.load_config(folder).data.corrupt
  name = 'run_card.json'
  if other or 'given' not in states:
    name = 'evaluate_card.json'
  run_card.write(folder, card, shown, name)
  return card
