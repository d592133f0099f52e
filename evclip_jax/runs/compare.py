"""Runs several methods or settings alike, and makes one table of results.

The config of each row is made in `config/experiment.py`.
"""

import contextlib
import json
import pathlib
from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity
from evclip_jax.reporting import log, tables
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import result_page, results
from evclip_jax.runs import run as single
from evclip_jax.training import devices, session

# Keys that decide the lists, the batches and how many there are.
_DATA_KEYS = (
    'batch_size', 'data.', 'episodes.', 'eval.', 'seed', 'split', 'train.'
)  # fmt: skip


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    is_part: bool = False,
    loaded: dict | None = None,
) -> dict[str, Any]:
  """Runs every row of `config.compare` and returns {row: run card}.

  Each row is an ordinary run in `workdir/<row>`, which is not repeated once
  finished. A row with nothing to train is evaluated. Rows that read the same
  share their data, and all share the networks in `loaded`. Tables are printed
  and written as compare.json (or evaluate_compare.json), .csv and report.html,
  except in a part of a protocol (`is_part`), which makes its own.
  """
  rows = experiment.rows(config)
  places = [run_folder.of_row(name) for name in rows]
  if len({*places}) < len(places):
    raise UserError(f'compare: two rows would have one folder: {list(rows)}.')
  table = differing_keys(rows)
  if table and not is_part:
    log.log('\n' + tables.as_text(table))
  folder = pathlib.Path(workdir).absolute()
  loaded = {} if loaded is None else loaded
  cards: dict[str, Any] = {}
  pipelines = open_data(rows, workdir, mode, loaded)
  devices.prepare(config)
  # Do not find a fault of a later row only hours later.
  for name, data in pipelines.items():
    own, of = rows[name], (data.class_names, loaded)
    with _named(name):
      own_mode = experiment.fitting_mode(mode, own)
      # Not kept: it holds the weights on the devices.
      single.check(own, own_mode, session.build(own, *of), data)
  for name, own in rows.items():
    own_folder = folder / run_folder.of_row(name)
    if name not in pipelines:
      log.log(f'\n== {name}: finished earlier ==')
      cards[name] = run_folder.load_card(own_folder)
      continue
    log.log(f'\n== {name} ==')
    own_mode = experiment.fitting_mode(mode, own)
    cards[name] = single.execute(
        own, str(own_folder), own_mode, pipelines[name], loaded
    )
    # Only after a row, so that a mistake in the config leaves no folder.
    if mode == 'train' or not (folder / 'config.json').exists():
      run_folder.prepare(workdir, config)
  if is_part or not log.is_first():
    return cards
  runs = {
      name: {'': results.Run(card, folder / run_folder.of_row(name))}
      for name, card in cards.items()
  }
  summary = results.summarise_runs(runs, results.tests, config.seed)
  log.log('\n' + result_page.as_text(summary))
  kind = 'compare' if mode == 'train' else f'{mode}_compare'
  title = f'{folder.name}: comparison'
  result_page.write(folder, kind, title, runs, summary, table)
  return cards


def open_data(
    rows: dict[str, ml_collections.ConfigDict],
    workdir: str,
    mode: str,
    loaded: dict,
) -> dict[str, Any]:
  """Returns {row: its opened `Pipeline`} for the rows still to be run.

  Rows that read the same share one.
  """
  alike: dict[str, list[str]] = {}
  for name, own in rows.items():
    folder = pathlib.Path(workdir) / run_folder.of_row(name)
    if mode != 'train' or not run_folder.finished(folder, own):
      alike.setdefault(_data_key(own), []).append(name)
  out = {}
  for names in alike.values():

    def check(data, names=names):
      for name in names:
        with _named(name):
          single.check_step(rows[name], mode, data, loaded)

    data = single.open_data(rows[names[0]], workdir, mode, loaded, check)
    out |= dict.fromkeys(names, data)
  return out


@contextlib.contextmanager
def _named(row: str):
  """Puts the name of a row before what is wrong with it."""
  try:
    yield
  except UserError as e:
    raise UserError(f'row {row!r}: {e}') from e


def differing_keys(
    rows: dict[str, ml_collections.ConfigDict],
) -> list[dict[str, Any]]:
  """Returns a table of the keys in which rows differ, or from defaults."""
  values = {name: identity.flat(own) for name, own in rows.items()}
  usual = [identity.flat(experiment.new(c.method.name)) for c in rows.values()]
  table = []
  for key in dict.fromkeys(key for own in values.values() for key in own):
    seen = [own[key] for own in values.values() if key in own]
    if key.startswith('method.settings.'):
      seen += [own[key] for own in usual if key in own]
    if any(value != seen[0] for value in seen):
      shown = {n: str(own.get(key, '')) for n, own in values.items()}
      table.append({'key': key, **shown})
  return table


def _data_key(config: ml_collections.ConfigDict) -> str:
  values = identity.flat(config).items()
  return json.dumps([
      experiment.is_episodic(config),
      *(x for x in values if x[0].startswith(_DATA_KEYS)),
  ])
