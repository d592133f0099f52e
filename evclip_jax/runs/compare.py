"""Several methods or settings under one protocol, and one table of results."""

import pathlib
from typing import Any

import ml_collections

from data_pipelines import whole_file
from evclip_jax.config import experiment
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log, tables
from evclip_jax.runs import execute, gallery
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs.run import fitting_mode


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    data: Any,
) -> dict[str, Any]:
  """Runs every variant of `config.compare` on the same data.

  Each variant is an ordinary run in a folder of its own; one that is finished
  is not run again. A variant with nothing to train is evaluated.

  Args:
    config: a config with `compare`.
    workdir: its folder; variants lie in `workdir/<variant>`.
    mode: 'train' or 'evaluate'.
    data: the data pipeline.

  Returns:
    {variant: run card}; the table is printed and written as compare.json,
    and the last variant's pictures as report.html.
  """
  is_first = log.is_first()
  run_folder.check_free(workdir, config)
  folder = pathlib.Path(workdir).absolute()
  cards: dict[str, Any] = {}
  for choice in config.compare:
    name = choice['name']
    own = experiment.row(config, choice['method'], choice['settings'])
    own_folder = folder / name.replace(' ', '_')
    done = run_folder.finished(own_folder, own)
    if done and mode == 'train':
      log.log(f'\n== {name}: finished earlier ==')
      cards[name] = done
      continue
    log.log(f'\n== {name} ==')
    own_mode = fitting_mode(mode, own)
    cards[name] = execute.execute(own, str(own_folder), own_mode, data)
    # Not before a variant: a mistake in the config should leave no folder.
    run_folder.prepare(workdir, config, is_first)
  if is_first:
    data.write(folder)
  rows = table(cards)
  log.log('\n' + tables.as_text(rows))
  if is_first:
    whole_file.write_json(folder / 'compare.json', rows)
    page = gallery.write(folder / 'report.html', rows, own_folder, data)
    log.log(f'\npictures: {page}')
  return cards


def table(cards: dict[str, Any]) -> list[dict[str, Any]]:
  """One row per variant: top-1 on every list, trained weights, selection."""
  return [
      {
          'variant': name,
          **{
              f'{which} top-1': run_card.accuracy(summary)
              for which, summary in card['final'].items()
          },
          'trained': card['parameters']['trainable'],
          'selected by': card['selection']['rule'],
      }
      for name, card in cards.items()
  ]
