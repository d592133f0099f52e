"""Writes a page of pictures: what the last row of a comparison sees."""

import functools
import pathlib
from typing import Any

from evclip_jax.evaluation import look
from evclip_jax.reporting import page, pictures
from evclip_jax.runs.trained_model import TrainedModel

# Clips shown of each test list: enough to see, few enough to mail.
_PER_LIST = 4


def write(
    path: pathlib.Path,
    rows: list[dict[str, Any]],
    variant: pathlib.Path,
    data: Any,
    differences: list[dict[str, Any]],
) -> pathlib.Path:
  """Writes the page of a comparison.

  Args:
    path: the .html file.
    rows: the table, one dict per variant with the same keys.
    variant: run folder of the variant whose masks are shown.
    data: the data pipeline, where clips come from.
    differences: a row for each key in which the variants' configs differ.

  Returns:
    The path.
  """
  run = TrainedModel(variant)
  # One for all lists: it is compiled once.
  looker = look.Looker(run.session, run.weights, _PER_LIST, closely=True)
  sections = [_list(run, looker, data, x) for x in data.evals.values()]
  return page.write_page(
      path,
      'Comparison',
      'Top-1 accuracy in percent on each test list. The pictures show the '
      'frames of a clip, the maps of the method if it has any, and the five '
      'best classes.',
      [
          page.Section(rows=rows),
          *sections,
          page.Section('What the rows differ in', rows=differences),
      ],
  )


def _list(run, looker: look.Looker, data: Any, listed: Any) -> page.Section:
  """A list's section; what goes wrong in it costs no other."""
  section = _clips if listed.episodes is None else _episode
  try:
    return section(run, looker, data, listed)
  except Exception as e:
    text = f'no pictures, {type(e).__name__}: {e}'
    return page.Section(title=f'List: {listed.name}', text=text)


def _clips(run, looker: look.Looker, data: Any, listed: Any) -> page.Section:
  """A few clips of a list, each with its scores."""
  names = listed.class_names
  clips, truths = zip(*listed.examples(_PER_LIST), strict=True)
  seen = looker([frames[None] for frames in clips], names)
  return page.Section(
      title=f'List: {listed.name}',
      text=f'{len(clips)} clips spread over it; run {run.name!r}.',
      pictures=_pictures(run, seen, names, truths),
  )


def _episode(run, looker: look.Looker, data: Any, listed: Any) -> page.Section:
  """The first episode of a list: a few of its queries with their scores."""
  del data
  batch = next(iter(listed.episode_batches()))
  ways = batch['way'].shape[1]
  queries = batch['label'].shape[1]
  names = [listed.class_names[k] for k in batch['way'][0]]
  support = batch['video'][0, :-queries]  # [N*K, T, H, W, 3]
  support = support.reshape(ways, -1, *support.shape[1:])
  shown = slice(-queries, None, max(queries // _PER_LIST, 1))
  clips = [clip[None] for clip in batch['video'][0, shown]]
  seen = looker(clips, names, looker.examples(support))
  truths = [names[k] for k in batch['label'][0, shown]]
  return page.Section(
      title=f'List: {listed.name}',
      text=(
          f'Clips of its first episode: {ways} classes with {support.shape[1]} '
          f'examples of each; run {run.name!r}.'
      ),
      pictures=_pictures(run, seen, names, truths),
  )


def _pictures(run, seen, names, truths) -> list[page.Picture]:
  method = run.session.model.method
  clips = [
      s.picture(f'clip {i}', names, method, truth)
      for i, (s, truth) in enumerate(zip(seen, truths, strict=True), 1)
  ]
  return [page.Picture(functools.partial(pictures.draw, c)) for c in clips]
