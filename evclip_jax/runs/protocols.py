"""Named protocols: several ordinary runs, and one result of them all.

A protocol says which runs one config stands for (`expand`) and what to read
off their run cards (`combine`). Every run lies in a sub-folder, can be
interrupted and is not made again once it is finished. data.train_list,
data.val_list and data.test_list may hold {shots}, {seed} and {split}, which
each run fills in: train1_few_shot_{shots}.txt.

'episodes' trains anew for every K of protocol.shots, although K changes only
the scoring: the recipes published for other K also train with other settings.
"""

import pathlib
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import ml_collections

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from evclip_jax.config import identity, schema
from evclip_jax.reporting import log, tables
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs.protocol_kinds import PROTOCOLS, Card, Protocol, find


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    run_part: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
  """Runs every part of `config.protocol` that is not finished yet.

  Args:
    config: a config with `protocol.name`.
    workdir: its folder; parts lie in `workdir/<part>`.
    mode: 'train' or 'evaluate'.
    run_part: (config, folder, mode) -> run card, or {row: run card}.

  Returns:
    What is written as protocol.json, or evaluate_protocol.json: 'results',
    with mean and standard deviation of every quantity, and 'numbers', with
    what each was computed from.
  """
  parts = expand(config)
  run_folder.check_free(workdir, config)
  folder = pathlib.Path(workdir).absolute()
  cards = {}
  for name, own in parts.items():
    done = None
    if mode == 'train' and not own.compare:
      done = run_folder.finished(folder / name, own)
    log.log(f'\n=== {name}' + (': finished earlier ===' if done else ' ==='))
    cards[name] = done or run_part(own, str(folder / name), mode)
    # Not before a part: a mistake in the config should leave no folder.
    run_folder.prepare(workdir, config, log.is_first())
  out = summary(config, cards)
  log.log(f'\n{config.protocol.name}: {out["about"]}')
  log.log(tables.as_text(table(out['results'])))
  if log.is_first():
    name = 'protocol.json' if mode == 'train' else f'{mode}_protocol.json'
    whole_file.write_json(folder / name, out)
  return out


def expand(
    config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
  """Returns the runs of a protocol in order: name of a sub-folder -> config.

  Raises:
    UserError: the config lacks what the protocol needs, or sets what has no
      effect in it.
  """
  own = config.protocol
  protocol = find(config)
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


def summary(
    config: ml_collections.ConfigDict, cards: dict[str, Any]
) -> dict[str, Any]:
  """Returns the contents of protocol.json of {part: what its run gave}."""
  protocol = PROTOCOLS[config.protocol.name]
  if not config.compare:
    cards = {part: {config.method.name: c} for part, c in cards.items()}
  results, numbers = [], []
  for variant in next(iter(cards.values())):
    own = {part: by_variant[variant] for part, by_variant in cards.items()}
    for quantity, values in combine(protocol, own.values()).items():
      results.append(
          {'variant': variant, 'quantity': quantity, **spread(values)}
      )
    for part, card in own.items():
      numbers += _numbers(variant, part, card)
  return {
      'protocol': config.protocol.name,
      'about': protocol.about,
      'results': results,
      'std': 'of the sample (n - 1); null for a single value',
      'numbers': numbers,
  }


def spread(values: list[float]) -> dict[str, Any]:
  """Returns mean and standard deviation of the sample."""
  return {
      'mean': statistics.fmean(values),
      'std': statistics.stdev(values) if len(values) > 1 else None,
      'values': values,
  }


def table(results: list[dict[str, Any]]) -> list[dict[str, str]]:
  """Returns a row per variant, a column per quantity: 'mean ± std'."""
  rows = {}
  for result in results:
    row = rows.setdefault(result['variant'], {'variant': result['variant']})
    std = '' if result['std'] is None else f' ± {result["std"]:.1f}'
    row[result['quantity']] = f'{result["mean"]:.1f}{std}'
  return list(rows.values())


def _numbers(variant: str, part: str, card: Card) -> list[dict[str, Any]]:
  """Lists what made each number of a run."""
  data, views = card['data'], card['views']
  seen = f'{views["clips"]} clips x {views["crops"]} crops'
  run = {
      'seed': card['seed'],
      'shots': data['shots'],
      'train_sha256': data['lists'].get('train', {}).get('sha256'),
      'view': 'single view' if seen == '1 clips x 1 crops' else seen,
      'views': views,
      'selected_by': card['selection']['rule'],
      'step': card['selection']['step'],
      'config_hash': card['config_hash'],
  }
  rows = []
  for name, values in card['final'].items():
    about = data['lists'][name]
    row = {'variant': variant, 'part': part, 'list': name, **values}
    if about.get('episodes'):
      row['episode_list'] = about['episodes']
    rows.append({
        **row,
        'data_set': about.get('data_set', data['name']),
        'from': about['from'],
        'sha256': about['sha256'],
        'classes': about.get('classes', data['classes']),
        'split': about.get('split', card['split']),
        **run,
    })
  return rows


def combine(
    protocol: Protocol, cards: Iterable[Card]
) -> dict[str, list[float]]:
  """Returns {quantity: its values over the runs}."""
  out: dict[str, list[float]] = {}
  for card in cards:
    for name, value in protocol.quantities(card):
      out.setdefault(name, []).append(value)
  return out


def _part(config, kind: str, value: int | None, seed: int):
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
  for key in ('train_list', 'val_list', 'test_list'):
    for mark, number in marks.items():
      own.data[key] = own.data[key].replace(f'{{{mark}}}', str(number))
  return own.lock()
