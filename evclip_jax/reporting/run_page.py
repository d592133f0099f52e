"""Writes report.html of one run: results, curves, classes, clips, making."""

import functools
import json
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evclip_jax.reporting import charts, maps, page, tables
from evclip_jax.reporting.page import Picture, Section

_ZERO_SHOT = 'zero-shot CLIP'
# Most points of a curve; more cannot be seen.
_POINTS = 400
# Most confusions in the table, which is for this many classes or more.
_PAIRS, _MANY = 10, 12

Details = Mapping[str, Any]


def write(
    folder: pathlib.Path, card: Mapping[str, Any], lists: Mapping[str, Details]
) -> pathlib.Path:
  """Writes the page of a card and its details, and returns its path."""
  counts, selection = card['parameters'], card['selection']
  worse, views = card.get('corrupt', ''), card['views']
  trained = (
      f'{counts["trainable"]:,} weights were trained and {counts["frozen"]:,} '
      'frozen.'
      if counts['trainable']
      else f'None of its {counts["frozen"]:,} weights were trained.'
  )
  averaged = ' Means over {clips} windows x {crops} crops of each clip.'
  averaged = averaged.format(**views)
  return page.write_page(
      folder / 'report.html',
      f'{card["method"]}: {folder.name}',
      f'Step {selection["step"]}, {selection["meaning"]}. {trained} '
      'Accuracies are in percent.'
      + averaged * (views != {'clips': 1, 'crops': 1})
      + f' The frames were made worse: data.corrupt={worse}.' * bool(worse),
      [
          _results(card, lists),
          _clips(card),
          *_training(folder, card),
          *(s for name in lists for s in _list(name, lists[name])),
          _made(card),
      ],
  )


def _results(card, lists) -> Section:
  """Lists accuracies with intervals, beside those of zero-shot CLIP."""
  # Not at the top, since it takes a second, even for a run that fails early.
  from scipy import stats

  rows = []
  for name, summary in card['final'].items():
    own = {card['method']: summary}
    if name in card['zero_shot']:
      own[_ZERO_SHOT] = card['zero_shot'][name]
    certain = len(lists[name]['class_names']) <= page.CERTAIN
    for model, found in own.items():
      row = {'list': name, 'model': model, 'top-1': round(found['top1'], 1)}
      if 'episodes' in found:
        ends = (found['top1'] + s * found['interval'] for s in (-1, 1))
        number = f'{found["episodes"]:,} episodes'
      else:
        hits = round(found['top1'] * found['clips'] / 100)
        ends = stats.binomtest(hits, found['clips']).proportion_ci(
            method='wilson'
        )
        ends = (100 * x for x in ends)
        number = f'{found["clips"]:,} clips'
      row['95 % interval'] = ' to '.join(f'{x:.1f}' for x in ends)
      row['top-5'] = None if certain else found.get('top5')
      row['macro-F1'] = found.get('macro_f1')
      rows.append(row | {'loss': found['loss'], 'on': number})
  text = '' if rows else 'No clip was scored: there is no test list.'
  if card['zero_shot']:
    text = (
        'Zero-shot CLIP is the same CLIP before any training, on the same '
        f'clips, with texts such as "{card["zero_shot_prompts"][0][0]}".'
    )
  return Section('Result', text, tables.without_empty(rows))


def _clips(card) -> Section:
  """Counts the clips of each list and those that were left out."""
  rows = []
  for name, about in card['data'].get('lists', {}).items():
    episodes = about.get('episodes')
    row = {
        'list': name,
        'clips': about['clips'],
        'classes': about.get('classes', card['data'].get('classes')),
        'missing': about.get('missing') or None,
        'skipped as broken': about.get('skipped') or None,
        'unreadable later': len(about.get('unread', ())) or None,
        'episodes': episodes and episodes['number'],
        'data set': about.get('data_set', card['data'].get('name')),
    }
    rows.append(row)
  return Section('Clips', rows=tables.without_empty(rows))


def _training(folder: pathlib.Path, card) -> list[Section]:
  """Draws the curves of the loss and of the lists scored in training."""
  loss, watched = [], {}
  try:
    text = (folder / 'metrics.jsonl').read_text()
  except OSError:
    text = ''
  for line in map(json.loads, text.splitlines()):
    if line['split'] == 'train':
      loss.append((line['step'], line['loss']))
    elif not line.get('final') and 'top1' in line:
      watched.setdefault(line['split'], []).append((line['step'], line['top1']))
  # The final evaluation is the last point.
  for name, points in watched.items():
    last = card.get('final_last', {}).get(name)
    if last and card['step'] > points[-1][0]:
      points.append((card['step'], last['top1']))
  pictures = []
  if loss:
    smooth = _means(loss)
    caption = 'loss of training'
    if len(smooth) < len(loss):
      caption += f', means of {-(-len(loss) // _POINTS)} steps that were logged'
    curves = functools.partial(charts.curves, {'train': smooth}, 'step', 'loss')
    pictures.append(Picture(curves, caption))
  if watched:
    axes = 'step', 'top-1 in percent'
    curves = functools.partial(charts.curves, watched, *axes)
    pictures.append(Picture(curves, 'accuracy while training'))
  return [Section('Training', pictures=pictures)] if pictures else []


def _list(name: str, details: Details) -> list[Section]:
  """Returns the sections of one list."""
  marks = details.get('zero_shot_per_class', {})
  classes = dict(sorted(details['per_class'].items(), key=lambda x: x[1]))
  caption = 'top-1 of each class, the hardest first'
  if marks:
    caption += f'; the lines are {_ZERO_SHOT}'
  shown = [Picture(lambda: charts.bars(classes, marks), caption)]
  names, matrix = details['class_names'], np.asarray(details['confusion'])
  caption = 'rows: what the clips are; columns: what was answered'
  sections = [
      Section(f'List: {name}', pictures=shown),
      Section(
          f'{name}: what was taken for what',
          rows=_pairs(matrix, names) if len(names) >= _MANY else (),
          pictures=[Picture(lambda: maps.confusion(matrix, names), caption)],
      ),
  ]
  sections += _examples(name, details)
  if len(details['arrays'].get('features', ())) > 2:
    caption = (
        'The features of the clips along their two main directions (principal '
        'components): near dots look alike to the network.'
    )
    if 'log_probabilities' in details['arrays']:
      caption += ' Rings are wrong answers.'
    shown = [Picture(lambda: _map(details), caption)]
    sections.append(Section(f'{name}: map of the clips', pictures=shown))
  return sections


def _examples(name: str, details: Details) -> list[Section]:
  """Shows clips with what the network saw, or says why it cannot."""
  if not details.get('pictures'):
    return []
  try:
    found = details['pictures']()
  except Exception as e:
    text = f'No clips are shown, {type(e).__name__}: {e}'
    return [Section(f'{name}: clips', text)]
  return [
      Section(
          f'{name}: {title}',
          pictures=[Picture(functools.partial(page.clip, c)) for c in clips],
      )
      for title, clips in found.items()
  ]


def _map(details: Details) -> str:
  arrays, names = details['arrays'], details['class_names']
  labels, index = arrays['labels'], arrays['index'].tolist()
  # In episodes a clip has several answers; then none is shown.
  answers = labels
  if 'log_probabilities' in arrays:
    answers = arrays['log_probabilities'].argmax(axis=1)
  keys, small = details['keys'], details['thumbnails']
  titles = [
      f'{keys[i]}: {names[label]}'
      + ('' if label == answer else f', taken for {names[answer]}')
      for i, label, answer in zip(index, labels, answers, strict=True)
  ]
  return maps.map_of_clips(
      arrays['features'],
      labels,
      names,
      titles,
      answers != labels,
      {row: small[i] for row, i in enumerate(index) if i in small},
  )


def _pairs(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
  """Lists the most frequent confusions."""
  wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
  order = np.argsort(-wrong, axis=None, kind='stable')[:_PAIRS]
  pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
  return [
      {'is': names[i], 'was taken for': names[j], 'clips': int(wrong[i, j])}
      for i, j in pairs
      if wrong[i, j]
  ]


def _made(card) -> Section:
  """Lists how the run was made: command, times, memory, versions."""
  own, costs = card.get('environment', {}), card.get('costs', {})
  memory, versions = own.get('memory', {}), own.get('versions', {})
  flops = {kind: c.get('gflops_per_clip') for kind, c in costs.items() if c}
  found = {
      'command': shlex.join(own.get('command', ())),
      'date': own.get('date'),
      'git commit': own.get('commit'),
      'seed, split': f'{card.get("seed")}, {card.get("split")}',
      'windows, crops': '{clips}, {crops}'.format(**card['views']),
      'wall time': _seconds(card.get('wall_seconds')),
      'peak memory of the process': _size(memory.get('host_peak_bytes')),
      'peak memory of a device': _size(memory.get('device_peak_bytes')),
      'devices': ', '.join(own.get('devices', ())),
      **{
          f'GFLOPs per clip, {kind}': f'{value:.1f}'
          for kind, value in flops.items()
          if value
      },
      **{
          f'weights of {name}': f'{x["source"]}, {x["hash"][:12]}'
          for name, x in card.get('weights', {}).items()
      },
      'versions': ', '.join(f'{name} {v}' for name, v in versions.items()),
  }
  rows = [{'what': k, 'value': str(v)} for k, v in found.items() if v]
  return Section('How it was made', rows=rows)


def _means(points: list[tuple[int, float]]) -> list[tuple[float, float]]:
  """Averages neighbours, so that there are at most `_POINTS` points."""
  size = -(-len(points) // _POINTS)
  return [
      tuple(np.mean(points[i : i + size], axis=0))
      for i in range(0, len(points), size)
  ]


def _seconds(value: float | None) -> str:
  if value is None:
    return ''
  minutes, seconds = divmod(round(value), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours} h {minutes} min' if hours else f'{minutes} min {seconds} s'


def _size(value: int | None) -> str:
  return '' if value is None else f'{value / 1e9:.2f} GB'
