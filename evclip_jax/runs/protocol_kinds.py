"""The protocols: what a result is made of, and what a config needs for it."""

import dataclasses
import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import ml_collections

from data_pipelines.errors import UserError

Card = dict[str, Any]
Quantities = list[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Which runs, and what their result is.

  Attributes:
    about: one sentence for the report.
    quantities: run card -> (name, value) of what is averaged over runs.
    varies: the key of config.protocol, beside `seeds`, that its runs differ in.
    seeds: of the runs if protocol.seeds is (); () = that of the config.
  """

  about: str
  quantities: Callable[[Card], Quantities]
  varies: str = ''
  seeds: tuple[int, ...] = ()


def find(config: ml_collections.ConfigDict) -> Protocol:
  """Returns the protocol of a config.

  Raises:
    UserError: there is no such protocol, or the config lacks what it needs.
  """
  name = config.protocol.name
  if name not in PROTOCOLS:
    raise UserError(
        f'protocol.name={name!r}: use one of {", ".join(PROTOCOLS)}, or '
        "'' for one ordinary run."
    )
  if needs := _needs(config):
    raise UserError(f'protocol.name={name!r} {needs}.')
  return PROTOCOLS[name]


def harmonic_mean(base: float, novel: float) -> float:
  """Returns 2bn / (b + n), which a weak half pulls down; 0 if both are 0."""
  return 2 * base * novel / (base + novel) if base + novel else 0.0


def _tests(card: Card) -> Quantities:
  """Lists top-1 of every list but the one that selects."""
  final = card['final'].items()
  return [(name, x['top1']) for name, x in final if name != 'val']


def _per_shot(card: Card) -> Quantities:
  title = f'K={card["data"]["shots"] or "all"}'
  return [(_column(title, name), top1) for name, top1 in _tests(card)]


def _per_episode_shot(card: Card) -> Quantities:
  out = []
  for name, top1 in _tests(card):
    sizes = card['data']['lists'][name].get('episodes')
    if sizes is None:
      raise UserError(
          f"protocol.name='episodes' needs a method that learns from "
          f'episodes, and method.name={card["method"]!r} does not.'
      )
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
      for n, top1 in _tests(card)
  ]


def _base_and_novel(card: Card) -> Quantities:
  """Gives top-1 on both halves and their harmonic mean.

  With several test lists (bright_base, dark_base, ...) a half is the mean of
  its lists. Other data sets do not count.
  """
  lists = card['data']['lists']
  own = {n: top1 for n, top1 in _tests(card) if 'data_set' not in lists[n]}
  base, novel = (
      statistics.fmean(own[name] for name in _halves(own, half))
      for half in ('base', 'novel')
  )
  mean = harmonic_mean(base, novel)
  return [('base', base), ('novel', novel), ('harmonic mean', mean)]


def _halves(lists: Iterable[str], half: str) -> list[str]:
  """Lists those that are a half, 'base' or 'novel', of a test list."""
  return [n for n in lists if n == half or n.endswith(f'_{half}')]


def _needs(config: ml_collections.ConfigDict) -> str:
  """Says what a config lacks for its protocol; '' = nothing."""
  data, name = config.data, config.protocol.name
  if name == 'zero_shot' and not data.others:
    return 'scores other data sets: set data.others in the config file'
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
        'their own classes; harmonic mean per seed, mean over seeds.',
        _base_and_novel,
        seeds=(1, 2, 3),
    ),
    'supervised': Protocol(
        'All training clips; mean over splits.',
        _tests,
        'splits',
    ),
    'seeds': Protocol(
        'The same run with several seeds; mean over seeds.',
        _tests,
        seeds=(1, 2, 3),
    ),
}
