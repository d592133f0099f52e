"""shift.html: sentences, then what they rest on."""

import functools
import pathlib
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from data_pipelines.errors import UserError
from data_pipelines.video import read_frames
from evclip_jax.domain_shift import sentences
from evclip_jax.domain_shift.factors import FACTORS
from evclip_jax.reporting.page import Picture, Section, write_page
from evclip_jax.reporting.tables import short

_INK, _QUIET = '#1f2933', '#7b8794'
_COLOURS = matplotlib.colormaps['tab10'].colors
# Texts are shown as they are, '$' as well.
_STYLE = {
    'text.parse_math': False, 'figure.autolayout': True,
    'font.size': 8, 'axes.titlesize': 8, 'legend.fontsize': 7,
    'legend.frameon': False, 'lines.linewidth': 1, 'lines.markersize': 4,
    'axes.spines.top': False, 'axes.spines.right': False,
    'xtick.labelsize': 7, 'ytick.labelsize': 7,
    'xtick.color': _QUIET, 'ytick.color': _QUIET,
}  # fmt: skip
# Factors whose fifths, and whose extreme clips, are shown.
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
# Said on every page.
_ALWAYS = [
    'A regression shows what goes together, not what causes what: a factor may '
    'stand for another one that was not measured.',
    'What the network makes of a clip (clip and class text, margin) is part of '
    'the answer and no factor of the regression.',
]


def write(found, clips: dict[str, Any], result: dict[str, Any]) -> pathlib.Path:
  """Writes the page of a study, its clips by list and what shift.json holds."""
  first, *more = result['sentences']
  ranked = _ranked(result)
  sections = [
      Section(text='\n'.join(more)),
      _lists(result),
      _distances(result),
      *(_influence(m, x) for m, x in result['influence'].items()),
      Section(
          'Accuracy along factors',
          'Each point is a fifth of the clips, bars are 95 % intervals '
          '(Wilson). The right column shows gains over '
          f'{result["methods"][0]} in points.' if len(result['methods']) > 1
          else 'Each point is a fifth of the clips, bars are 95 % intervals.',
          pictures=[
              Picture(functools.partial(_along, n, result['along'][n]),
                      FACTORS[n].title)
              for n in ranked[:_SHOWN] if n in result['along']
          ],
      ),
      _curves(result),
      *([Section('Tags of the names', rows=result['tags'])]
        if 'tags' in result else []),
      *(_extremes(n, found, clips) for n in ranked[:_EXTREMES]),
      Section('Notes', '\n'.join(result['notes'] + _ALWAYS)),
  ]  # fmt: skip
  path, title = found.folder / 'shift.html', f'Shift: {found.folder.name}'
  return write_page(path, title, first, sections)


def _ranked(result) -> list[str]:
  """Factors by their share for the first method, then by how lists differ."""
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
      f'The reference is {result["reference"]}. The map shows how far the mean '
      'of each factor lies from that of the reference, in standard deviations; '
      'grey differences are within chance (95 %).',
      rows,
      [Picture(functools.partial(_heat_map, result['differences']))],
  )


@matplotlib.rc_context(_STYLE)
def _heat_map(differences) -> Figure:
  names = [n for n in FACTORS if any(n in x for x in differences.values())]
  table = np.full((len(names), len(differences)), np.nan)
  figure = Figure((3.2 + 1.3 * len(differences), 0.8 + 0.3 * len(names)))
  axes = figure.add_subplot()
  for j, found in enumerate(differences.values()):
    for i, x in ((names.index(n), x) for n, x in found.items()):
      table[i, j] = x['difference']
      chance = x['low'] <= 0 <= x['high']
      strong = abs(x['difference']) > 2 and not chance
      colour = _QUIET if chance else 'white' if strong else _INK
      where = {'ha': 'center', 'va': 'center'}
      axes.text(j, i, f'{x["difference"]:+.1f}', color=colour, **where)
  axes.imshow(table, cmap='RdBu_r', vmin=-3, vmax=3, aspect='auto')
  axes.set_yticks(range(len(names)), map(_label, names))
  axes.set_xticks(range(len(differences)), map(short, differences))
  axes.tick_params(length=0, colors=_INK, labelsize=8)
  axes.spines[:].set_visible(True)
  return figure


def _label(name: str) -> str:
  factor = FACTORS[name]
  return f'{factor.title} [{factor.unit}]' if factor.unit else factor.title


def _distances(result) -> Section:
  rows = []
  for name, spaces in result['distances'].items():
    for space, found in spaces.items():
      for kind, x in found.items():
        p = '' if x['p'] is None else f'{x["p"]:.3f}'
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


def _influence(method: str, found) -> Section:
  text = found['note']
  if found['factors']:
    text = (
        f'{found["right"]} of {found["clips"]} clips are right; the factors '
        f'explain {100 * found["explained"]:.1f} % of the deviance. '
        + f'Note: {text}. ' * bool(text)
    )
  left = [f'{FACTORS[n].title}: {why}' for n, why in found['left_out'].items()]
  rows = [
      {
          'factor': FACTORS[x['factor']].title,
          'share %': f'{100 * x["share"]:.1f}',
          'log odds per sd': f'{x["coefficient"]:+.2f}',
          '95 % interval': f'{x["low"]:+.2f} to {x["high"]:+.2f}',
          'p (Holm)': f'{x["p_corrected"]:.3f}',
          'inflation': f'{x["inflation"]:.1f}',
      }
      for x in found['factors']
  ]
  pictures = [Picture(functools.partial(_bars, found['factors']))]
  return Section(
      f'What {method} depends on',
      text + ('\nLeft out: ' + '; '.join(left) + '.') * bool(left),
      rows,
      pictures if rows else (),
  )


@matplotlib.rc_context(_STYLE)
def _bars(rows) -> Figure:
  """Shares on the left, coefficients with their intervals on the right."""
  figure = Figure((8, 0.8 + 0.26 * len(rows)))
  left, right = figure.subplots(1, 2, sharey=True)
  for place, x in enumerate(rows):
    colour = _COLOURS[0] if x['significant'] else '#c3cad3'
    left.barh(place, 100 * x['share'], color=colour)
    right.plot([x['low'], x['high']], [place] * 2, color=colour)
    right.plot(x['coefficient'], place, 'o', color=colour)
  titles = [FACTORS[x['factor']].title for x in rows]
  left.set_yticks(range(len(rows)), titles)
  left.set_ylim(len(rows) - 0.5, -0.5)
  left.set_xlabel('share of explained deviance, %')
  right.axvline(0, color=_QUIET, lw=0.8)
  right.set_xlabel('log odds of right per standard deviation')
  return figure


@matplotlib.rc_context(_STYLE)
def _along(name: str, parts) -> Figure:
  methods = list(parts[0]['methods'])
  figure = Figure((8, 2.6))
  several = len(methods) > 1
  accuracy, *gains = figure.subplots(1, 1 + several, squeeze=False)[0]
  for m, method in enumerate(methods):
    shown = [(accuracy, 'top1', 'low', 'high')]
    shown += [(on, 'gain', 'gain_low', 'gain_high') for on in gains if m]
    x = np.arange(len(parts)) + 0.08 * (m - (len(methods) - 1) / 2)
    for on, *keys in shown:
      own = [[part['methods'][method][key] for key in keys] for part in parts]
      y, low, high = np.transpose(own)
      look = {'color': _COLOURS[m % 10], 'label': ' ' + short(method)}
      ends = np.abs([low - y, high - y])
      on.errorbar(x, y, ends, fmt='o-', capsize=2, **look)
  labels = [f'{sentences.number(p["from"])} to\n{sentences.number(p["to"])}'
            for p in parts]  # fmt: skip
  for on in (accuracy, *gains):
    on.set_xticks(range(len(parts)), labels)
    on.set_xlabel(_label(name))
  accuracy.set_ylim(0, 100)
  accuracy.set_ylabel('top-1, %')
  accuracy.legend()
  for on in gains:
    on.axhline(0, color=_QUIET, lw=0.8)
    on.set_ylabel('gain, points')
  return figure


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
      [Picture(functools.partial(_small_curves, kinds))],
  )


@matplotlib.rc_context(_STYLE)
def _small_curves(kinds) -> Figure:
  columns = min(len(kinds), 4)
  lines = -(-len(kinds) // columns)
  figure = Figure((2.3 * columns + 0.6, 2.1 * lines + 0.3))
  axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
  for on, (kind, found) in zip(axes, kinds.items(), strict=False):
    for m, (method, x) in enumerate(found.items()):
      look = {'color': _COLOURS[m % 10]}
      on.plot(range(6), x['top1'], 'o-', label=' ' + short(method, 20), **look)
      on.fill_between(range(6), x['low'], x['high'], alpha=0.15, **look)
    on.set_title(kind)
    on.set_ylim(0, 100)
    on.set_xticks(range(6))
  for on in axes[len(kinds) :]:
    on.set_axis_off()
  axes[0].legend()
  return figure


def _extremes(name: str, found, clips) -> Section:
  """Frames of the clips with the least and the most of a factor."""
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
