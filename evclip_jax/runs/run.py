"""One run in its folder: what --mode=train and --mode=evaluate do."""

import pathlib
from typing import Any

import jax
import ml_collections

from evclip_jax.config import experiment
from evclip_jax.evaluation import run_card
from evclip_jax.methods import base
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import run_check, score_run, train
from evclip_jax.training import session
from evclip_jax.training.model import Model


def execute(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    data: session.Data,
    model: Model,
) -> dict[str, Any]:
  """Trains or evaluates.

  Args:
    config: a locked config.
    workdir: the run folder; made, or continued.
    mode: 'train', or 'evaluate', which leaves a trained run's own files as
      they are.
    data: the data pipeline.
    model: the method with its weights.

  Returns:
    The run card.
  """
  run_check.check(config, mode, model, data)
  folder = pathlib.Path(workdir).absolute()
  if mode == 'train' or not (folder / 'config.json').exists():
    is_first = jax.process_index() == 0
    folder = run_folder.prepare(workdir, config, is_first)
    if is_first:
      texts = _texts(model, data)
      run_folder.check_data(folder, data.description | {'texts': texts})
      data.write(folder)
  if mode == 'evaluate':
    return score_run.evaluate_run(config, folder, model, data)
  return train.train_and_evaluate(config, folder, model, data)


def _texts(model: Model, data: session.Data) -> dict[str, str]:
  """Hashes of the class texts, of training and of every list to score."""
  asked = {'train': data.class_names}
  asked |= {name: x.class_names for name, x in data.evals.items()}
  return {
      name: run_card.prompts_hash(model.method, list(names))
      for name, names in asked.items()
  }


def fitting_mode(mode: str, config: ml_collections.ConfigDict) -> str:
  """The mode for a run among others: one with nothing to train is evaluated."""
  trains = base.trains(config.method.name, experiment.settings(config))
  return mode if trains else 'evaluate'
