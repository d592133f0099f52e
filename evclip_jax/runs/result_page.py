"""Makes the tables, charts and page of several runs."""

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines import whole_file
from evclip_jax.reporting import charts, log, page, tables
from evclip_jax.runs import results
from evclip_jax.runs.results import Run, Runs


def table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Returns a row per variant: its quantities, costs and selection rule."""
  rows = {}
  for result in summary['results']:
    row = rows.setdefault(result['variant'], {'variant': result['variant']})
    row[result['quantity']] = cell(result)
  made = {n['variant']: n for n in summary['numbers']}
  views = {name: n['view'] for name, n in made.items()}
  several = {*views.values()} - {'single view'}
  costs = {own['variant']: own for own in summary['costs']}
  return tables.without_empty([
      row
      | costs[name := row['variant']]
      | {'learning rate': summary['rates'][name]}
      | {'selected by': made[name]['selected_by']}
      | {'views': views[name] if several else ''}
      for row in tables.same_columns(rows.values())
  ])


def cell(result: Mapping[str, Any]) -> str:
  """Returns '52.0 ± 1.4 [48.5, 55.5]', or '52.0' for a single run."""
  if result['std'] is None:
    return f'{result["mean"]:.1f}'
  low, high = (min(max(x, 0), 100) for x in result['interval'])
  return f'{result["mean"]:.1f} ± {result["std"]:.1f} [{low:.1f}, {high:.1f}]'


def difference_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Returns a row per variant: its difference to the first, for each list."""
  rows: dict[str, dict[str, Any]] = {}
  for found in summary['differences']:
    row = rows.setdefault(found['variant'], {'variant': found['variant']})
    low, high = found['interval']
    row[found['quantity']] = (
        f'{found["difference"]:+.1f} [{low:+.1f}, {high:+.1f}]'
    )
  return tables.same_columns(rows.values())


def as_text(summary: Mapping[str, Any]) -> str:
  """Returns the tables as lines for the terminal."""
  rows, costs = table(summary), list(summary['costs'][0])[1:]
  parts = [
      tables.as_text([
          {c: x for c, x in row.items() if c not in costs} for row in rows
      ])
  ]
  if differ := difference_table(summary):
    first = summary['results'][0]['variant']
    parts.append(f'\nDifference to {first} [95 % over clips]:')
    parts.append(tables.as_text(differ))
  costs = ['variant', *(c for c in costs if c in rows[0])]
  parts += ['', tables.as_text([{c: row[c] for c in costs} for row in rows])]
  return '\n'.join([*parts, '\n' + summary['caption']])


def as_file(summary: Mapping[str, Any], suffix: str) -> str:
  """Returns the table as '.md', '.tex' or, for programs, '.csv'."""
  if suffix == '.csv':
    return tables.as_csv(_plain_numbers(summary))
  write = tables.as_markdown if suffix == '.md' else tables.as_latex
  return write(table(summary), summary['caption'])


def _plain_numbers(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Returns the table for programs, with one number in each cell."""
  rows = {own['variant']: {} for own in summary['costs']}
  for result in summary['results']:
    low, high = result['interval'] or (None, None)
    name = result['quantity']
    rows[result['variant']] |= {
        name: result['mean'],
        f'{name} std': result['std'],
        f'{name} low': low,
        f'{name} high': high,
        f'{name} runs': len(result['values']),
    }
  even = tables.same_columns(rows.values(), None)
  return [
      {'variant': own['variant'], **row, **own}
      | {'learning rate': summary['rates'][own['variant']]}
      for own, row in zip(summary['costs'], even, strict=True)
  ]


def write(
    folder: pathlib.Path,
    name: str,
    title: str,
    runs: Runs,
    summary: Mapping[str, Any],
    differ: Sequence[Mapping[str, Any]] = (),
) -> pathlib.Path:
  """Writes NAME.json, NAME.csv and report.html, whose path it returns.

  `differ` is the table of keys in which the rows of a comparison differ.
  """
  whole_file.write_json(folder / f'{name}.json', summary)
  whole_file.write(folder / f'{name}.csv', as_file(summary, '.csv'))
  sections = [page.Section(rows=table(summary))]
  if rows := difference_table(summary):
    text = (
        'Points of top-1 on the same clips [95 % interval: clips drawn 10,000 '
        'times, the same in both].'
    )
    to = f'Difference to {next(iter(runs))}'
    sections.append(page.Section(to, text, rows, _charts(runs)))
  if differ:
    text = 'Clips, curves and classes of each row are in its own report.html.'
    sections.append(page.Section('What the rows differ in', text, differ))
  path = folder / 'report.html'
  intro = ' '.join(filter(None, map(summary.get, ('about', 'caption'))))
  page.write_page(path, title, intro, sections)
  log.log(f'\nreport: {path}')
  return path


def _charts(runs: Runs) -> list[page.Picture]:
  """Draws, for each list, the last row minus the first one in each class."""
  first, *_, last = runs
  found: dict[str, list[tuple[dict, dict]]] = {}
  for part in runs[first].keys() & runs[last].keys():
    for name in runs[last][part].card['final']:
      pair = [_per_class(runs[row][part], name) for row in (first, last)]
      if name != 'val' and all(pair):
        found.setdefault(name, []).append(tuple(pair))
  out = []
  for name, pairs in found.items():
    classes = [c for c in pairs[0][0] if all(c in x for p in pairs for x in p)]
    means = {
        c: statistics.fmean(theirs[c] - ours[c] for ours, theirs in pairs)
        for c in classes
    }
    if means:
      title = f'{name}: {last} minus {first}, points of top-1 in each class'
      title += f' (mean of {len(pairs)} runs)' * (len(pairs) > 1)
      out.append(
          page.Picture(lambda m=means: charts.difference_per_class(m), title)
      )
  return out


def _per_class(run: Run, name: str) -> dict[str, float]:
  try:
    text = results.scores_file(run, name, '.json').read_text()
    return json.loads(text)['per_class_top1']
  except (OSError, ValueError, KeyError):
    return {}
