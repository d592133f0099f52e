"""Several methods or settings under one protocol, and one table of results."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import ml_collections

from data_pipelines import whole_file
from evclip_jax.config import experiment, identity
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log, tables
from evclip_jax.runs import execute, gallery
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs.run import fitting_mode

# Keys on which lists, batches and their number depend.
_DATA_KEYS = (
    'batch_size', 'data.', 'episodes.', 'eval.', 'seed', 'split', 'train.'
)  # fmt: skip


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    open_data: Callable[[ml_collections.ConfigDict], Any],
) -> dict[str, Any]:
  """Runs every row of `config.compare`.

  Each row is an ordinary run in a folder of its own; one that is finished is
  not run again. A row with nothing to train is evaluated.

  Args:
    config: a config with `compare`.
    workdir: its folder; rows lie in `workdir/<row>`.
    mode: 'train' or 'evaluate'.
    open_data: config -> data pipeline. Rows that read the same share one.

  Returns:
    {row: run card}; the table is printed and written as compare.json, and the
    last row's pictures as report.html.
  """
  rows = experiment.rows(config)
  data = open_data(config)
  pipelines = {_data_key(config): data}
  differ = differences(rows)
  log.log('\n' + tables.as_text(differ))
  folder = pathlib.Path(workdir).absolute()
  cards: dict[str, Any] = {}
  for name, own in rows.items():
    own_folder = folder / name.replace(' ', '_')
    done = run_folder.finished(own_folder, own)
    if done and mode == 'train':
      log.log(f'\n== {name}: finished earlier ==')
      cards[name] = done
      continue
    log.log(f'\n== {name} ==')
    key = _data_key(own)
    if key not in pipelines:
      pipelines[key] = open_data(own)
    own_mode = fitting_mode(mode, own)
    cards[name] = execute.execute(
        own, str(own_folder), own_mode, pipelines[key]
    )
    # Not before a row: a mistake in the config should leave no folder.
    run_folder.prepare(workdir, config, log.is_first())
  results = table(cards)
  log.log('\n' + tables.as_text(results))
  if log.is_first():
    data.write(folder)
    whole_file.write_json(folder / 'compare.json', results)
    path = folder / 'report.html'
    data = pipelines.get(_data_key(own), data)
    page = gallery.write(path, results, own_folder, data, differ)
    log.log(f'\npictures: {page}')
  return cards


def differences(
    rows: dict[str, ml_collections.ConfigDict],
) -> list[dict[str, Any]]:
  """Returns a row for each key in which the rows of a comparison differ."""
  values = {name: identity.flat(own) for name, own in rows.items()}
  keys = dict.fromkeys(key for own in values.values() for key in own)
  table = [
      {'key': key, **{n: str(own.get(key, '')) for n, own in values.items()}}
      for key in keys
  ]
  return [row for row in table if len({*list(row.values())[1:]}) > 1]


def table(cards: dict[str, Any]) -> list[dict[str, Any]]:
  """Returns a row per card: top-1 on every list, trained weights, selection."""
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


def _data_key(config: ml_collections.ConfigDict) -> str:
  values = identity.flat(config).items()
  return json.dumps([x for x in values if x[0].startswith(_DATA_KEYS)])
