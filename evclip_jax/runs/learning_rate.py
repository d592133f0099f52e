"""Chooses a learning rate by clips that are neither trained on nor reported."""

import copy
import pathlib
import shutil
from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import identity
from evclip_jax.reporting import log
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import train
from evclip_jax.training import session


def check(config: ml_collections.ConfigDict, data: Any):
  """Raises UserError if there is no way to choose among train.rates."""
  rates = config.train.rates
  if len({*rates}) < len(rates) or any(rate <= 0 for rate in rates):
    raise UserError(f'train.rates={rates}: wanted different numbers above 0.')
  if rates and 'val' not in data.evals:
    raise UserError(
        'train.rates needs a validation list to choose by: set data.val_list, '
        'or data.val_shots to hold clips of the training list back.'
    )
  if rates and config.train.select == 'best_on_test':
    raise UserError(
        'train.rates never looks at test lists, and train.select=best_on_test '
        "does: use 'last' or 'best_val'."
    )


def choose(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    run: session.Session,
    data: Any,
) -> tuple[ml_collections.ConfigDict, dict[str, Any]]:
  """Trains with each of train.rates and takes over the best training.

  Each is an ordinary run in `workdir/rates/<rate>`, scored on the validation
  list alone; the warm-up's rate changes in proportion. The best top-1 wins,
  then the lower loss, then the lower rate. Returns the config with the best
  rate, and 'rate' and 'config_hash' for the run card.
  """
  own_data = copy.copy(data)
  own_data.evals = {'val': data.evals['val']}
  tried, configs = {}, {}
  for rate in config.train.rates:
    own = configs[rate] = identity.from_dict(identity.to_dict(config))
    share = rate / own.optimizer.learning_rate
    own.optimizer.learning_rate, own.train.rates = rate, ()
    own.optimizer.warmup_learning_rate *= share
    folder = workdir / 'rates' / f'{rate:g}'
    card = run_folder.finished(folder, own)
    said = ': finished earlier' if card else ''
    log.log(f'\n-- rate {rate:g}{said} --')
    if card is None:
      run_folder.prepare(folder, own)
      card = train.train_and_evaluate(own, folder, run, own_data)
    tried[rate] = card['final']['val'] | {'costs': card['costs']['train']}
  best = max(tried, key=lambda r: (tried[r]['top1'], -tried[r]['loss'], -r))
  clips = tried[best].get('clips', tried[best].get('episodes'))
  log.log(f'\n-- rate {best:g} is the best of {len(tried)} on val --')
  source = workdir / 'rates' / f'{best:g}'
  if log.is_first():
    shutil.rmtree(workdir / 'checkpoints', ignore_errors=True)
    shutil.copytree(source / 'checkpoints', workdir / 'checkpoints')
    shutil.copy(source / 'metrics.jsonl', workdir / 'metrics.jsonl')
  return configs[best], {
      'config_hash': identity.digest(config),
      'rate': {
          'chosen': best,
          'by': f'top-1 on val ({clips})',
          'tried': {f'{r:g}': x['top1'] for r, x in tried.items()},
          'costs': tried[best]['costs'],
      },
  }
