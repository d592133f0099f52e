"""A page of pictures: what the last variant of a comparison sees and says."""

import pathlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from evclip_jax import loaded_run, look, page, pictures

# Clips shown of each test list: enough to see, few enough to mail.
_PER_LIST = 4


class Examples(Protocol):
  """The part of a data pipeline that pictures need."""

  evals: dict[str, Any]

  def examples(self, name: str, most: int) -> Iterator[tuple[np.ndarray, str]]:
    """(frames uint8 [T, H, W, 3], class name) of a few clips of a list."""


def write(
    path: pathlib.Path,
    rows: list[dict[str, Any]],
    variant: pathlib.Path,
    data: Examples,
) -> pathlib.Path:
  """Writes the page of a comparison.

  Args:
    path: the .html file.
    rows: the table, one dict per variant with the same keys.
    variant: run folder of the variant whose masks are shown.
    data: where clips come from.

  Returns:
    The path.
  """
  run = loaded_run.load(str(variant))
  names = run.session.class_names
  fill = look.fill_colour(run.session.model.method)
  looker = look.Looker(run.session, run.weights, _PER_LIST)
  sections = []
  for name in data.evals:
    clips, truths = zip(*data.examples(name, _PER_LIST), strict=True)
    seen = looker([frames[None] for frames in clips])
    figures = [
        pictures.draw(look.picture(s, f'clip {i + 1}', names, fill, truths[i]))
        for i, s in enumerate(seen)
    ]
    sections.append(
        page.Section(
            title=f'List: {name}',
            text=f'{len(clips)} clips spread over it; run {variant.name!r}.',
            figures=[(figure, '') for figure in figures],
        )
    )
  columns = list(rows[0])
  return page.write_page(
      path,
      title='Comparison',
      intro=(
          'Top-1 accuracy in percent on each test list. The pictures show the '
          'frames of a clip, its mask, what CLIP sees through it, and the five '
          'best classes.'
      ),
      table=page.Table(
          columns, [[_cell(r[c]) for c in columns] for r in rows]
      ),
      sections=sections,
  )


def _cell(value: Any) -> str:
  return f'{value:,}' if isinstance(value, int) else str(value)
