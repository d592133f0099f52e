"""Named protocols: several ordinary runs, and one result of them all.

A protocol says which runs one config stands for (`expand`) and what to read
off their run cards (`combine`). Every run lies in a sub-folder, can be
interrupted and is not made again once it is finished. data.train_list,
data.val_list and data.test_list may hold {shots}, {seed} and {split}, which
each run fills in: train1_few_shot_{shots}.txt.

'episodes' trains anew for every K of protocol.shots, although K changes only
the scoring: the recipes published for other K also train with other settings.
"""

import dataclasses
import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import identity

Card = dict[str, Any]
_LISTS = ('train_list', 'val_list', 'test_list')


@dataclasses.dataclass(frozen=True)
class Part:
  """One run of a protocol.

  Attributes:
    name: of its sub-folder.
    config: of an ordinary run, locked.
  """

  name: str
  config: ml_collections.ConfigDict


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Which runs, and what their result is.

  Attributes:
    about: one sentence for the report.
    expand: a config -> its runs in order. Raises UserError if the config
      lacks what the protocol needs.
    combine: {part: run card} -> {quantity: its values}, which are averaged.
  """

  about: str
  expand: Callable[[ml_collections.ConfigDict], list[Part]]
  combine: Callable[[dict[str, Card]], dict[str, list[float]]]


def find(name: str) -> Protocol:
  """The protocol of a name.

  Raises:
    UserError: if there is none.
  """
  if name not in PROTOCOLS:
    raise UserError(
        f'protocol.name={name!r}: use one of {", ".join(PROTOCOLS)}, or '
        "'' for one ordinary run."
    )
  return PROTOCOLS[name]


def harmonic_mean(base: float, novel: float) -> float:
  """2bn / (b + n), which a weak half pulls down; 0 if both are 0."""
  return 2 * base * novel / (base + novel) if base + novel else 0.0


def _few_shot(config) -> list[Part]:
  return [
      _part(config, f'shots-{k or "all"}', shots=k)
      for k in _several(config, 'shots', config.protocol.shots)
  ]


def _per_shot(cards: dict[str, Card]) -> dict[str, list[float]]:
  """Top-1 of each list for each number of shots."""
  out = {}
  for card in cards.values():
    title = f'K={card["data"]["shots"] or "all"}'
    for name, top1 in _tests(card).items():
      column = title if name == 'test' else f'{title} {name}'
      out[column] = [top1]
  return out


def _episodes(config) -> list[Part]:
  parts = []
  for k in _several(config, 'shots', config.protocol.shots):
    part = _part(config, f'shots-{k}')
    with part.config.unlocked():
      part.config.episodes.test_shot = k
    parts.append(part)
  return parts


def _per_episode_shot(cards: dict[str, Card]) -> dict[str, list[float]]:
  """Accuracy on each list for each number of shots."""
  out = {}
  for card in cards.values():
    lists = card['data']['lists']
    for name, top1 in _tests(card).items():
      if 'episodes' not in lists[name]:
        raise UserError(
            f"protocol.name='episodes' needs a method that learns from "
            f'episodes, and method.name={card["method"]!r} does not.'
        )
      sizes = lists[name]['episodes']
      title = f'{sizes["way"]}-way {sizes["shot"]}-shot'
      out[title if name == 'test' else f'{title} {name}'] = [top1]
  return out


def _zero_shot(config) -> list[Part]:
  if not config.data.others:
    raise UserError(
        "protocol.name='zero_shot' scores other data sets: set data.others in "
        'the config file.'
    )
  return [_part(config, 'run')]


def _per_data_set(cards: dict[str, Card]) -> dict[str, list[float]]:
  """Top-1 of each data set, one value for each of its splits."""
  out = {}
  for card in cards.values():
    for name, top1 in _tests(card).items():
      other = 'data_set' in card['data']['lists'][name]
      title = re.sub(r'_split\d+$', '', name) if other else name
      out.setdefault(title, []).append(top1)
  return out


def _base_to_novel(config) -> list[Part]:
  if not config.data.novel_classes and not all(
      _halves(config.data.tests, half) for half in ('base', 'novel')
  ):
    raise UserError(
        "protocol.name='base_to_novel' needs novel classes: set "
        "data.novel_classes ('half', or a file), or the lists base and novel "
        '(or names that end in _base and _novel) in data.tests with '
        'data.class_scope=per_list.'
    )
  return [
      _part(config, f'seed-{seed}', seed=seed)
      for seed in _several(config, 'seeds', config.protocol.seeds)
  ]


def _base_and_novel(cards: dict[str, Card]) -> dict[str, list[float]]:
  """Top-1 on both halves and their harmonic mean, one value per seed.

  With several test lists (bright_base, dark_base, ...) a half is the mean of
  its lists. Other data sets do not count.
  """
  out = {'base': [], 'novel': [], 'harmonic mean': []}
  for card in cards.values():
    own = {
        name: top1
        for name, top1 in _tests(card).items()
        if 'data_set' not in card['data']['lists'][name]
    }
    base, novel = (
        statistics.fmean(own[name] for name in _halves(own, half))
        for half in ('base', 'novel')
    )
    out['base'].append(base)
    out['novel'].append(novel)
    out['harmonic mean'].append(harmonic_mean(base, novel))
  return out


def _halves(lists: Iterable[str], half: str) -> list[str]:
  """The lists that are a half, 'base' or 'novel', of a test list."""
  return [n for n in lists if n == half or n.endswith(f'_{half}')]


def _supervised(config) -> list[Part]:
  if config.data.shots:
    raise UserError(
        f"protocol.name='supervised' trains on all clips, and data.shots="
        f'{config.data.shots}: use 0.'
    )
  splits = config.protocol.splits or (config.split,)
  return [
      _part(config, f'split-{split}', split=split)
      for split in _several(config, 'splits', splits)
  ]


def _per_list(cards: dict[str, Card]) -> dict[str, list[float]]:
  """Top-1 of each list, one value per split."""
  out = {}
  for card in cards.values():
    for name, top1 in _tests(card).items():
      out.setdefault(name, []).append(top1)
  return out


PROTOCOLS = {
    'few_shot': Protocol(
        'K clips per class; one run for each K.', _few_shot, _per_shot
    ),
    'episodes': Protocol(
        'N-way K-shot episodes; one run for each K it is scored with.',
        _episodes,
        _per_episode_shot,
    ),
    'zero_shot': Protocol(
        'Other data sets, each against its own classes; mean over splits.',
        _zero_shot,
        _per_data_set,
    ),
    'base_to_novel': Protocol(
        'Trained on base classes; base and novel clips are each scored against '
        'their own classes; harmonic mean per seed, mean over seeds.',
        _base_to_novel,
        _base_and_novel,
    ),
    'supervised': Protocol(
        'All training clips; mean over splits.', _supervised, _per_list
    ),
}


def _part(
    config, name: str, shots: int | None = None, **changes: int
) -> Part:
  """The config of one run: its own shots, seed or split, no protocol."""
  own = identity.from_dict(identity.to_dict(config)).unlock()
  own.protocol.name = ''
  if shots is not None:
    own.data.shots = shots
  for key, value in changes.items():
    own[key] = value
  marks = {'shots': own.data.shots, 'seed': own.seed, 'split': own.split}
  for key in _LISTS:
    for mark, value in marks.items():
      own.data[key] = own.data[key].replace(f'{{{mark}}}', str(value))
  return Part(name, own.lock())


def _several(config, key: str, values) -> tuple[int, ...]:
  values = tuple(values)
  if not values or len(set(values)) < len(values) or min(values) < 0:
    raise UserError(
        f'protocol.{key}={values}: wanted one or more different numbers.'
    )
  return values


def _tests(card: Card) -> dict[str, float]:
  """Top-1 of every list but the one that selects."""
  return {
      name: summary['top1']
      for name, summary in card['final'].items()
      if name != 'val'
  }
