"""Writes a page of pictures: what the last row of a comparison sees."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from evclip_jax.evaluation import look
from evclip_jax.reporting import page
from evclip_jax.runs.trained_model import TrainedModel

# Clips shown of each test list: enough to see, few enough to mail.
_PER_LIST = 4


def sections(
    variant: pathlib.Path, open_data: Callable[[], Any]
) -> list[page.Section]:
  """Returns a section of each test list for the page of a comparison.

  Args:
    variant: run folder of the variant whose masks are shown.
    open_data: gives the data pipeline, where clips come from.
  """
  try:
    run, data = TrainedModel(variant), open_data()
    # One for all lists: it is compiled once.
    looker = look.Looker(run.session, run.weights, _PER_LIST, closely=True)
    return [_list(run, looker, data, x) for x in data.evals.values()]
  # The numbers are worth having without pictures.
  except Exception as e:
    text = f'not drawn, {type(e).__name__}: {e}'
    return [page.Section(title='Pictures', text=text)]


def _list(run, looker: look.Looker, data: Any, listed: Any) -> page.Section:
  """A list's section; what goes wrong in it costs no other."""
  episodic = run.session.model.method.episodic
  section = _episode if episodic else _clips
  try:
    return section(run, looker, data, listed)
  except Exception as e:
    text = f'no pictures, {type(e).__name__}: {e}'
    return page.Section(title=f'List: {listed.name}', text=text)


def _clips(run, looker: look.Looker, data: Any, listed: Any) -> page.Section:
  """A few clips of a list, each with its scores."""
  names = listed.class_names
  clips, truths = zip(*listed.examples(_PER_LIST), strict=True)
  seen = looker(np.stack(clips), names)
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
  seen = looker(batch['video'][0, shown], names, looker.examples(support))
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
  return [page.Picture(functools.partial(page.clip, c)) for c in clips]
