"""Writes shift.html: sentences, then the evidence for them."""

import functools
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.errors import UserError
from data_pipelines.video import read_frames
from evclip_jax.domain_shift import sentences
from evclip_jax.domain_shift.factors import FACTORS
from evclip_jax.reporting import charts
from evclip_jax.reporting.page import Picture, Section, write_page

# Number of factors with fifths and with extreme clips on the page.
_SHOWN, _EXTREMES = 6, 3
_FRAMES, _FRAME_WIDTH = 4, 150
_TITLES = {
    'frechet': 'Fréchet',
    'mmd': 'MMD²',
    'proxy_a': 'proxy A',
    'centroid': 'class centroids, 1 - cos',
    'within': 'spread within classes, more by',
    'between': 'spread between classes, more by',
    'texts': 'class texts, 1 - cos',
}
# Notes on every page.
_ALWAYS = [
    'A regression shows what goes together, not what causes what: a factor may '
    'stand for another one that was not measured.',
    'What the network makes of a clip (clip and class text, margin) is part of '
    'the answer and no factor of the regression.',
]


def write(found, clips: dict[str, Any], result: dict[str, Any]) -> pathlib.Path:
  """Writes the page of a study, its clips by list, and its result."""
  first, *more = result['sentences']
  ranked = _ranked(result)
  said = 'Each point is a fifth of the clips, bars are 95 % intervals (Wilson).'
  if len(result['methods']) > 1:
    said += f' Gains are over {result["methods"][0]}.'
  along = [n for n in ranked[:_SHOWN] if n in result['along']]
  sections = [
      Section(text='\n'.join(more)),
      _lists(result),
      _distances(result),
      *(_influence(m, x) for m, x in result['influence'].items()),
      Section(
          'Accuracy along factors',
          said,
          pictures=[_along(n, result['along'][n]) for n in along],
      ),
      _curves(result),
  ]
  if 'tags' in result:
    sections.append(Section('Tags of the names', rows=result['tags']))
  sections += [_extremes(n, found, clips) for n in ranked[:_EXTREMES]]
  sections.append(Section('Notes', '\n'.join(result['notes'] + _ALWAYS)))
  path, title = found.folder / 'shift.html', f'Shift: {found.folder.name}'
  return write_page(path, title, first, sections)


def _ranked(result) -> list[str]:
  """Ranks factors by their share for the first method, or by differences."""
  first = next(iter(result['influence'].values()))
  names = [x['factor'] for x in first['factors']]
  gaps = {}
  for found in result['differences'].values():
    for n, x in found.items():
      if FACTORS[n].cause:
        gaps[n] = max(gaps.get(n, 0), abs(x['difference']))
  return names or sorted(gaps, key=lambda n: -gaps[n])


def _lists(result) -> Section:
  rows = []
  for name, about in result['lists'].items():
    row = {'list': name, 'clips': about['clips'], 'classes': about['classes']}
    row |= {f'top-1 {m}': about['top1'].get(m) for m in result['methods']}
    rows.append(row)
  return Section(
      'Lists',
      f'The reference is {result["reference"]}. Bars show how far the mean of '
      'each factor lies from that of the reference, in standard deviations; '
      'grey differences are within chance (95 %).',
      rows,
      [
          Picture(functools.partial(_gaps, found), name)
          for name, found in result['differences'].items()
      ],
  )


def _gaps(found) -> str:
  chance = [_label(n) for n, x in found.items() if x['low'] <= 0 <= x['high']]
  gaps = {_label(n): x['difference'] for n, x in found.items()}
  return charts.difference_per_class(gaps, chance)


def _label(name: str) -> str:
  factor = FACTORS[name]
  return f'{factor.title} [{factor.unit}]' if factor.unit else factor.title


def _distances(result) -> Section:
  rows = []
  for name, spaces in result['distances'].items():
    for space, found in spaces.items():
      for kind, x in found.items():
        p = '' if x['p'] is None else _p(x['p'])
        rows.append({
            'list': name, 'features': space, 'distance': _TITLES[kind],
            'value': f'{x["value"]:.3f}',
            '95 % interval': f'{x["low"]:.3f} to {x["high"]:.3f}', 'p': p,
        })  # fmt: skip
  return Section(
      'Distances',
      f'From {result["reference"]}, of features of length 1. MMD is negative '
      'for lists that are more alike than two draws of one.',
      rows,
  )


def _p(value: float) -> str:
  return '< 0.001' if value < 0.001 else f'{value:.3f}'


def _influence(method: str, found) -> Section:
  text, factors = found['note'], found['factors']
  if factors:
    text = (
        f'{found["right"]} of {found["clips"]} clips are right; the factors '
        f'explain {100 * found["explained"]:.1f} % of the deviance. '
        + f'Note: {text}. ' * bool(text)
    )
  left = [f'{FACTORS[n].title}: {why}' for n, why in found['left_out'].items()]
  titles = {x['factor']: FACTORS[x['factor']].title for x in factors}
  rows = [
      {
          'factor': titles[x['factor']],
          'share %': f'{100 * x["share"]:.1f}',
          'log odds per sd': f'{x["coefficient"]:+.2f}',
          '95 % interval': f'{x["low"]:+.2f} to {x["high"]:+.2f}',
          'p (Holm)': _p(x['p_corrected']),
          'inflation': f'{x["inflation"]:.1f}',
      }
      for x in factors
  ]
  shares = {titles[x['factor']]: 100 * x['share'] for x in factors}
  quiet = [titles[x['factor']] for x in factors if not x['significant']]
  grey = dict.fromkeys(quiet, charts.GREY)
  bars = functools.partial(charts.bars, shares, colours=grey)
  caption = 'share of the explained deviance; grey: not significant'
  return Section(
      f'What {method} depends on',
      text + ('\nLeft out: ' + '; '.join(left) + '.') * bool(left),
      rows,
      [Picture(bars, caption)] if rows else (),
  )


def _along(name: str, parts) -> Picture:
  """Draws the accuracy, and gains over the first method, in each fifth."""
  methods = list(parts[0]['methods'])

  def line(method, *keys):
    return [
        (place, *(part['methods'][method][key] for key in keys))
        for place, part in enumerate(parts, 1)
    ]

  def draw():
    top1 = {m: line(m, 'top1', 'low', 'high') for m in methods}
    drawn = charts.curves(top1, 'fifth', 'top-1 in percent')
    gains = {m: line(m, 'gain', 'gain_low', 'gain_high') for m in methods[1:]}
    if gains:
      # Keep the colours of the methods.
      gains = {methods[0]: [], **gains}
      drawn += charts.curves(gains, 'fifth', 'gain in points')
    return drawn

  ends = (f'{sentences.number(p["from"])} to {sentences.number(p["to"])}'
          for p in parts)  # fmt: skip
  return Picture(draw, f'{_label(name)}: {", ".join(ends)}')


def _curves(result) -> Section:
  kinds = result['corruptions'].get('kinds', {})
  if not kinds:
    text = 'None were asked for: --corruptions=all, or some of their kinds.'
    return Section('Corruptions', text)

  def cell(x):
    if x is None:
      return ''
    return f'{x["value"]:.2f} ({x["low"]:.2f} to {x["high"]:.2f})'

  rows = [
      {'corruption': kind, 'method': method, 'area, %': cell(x['area']),
       'relative robustness': cell(x['robustness'])}
      for kind, found in kinds.items() for method, x in found.items()
  ]  # fmt: skip
  return Section(
      'Corruptions',
      f'Top-1 on {result["corruptions"]["list"]}, frames made worse on the '
      'device; severity 0 is as they are. The area is the mean under the '
      'curve; the relative robustness is the mean over severities as a '
      'share of severity 0.',
      rows,
      [Picture(functools.partial(_severities, x), k) for k, x in kinds.items()],
  )


def _severities(found) -> str:
  lines = {
      method: list(zip(range(6), x['top1'], x['low'], x['high'], strict=True))
      for method, x in found.items()
  }
  return charts.curves(lines, 'severity', 'top-1 in percent')


def _extremes(name: str, found, clips) -> Section:
  """Shows frames of the clips with the least and the most of a factor."""
  known = sorted(
      (row[name], place, i, group)
      for place, (group, own) in enumerate(clips.items())
      for i, row in enumerate(own.rows)
      if row.get(name) is not None
  )
  pictures = []
  for value, _, i, group in known[:2] + known[-2:]:
    own = clips[group]
    said = [f'{m} {"right" if x[i] == 1 else "wrong"}'
            for m, x in own.right.items() if np.isfinite(x[i])]  # fmt: skip
    text = f'{sentences.amount(name, value)}: {group}, {own.keys[i]} '
    text += f'({own.classes[i]}) {", ".join(said)}'
    draw = functools.partial(_strip, found.lists[group], i)
    pictures.append(Picture(draw, text))
  return Section(f'Least and most {FACTORS[name].title}', pictures=pictures)


def _strip(source, index: int) -> Image.Image:
  first, count = source.span(index)
  places = first + np.linspace(0, count - 1, _FRAMES).astype(int)
  try:
    frames = read_frames(source.media(index), places, source.probe(index))
  except OSError as e:
    raise UserError(str(e)) from e
  row = Image.fromarray(np.concatenate(list(frames), axis=1))
  width = _FRAMES * _FRAME_WIDTH
  return row.resize((width, round(row.height * width / row.width)))
