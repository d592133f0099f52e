"""Carries out a protocol: its runs one by one, then one table."""

import math
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from data_pipelines import whole_file
from evclip_jax.reporting import log, tables
from evclip_jax.runs import folder as run_folder
from evclip_jax.runs import protocols

RunPart = Callable[[ml_collections.ConfigDict, str, str], dict[str, Any]]


def run(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    run_part: RunPart,
) -> dict[str, Any]:
  """Runs every part of `config.protocol` that is not finished yet.

  Args:
    config: a config with `protocol.name`.
    workdir: its folder; parts lie in `workdir/<part>`.
    mode: 'train' or 'evaluate'.
    run_part: (config, folder, mode) -> run card, or {variant: run card} if
      the config compares.

  Returns:
    What is written as protocol.json (evaluate_protocol.json if nothing was
    trained): 'results', with mean and standard deviation of every quantity,
    and 'numbers', with what each was computed from.

  Raises:
    UserError: anything a part refuses, or a config that lacks what the
      protocol needs.
  """
  protocol = protocols.find(config.protocol.name)
  parts = protocol.expand(config)
  is_first = jax.process_index() == 0
  run_folder.check_free(workdir, config)
  folder = pathlib.Path(workdir).absolute()
  cards = {}
  for part in parts:
    own = folder / part.name
    done = None if part.config.compare else run_folder.finished(
        own, part.config
    )
    if done and mode == 'train':
      log.log(f'\n=== {part.name}: finished earlier ===')
      cards[part.name] = done
      continue
    log.log(f'\n=== {part.name} ===')
    cards[part.name] = run_part(part.config, str(own), mode)
    # Not before a part: a mistake in the config should leave no folder.
    run_folder.prepare(workdir, config, is_first)
  out = summary(config, protocol, cards)
  log.log(f'\n{config.protocol.name}: {protocol.about}')
  log.log(tables.as_text(table(out['results'])))
  if is_first:
    name = 'protocol.json' if mode == 'train' else f'{mode}_protocol.json'
    whole_file.write_json(folder / name, out)
  return out


def summary(
    config: ml_collections.ConfigDict,
    protocol: protocols.Protocol,
    cards: dict[str, Any],
) -> dict[str, Any]:
  """The contents of protocol.json.

  Args:
    config: the whole config.
    protocol: as `config.protocol.name` says.
    cards: {part: run card} or {part: {variant: run card}}.
  """
  if not config.compare:
    cards = {part: {config.method.name: c} for part, c in cards.items()}
  variants = list(next(iter(cards.values())))
  results, numbers = [], []
  for variant in variants:
    own = {part: by_variant[variant] for part, by_variant in cards.items()}
    for quantity, values in protocol.combine(own).items():
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
  """Mean and standard deviation of the sample."""
  return {
      'mean': statistics.fmean(values),
      'std': statistics.stdev(values) if len(values) > 1 else None,
      'values': values,
  }


def table(results: list[dict[str, Any]]) -> list[dict[str, str]]:
  """One row per variant, one column per quantity: 'mean ± std'."""
  rows = {}
  for result in results:
    row = rows.setdefault(result['variant'], {'variant': result['variant']})
    row[result['quantity']] = _cell(result)
  return list(rows.values())


def view_name(clips: int, crops: int) -> str:
  """How often a video is looked at: 'single view' or '4 clips x 3 crops'."""
  if clips * crops == 1:
    return 'single view'
  return f'{clips} clips x {crops} crops'


def _cell(result: dict[str, Any]) -> str:
  text = f'{result["mean"]:.1f}'
  std = result['std']
  return text if std is None or math.isnan(std) else f'{text} ± {std:.1f}'


def _episodes(listed: dict[str, Any]) -> dict[str, Any]:
  own = listed.get('episodes')
  return {'episode_list': own} if own else {}


def _numbers(variant: str, part: str, card: dict[str, Any]) -> list[dict]:
  """What made each number of a run."""
  lists = card['data']['lists']
  train = lists.get('train', {})
  views = card['views']
  return [
      {
          'variant': variant,
          'part': part,
          'list': name,
          **values,
          **_episodes(lists[name]),
          'data_set': lists[name].get('data_set', card['data']['name']),
          'from': lists[name]['from'],
          'sha256': lists[name]['sha256'],
          'classes': lists[name].get('classes', card['data']['classes']),
          'split': lists[name].get('split', card['split']),
          'seed': card['seed'],
          'shots': card['data']['shots'],
          'train_sha256': train.get('sha256'),
          'view': view_name(views['clips'], views['crops']),
          'views': views,
          'selected_by': card['selection']['rule'],
          'step': card['selection']['step'],
          'config_hash': card['config_hash'],
      }
      for name, values in card['final'].items()
  ]
