"""--mode=evaluate: scores a finished run, or weights as they are given."""

import pathlib
from typing import Any

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log
from evclip_jax.training import devices, session
from evclip_jax.training import optimizer as optim
from evclip_jax.training.checkpoints import Checkpoints
from evclip_jax.training.model import Model


def evaluate_run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    model: Model,
    data: session.Data,
) -> dict[str, Any]:
  """--mode=evaluate: scores a finished run, or weights as given.

  Raises:
    UserError: if there is nothing trained to evaluate.
  """
  run = session.start(config, model, data.class_names)
  schedule = optim.make_schedule(config.optimizer, config.train.epochs, 1)
  optimizer = optim.make_optimizer(config.optimizer, schedule)
  now = devices.put(run.mesh, run.state(optimizer))
  checkpoints = Checkpoints(workdir, model.hashes)
  last = checkpoints.restore('last', now) if run.trainable else None
  select = 'given'
  if last is not None:
    now = last
    select = run_card.selection(config.train.select, data.evals)
    if select.startswith('best') and checkpoints.latest('best') is None:
      select = 'last'
  elif run.trainable and not config.method.weights:
    raise UserError(
        f'no checkpoint in {checkpoints.folder}. Train first, give the '
        '--workdir of a trained run, or set method.weights.'
    )
  metrics_log = log.MetricsLog(
      workdir, None, write=jax.process_index() == 0
  )
  card = run_card.report(
      config, workdir, run, now, checkpoints, data, select, metrics_log
  )
  # The card of a trained run stays; this one stands beside it.
  name = 'run_card.json' if select == 'given' else 'evaluate_card.json'
  run_card.write_card(workdir, card, name)
  metrics_log.close()
  checkpoints.close()
  return card
