"""Runs named protocols: several ordinary runs, and one result of all.

A protocol says which runs one config stands for (`expand`) and which numbers of
their run cards are averaged. Every run has a sub-folder, may be interrupted,
and is not repeated once it is finished. data.train_list, data.val_list,
data.test_list and those of data.tests may hold {shots}, {seed} and {split},
which each run fills in: train1_few_shot_{shots}.txt.

'episodes' trains anew for every K of protocol.shots, although K changes only
the scoring, since the published recipes train with other settings for other K.
"""

import contextlib
import dataclasses
import io
import pathlib
import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, identity, schema
from evclip_jax.reporting import log, tables
from evclip_jax.runs import compare, result_page, results
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import run as single
from evclip_jax.runs.results import Card, Run
from evclip_jax.training import devices

Quantities = list[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Says which runs a protocol makes and what it averages over them.

  Attributes:
    about: one sentence for the report.
    quantities: run card -> (name, value) of what is averaged.
    varies: the key of config.protocol, beside `seeds`, that its runs differ in.
    seeds: the default of protocol.seeds; () = the config's seed.
  """

  about: str
  quantities: Callable[[Card], Quantities]
  varies: str = ''
  seeds: tuple[int, ...] = ()


def run(
    config: ml_collections.ConfigDict, workdir: str, mode: str
) -> dict[str, Any]:
  """Runs each unfinished part of `config.protocol` in workdir/<part>.

  Returns the contents of protocol.json, or of evaluate_protocol.json.
  """
  parts = expand(config)
  run_folder.check_free(workdir, config)
  folder = pathlib.Path(workdir).absolute()
  # All parts compare the same rows.
  first = next(iter(parts.values()))
  table = compare.differing_keys(experiment.rows(first))
  if table:
    log.log('\n' + tables.as_text(table))
  cards, loaded = {}, {}
  for name, own in parts.items():
    if mode == 'train' and not own.compare:
      cards[name] = run_folder.finished(folder / name, own)
  waiting = {n: own for n, own in parts.items() if not cards.get(n)}
  if len(waiting) > 1:
    _check_data(waiting, folder, mode, loaded)
  for name, own in parts.items():
    said = '' if name in waiting else ': finished earlier'
    log.log(f'\n=== {name}{said} ===')
    if name in waiting:
      place = str(folder / name)
      cards[name] = single.run_one(own, place, mode, True, loaded)
    # Only after a part, so that a mistake in the config leaves no folder.
    run_folder.prepare(workdir, config)
  runs = runs_by_row(config, cards, folder)
  out = summary(config, runs)
  log.log(f'\n{config.protocol.name}: {out["about"]}')
  log.log(result_page.as_text(out))
  if log.is_first():
    name = 'protocol' if mode == 'train' else f'{mode}_protocol'
    title = f'{folder.name}: {config.protocol.name}'
    result_page.write(folder, name, title, runs, out, table)
  return out


def _check_data(parts, folder: pathlib.Path, mode: str, loaded: dict):
  """Opens the data of all parts, to find at once what is missing from them."""
  # What this logs, it logs only once.
  devices.prepare(next(iter(parts.values())))
  for name, own in parts.items():
    place = str(folder / name)
    # Each part logs its own data when it begins.
    with contextlib.redirect_stdout(io.StringIO()):
      if own.compare:
        compare.open_data(experiment.rows(own), place, mode, loaded)
      else:
        own_mode = experiment.fitting_mode(mode, own)
        single.open_data(own, place, own_mode, loaded)


def expand(
    config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
  """Returns the runs of a protocol in order: name of a sub-folder -> config.

  UserError if there is no such protocol, or if the config lacks what it needs
  or sets what has no effect in it.
  """
  own = config.protocol
  if own.name not in PROTOCOLS:
    raise UserError(
        f'protocol.name={own.name!r}: use one of {", ".join(PROTOCOLS)}, or '
        "'' for one ordinary run."
    )
  protocol = PROTOCOLS[own.name]
  if needs := _needs(config):
    raise UserError(f'protocol.name={own.name!r} {needs}.')
  for key in ('shots', 'splits'):
    default = schema.KEYS[f'protocol.{key}'].default
    if key != protocol.varies and tuple(own[key]) != default:
      raise UserError(
          f'protocol.{key}={tuple(own[key])} has no effect with '
          f'protocol.name={own.name!r}: leave it out.'
      )
  seeds = tuple(own.seeds) or protocol.seeds
  if seeds and config.seed not in (schema.KEYS['seed'].default, *seeds):
    raise UserError(
        f'seed={config.seed} has no effect with protocol.seeds={seeds}.'
    )
  label, values = {
      'shots': ('shots-{}', tuple(own.shots)),
      'splits': ('split-{}', tuple(own.splits) or (config.split,)),
      '': ('', (0,)),
  }[protocol.varies]
  for key, several in ((protocol.varies, values), ('seeds', seeds or (0,))):
    if not several or len({*several}) < len(several) or min(several) < 0:
      raise UserError(
          f'protocol.{key}={several}: wanted one or more different numbers.'
      )
  zero = 'all' if own.name == 'few_shot' else '0'
  parts = {}
  for value in values:
    for seed in seeds or (config.seed,):
      names = [label.format(value or zero), f'seed-{seed}' * bool(seeds)]
      name = '-'.join(filter(None, names)) or 'run'
      parts[name] = _part(config, own.name, value, seed)
  return parts


def _part(config, kind: str, value: int, seed: int):
  """Returns the config of one run: its own shots, split and seed."""
  own = identity.from_dict(identity.to_dict(config)).unlock()
  own.protocol = schema.base().protocol
  own.seed = seed
  if kind == 'few_shot':
    own.data.shots = value
  elif kind == 'episodes':
    own.episodes.test_shot = value
  elif kind == 'supervised':
    own.split = value
  marks = {'shots': own.data.shots, 'seed': own.seed, 'split': own.split}
  named = dict.fromkeys(own.data.tests, own.data.tests)
  lists = dict.fromkeys(('train_list', 'val_list', 'test_list'), own.data)
  for key, holder in (*lists.items(), *named.items()):
    for mark, number in marks.items():
      holder[key] = holder[key].replace(f'{{{mark}}}', str(number))
  return own.lock()


def runs_by_row(
    config: ml_collections.ConfigDict,
    cards: dict[str, Any],
    folder: pathlib.Path,
) -> results.Runs:
  """Regroups {part: run card, or {row: run card}} as {row: {part: run}}."""
  if not config.compare:
    name = config.method.name
    return {name: {p: Run(card, folder / p) for p, card in cards.items()}}
  return {
      row: {
          part: Run(own[row], folder / part / run_folder.of_row(row))
          for part, own in cards.items()
      }
      for row in next(iter(cards.values()))
  }


def summary(
    config: ml_collections.ConfigDict, runs: results.Runs
) -> dict[str, Any]:
  """Returns the contents of protocol.json from those of `runs_by_row`."""
  protocol = PROTOCOLS[config.protocol.name]
  return {
      'protocol': config.protocol.name,
      'about': protocol.about,
      **results.summarise_runs(runs, protocol.quantities, config.seed),
  }


def _per_shot(card: Card) -> Quantities:
  title = f'K={card["data"]["shots"] or "all"}'
  return [(_column(title, name), top1) for name, top1 in results.tests(card)]


def _per_episode_shot(card: Card) -> Quantities:
  out = []
  for name, top1 in results.tests(card):
    sizes = card['data']['lists'][name]['episodes']
    title = f'{sizes["way"]}-way {sizes["shot"]}-shot'
    out.append((_column(title, name), top1))
  return out


def _column(title: str, name: str) -> str:
  return title if name == 'test' else f'{title} {name}'


def _per_data_set(card: Card) -> Quantities:
  """Drops the split of other data sets' names, so that splits are averaged."""
  lists = card['data']['lists']
  return [
      (re.sub(r'_split\d+$', '', n) if 'data_set' in lists[n] else n, top1)
      for n, top1 in results.tests(card)
  ]


def _base_and_novel(card: Card) -> Quantities:
  """Gives top-1 on both halves, means of their lists, and the harmonic mean."""
  lists = card['data']['lists']
  own = {n: x for n, x in results.tests(card) if 'data_set' not in lists[n]}
  base, novel = (
      statistics.fmean(own[name] for name in _halves(own, half))
      for half in ('base', 'novel')
  )
  mean = 2 * base * novel / (base + novel) if base + novel else 0.0
  return [('base', base), ('novel', novel), ('harmonic mean', mean)]


def _halves(lists: Iterable[str], half: str) -> list[str]:
  """Picks the lists that are one half, 'base' or 'novel', of a test list."""
  return [n for n in lists if n == half or n.endswith(f'_{half}')]


def _needs(config: ml_collections.ConfigDict) -> str:
  """Says what a config lacks for its protocol; '' = nothing."""
  data, name = config.data, config.protocol.name
  if name == 'zero_shot' and not data.others:
    return 'scores other data sets: set data.others in the config file'
  rows = experiment.rows(config).values() if config.compare else [config]
  if name == 'episodes' and not all(
      experiment.is_episodic(own) or own.episodes.score for own in rows
  ):
    return (
        'needs a method that learns from episodes, such as clip_fsar, or '
        'episodes.score=True'
    )
  if name == 'supervised' and data.shots:
    return f'trains on all clips, and data.shots={data.shots}: use 0'
  given = all(_halves(data.tests, half) for half in ('base', 'novel'))
  if name == 'base_to_novel' and not data.novel_classes and not given:
    return (
        "needs novel classes: set data.novel_classes ('half', or a file), or "
        'the lists base and novel (or names that end in _base and _novel) in '
        'data.tests with data.class_scope=per_list'
    )
  return ''


PROTOCOLS = {
    'few_shot': Protocol(
        'K clips per class; one run for each K.', _per_shot, 'shots'
    ),
    'episodes': Protocol(
        'N-way K-shot episodes; one run for each K it is scored with.',
        _per_episode_shot,
        'shots',
    ),
    'zero_shot': Protocol(
        'Other data sets, each against its own classes; mean over splits.',
        _per_data_set,
    ),
    'base_to_novel': Protocol(
        'Trained on base classes; base and novel clips are each scored against '
        'their own classes (the mean of several lists); harmonic mean per '
        'seed, mean over seeds.',
        _base_and_novel,
        seeds=(1, 2, 3),
    ),
    'supervised': Protocol(
        'All training clips; mean over splits.', results.tests, 'splits'
    ),
    'seeds': Protocol(
        'The same run with several seeds; mean over seeds.',
        results.tests,
        seeds=(1, 2, 3),
    ),
}
