"""Puts the results of the analysis into sentences."""

import math
import statistics
from collections.abc import Iterator
from typing import Any

from evclip_jax.domain_shift.factors import FACTORS

# Most items in one sentence.
_MOST = 3
_FIFTHS = ('lowest', 'second', 'middle', 'fourth', 'highest')


def of(result: dict[str, Any]) -> list[str]:
  """Returns sentences on the lists, the factors, the gains and the curves."""
  return [*_lists(result), *_influence(result), *_gains(result),
          *_curves(result)]  # fmt: skip


def number(value: float) -> str:
  """Formats a number with three digits."""
  return f'{value:.3g}' if abs(value) < 100 else f'{value:,.0f}'


def amount(name: str, value: float) -> str:
  """Formats a factor's value with its unit."""
  unit = FACTORS[name].unit
  return number(value) + (f' {unit}' if unit else '')


def _lists(result) -> Iterator[str]:
  first = result['reference']
  for name, found in result['differences'].items():
    # Of factors about the same thing, name only the first.
    gaps, leaders = {}, {}
    for n, factor in FACTORS.items():
      x = found.get(n)
      if factor.cause and x and not x['low'] <= 0 <= x['high']:
        about = factor.about or factor.title
        leaders.setdefault(about, n)
        gaps[about] = max(gaps.get(about, 0), abs(x['difference']))
    ranked = sorted(gaps, key=lambda about: -gaps[about])[:_MOST]
    parts = []
    for n in map(leaders.get, ranked):
      x = found[n]
      parts.append(
          f'{FACTORS[n].title} {amount(n, x["mean"])} against '
          f'{number(x["reference"])} ({x["difference"]:+.1f} standard '
          'deviations)'
      )
    said = f'{name} and {first} differ in no factor beyond chance'
    if parts:
      said = f'{name} differs from {first} mostly in {ranked[0]}: '
    yield said + ', '.join(parts) + _top1(result, first, name) + '.'


def _top1(result, first: str, name: str) -> str:
  ours, theirs = (result['lists'][n]['top1'] for n in (first, name))
  if not theirs:
    return ''
  against = {m: f' against {ours[m]:.1f}' if m in ours else '' for m in theirs}
  shown = [f'{m} {theirs[m]:.1f}{against[m]}' for m in theirs]
  return '; top-1: ' + ', '.join(shown)


def _influence(result) -> Iterator[str]:
  for method, found in result['influence'].items():
    if not found['factors']:
      yield f'{method}: {found["note"]}.'
      continue
    beyond = [x for x in found['factors'] if x['significant']]
    if not beyond:
      yield (
          f'What {method} gets right goes with no factor beyond chance '
          f'({found["clips"]} clips, {len(found["factors"])} factors).'
      )
      continue
    parts = []
    for x in beyond[:_MOST]:
      odds = number(math.exp(min(x['coefficient'], 50)))
      parts.append(
          f'{FACTORS[x["factor"]].title} ({100 * x["share"]:.0f} % of what is '
          f'explained, odds x {odds} per standard deviation)'
      )
    rest = len(found['factors']) - len(beyond)
    yield (
        f'What {method} gets right goes with {", ".join(parts)}; factors '
        f'explain {100 * found["explained"]:.0f} % of the deviance, {rest} of '
        'them are not significant.'
    )


def _gains(result) -> Iterator[str]:
  base, *others = result['methods']
  ranked = [x['factor'] for x in result['influence'][base]['factors']]
  if not ranked:
    return
  name = ranked[0]
  parts = result['along'].get(name, [])
  for method in others:
    told = []
    for place, part in enumerate(parts):
      x = part['methods'][method]
      if x['gain_low'] > 0 or x['gain_high'] < 0:
        which = f'part {place + 1}'
        if len(parts) == len(_FIFTHS):
          which = f'{_FIFTHS[place]} fifth'
        told.append(f'{x["gain"]:+.0f} points in the {which}')
    if len(told) < len(parts):
      where = 'elsewhere' if told else 'in any fifth'
      told.append(f'nothing beyond chance {where}')
    title = FACTORS[name].title
    yield f'{method} gains over {base}, along {title}: {", ".join(told)}.'


def _curves(result) -> Iterator[str]:
  kinds = result['corruptions'].get('kinds', {})
  for method in result['methods'] if kinds else ():
    # Accuracies, since a share of one near chance says little.
    before = next(iter(kinds.values()))[method]['top1'][0]
    worse = {k: statistics.fmean(x[method]['top1'][1:])
             for k, x in kinds.items()}  # fmt: skip
    # A single kind is both the worst and the best: name it once.
    ends = dict.fromkeys((min(worse, key=worse.get), max(worse, key=worse.get)))
    told = [f'to {worse[kind]:.1f} under {kind}' for kind in ends]
    yield (
        f'On {result["corruptions"]["list"]} made worse, top-1 of {method} '
        f'goes from {before:.1f} {" and ".join(told)} (mean of five '
        'severities).'
    )
