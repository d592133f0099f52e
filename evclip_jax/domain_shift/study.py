"""Reads a finished run or comparison: its methods, lists and right answers."""

import dataclasses
import pathlib
from collections.abc import Sequence

import ml_collections
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.loaders import open_data
from data_pipelines.loaders.source import Source
from evclip_jax.config import experiment
from evclip_jax.evaluation import run_card
from evclip_jax.methods import base
from evclip_jax.runs import folder


@dataclasses.dataclass(frozen=True)
class Study:
  """Holds a finished run or comparison to analyse.

  Attributes:
    folder: the folder of the run or the comparison.
    config: that of the first method, whose frames and networks are used.
    methods: name -> run folder.
    lists: name -> clips, the reference first.
    right: list that was scored -> method -> float [N], 1 = right, 0 = wrong,
      NaN = not scored.
  """

  folder: pathlib.Path
  config: ml_collections.ConfigDict
  methods: dict[str, pathlib.Path]
  lists: dict[str, Source]
  right: dict[str, dict[str, np.ndarray]]

  @property
  def reference(self) -> str:
    """The name of the list with which the others are compared."""
    return next(iter(self.lists))


def read(workdir: str, reference: str = '', lists: Sequence[str] = ()) -> Study:
  """Opens the data of a run or comparison and reads what was scored.

  Args:
    workdir: its folder.
    reference: a list that was scored, or 'train'; '' = the first one, or
      'train' if only one was scored.
    lists: the others to compare with it; () = all that were scored.

  Raises:
    UserError: a protocol's folder, no evaluation, an unknown list, nothing to
      compare, or data that has changed since.
  """
  root = pathlib.Path(workdir).absolute()
  config = folder.load_config(root)
  if config.protocol.name:
    folder.refuse_several(workdir)
  if experiment.is_episodic(config):
    raise UserError(
        f'{workdir} scores episodes; a shift needs a method that scores clips.'
    )
  methods = {config.method.name: root}
  if config.compare:
    rows = experiment.rows(config)
    methods = {name: root / folder.of_row(name) for name in rows}
    config = next(iter(rows.values()))
  scored = _scored(methods)
  sets = _open(config, reference == 'train' or len(scored) == 1)
  known = ({'train': sets.train} if sets.train else {}) | sets.evals()
  if not reference:
    only = len(scored) == 1 and 'train' in known
    reference = 'train' if only else scored[0]
  for name in (reference, *lists):
    if name not in known or name not in (*scored, 'train'):
      raise UserError(
          f'{workdir} has no list {name!r}: --reference and --lists name some '
          f'of {", ".join(dict.fromkeys((*scored, *known)))}.'
      )
  others = [n for n in lists or scored if n != reference]
  if not others:
    raise UserError(
        f'there is only one list, {reference!r}, and a shift needs two. Name '
        'another with --reference or --lists, or score one (data.others).'
    )
  chosen = {name: known[name] for name in (reference, *others)}
  right = {
      name: {m: _right(p, name, source) for m, p in methods.items()}
      for name, source in chosen.items()
      if name in scored
  }
  return Study(root, config, methods, chosen, right)


def _scored(methods) -> list[str]:
  """Names the lists on which every method was scored."""
  found = []
  for path in methods.values():
    # A run without a card is not finished and has no evaluation.
    done = (path / 'run_card.json').exists()
    names = folder.load_card(path)['final'] if done else ()
    found.append([name for name in names if _file(path, name).exists()])
  shared = [name for name in found[0] if all(name in x for x in found)]
  if not shared:
    raise UserError(
        f'{path} has no evaluation: run python -m evclip_jax.main with its '
        'config and --mode=evaluate first.'
    )
  return shared


def _file(path, name: str) -> pathlib.Path:
  corrupt = folder.load_config(path).data.corrupt
  return path / 'evaluation' / f'{run_card.file_name(name, corrupt)}.npz'


def _open(config, with_train: bool) -> open_data.Sources:
  """Opens the lists as the run had them, if wanted with the training list."""
  method = base.load(config.method.name)
  trains = method.trains(experiment.settings(config))
  own = config.data, config.seed, config.split, None, config.cache_dir
  if trains or with_train:
    try:
      return open_data.open_data(*own)
    except UserError:
      # A data set that is only scored may have no training list.
      if trains:
        raise
  return open_data.open_data(*own, evaluate_only=True)


def _right(path, name: str, source: Source) -> np.ndarray:
  """Returns whether each clip was recognised; NaN if it was not scored."""
  with np.load(_file(path, name)) as stored:
    logs, labels = stored['log_probabilities'], stored['labels']
    index = stored['index']
  own = np.array([record.label for record in source.records])
  if index.max(initial=-1) >= len(own) or any(own[index] != labels):
    raise UserError(
        f'the list {name!r} is not the one that {path} was scored on: evaluate '
        'the run again.'
    )
  out = np.full(len(own), np.nan)
  out[index] = logs.argmax(axis=1) == labels
  return out
