"""report.html of a run: its figures, accuracy per class, a map of its clips."""

import pathlib
from typing import Any

from evclip_jax.reporting import charts, page


def write(
    folder: pathlib.Path, card: dict[str, Any], details: dict[str, Any]
) -> pathlib.Path:
  """Writes the page.

  Args:
    folder: the run folder.
    card: the run card.
    details: list name -> what `results.evaluate_list` gave beside the summary.

  Returns:
    The path of the page.
  """
  columns = list(dict.fromkeys(k for s in card['final'].values() for k in s))
  rows = [
      [name, *(_cell(summary.get(c)) for c in columns)]
      for name, summary in card['final'].items()
  ]
  counts = card['parameters']
  return page.write_page(
      folder / 'report.html',
      title=f'{card["method"]}: {folder.name}',
      intro=(
          f'Step {card["selection"]["step"]}, {card["selection"]["meaning"]}. '
          f'{counts["trainable"]:,} weights were trained and '
          f'{counts["frozen"]:,} frozen. Accuracies are in percent.'
      ),
      table=page.Table(['list', *columns], rows),
      sections=[_section(name, d) for name, d in details.items()],
  )


def _section(name: str, details: dict[str, Any]) -> page.Section:
  figures = [
      (charts.accuracy_per_class(details['per_class']), 'top-1 of each class')
  ]
  arrays = details['arrays']
  if 'features' in arrays and len(arrays['features']) > 2:
    figures.append(
        (
            charts.map_of_clips(
                arrays['features'], arrays['labels'], details['class_names']
            ),
            'the features of the clips, seen along their two main directions '
            '(principal components); near dots look alike to the network',
        )
    )
  return page.Section(f'List: {name}', '', figures)


def _cell(value: Any) -> str:
  if value is None:
    return ''
  return f'{value:.2f}' if isinstance(value, float) else f'{value:,}'
