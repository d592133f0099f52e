"""A run that was trained earlier, with its selected weights on the devices."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.runs import folder
from evclip_jax.training import session
from evclip_jax.training.checkpoints import Checkpoints


@dataclasses.dataclass
class TrainedRun:
  """What is needed to look at a run or to use it.

  Attributes:
    config: the run's config; `mesh.data` is 0, all devices there are now.
    session: the method with its frozen weights, for `session.class_names`.
    weights: flat dict of the selected trained leaves, on the devices.
    step: optimizer steps behind them; 0 if nothing was trained.
    selected_by: 'best', 'last', or 'given' if nothing was trained.
    name: of the run folder.
  """

  config: ml_collections.ConfigDict
  session: session.Session
  weights: dict[str, jax.Array]
  step: int
  selected_by: str
  name: str


def load(
    workdir: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    corrupt: str = '',
) -> TrainedRun:
  """Builds a run's model and restores its best checkpoint, or its last one.

  Args:
    workdir: the run folder; an unfinished run will do.
    class_names: other classes than the run's own.
    corrupt: in place of data.corrupt, if given.

  Raises:
    UserError: not a run folder, nothing trained yet, or weights that are
      missing or not those of the training.
  """
  config = folder.load_config(workdir)
  if config.compare:
    inner = ', '.join(c['name'].replace(' ', '_') for c in config.compare)
    raise UserError(
        f'{workdir} holds several runs. Give the --workdir of one of them: '
        f'{workdir}/NAME with NAME in {inner}.'
    )
  with config.unlocked():
    # How many devices training had does not matter here.
    config.mesh.data = 0
    config.data.corrupt = corrupt or config.data.corrupt
  try:
    trained_on = folder.class_names(workdir)
  except UserError:
    if not class_names:
      raise
    trained_on = class_names
  model = session.build(config, trained_on)
  run = session.start(config, model, class_names or trained_on)
  checkpoints = Checkpoints(workdir, model.hashes)
  kinds = [k for k in ('best', 'last') if checkpoints.latest(k) is not None]
  kind, step, weights = 'given', 0, run.initial()
  if kinds:
    kind, step = kinds[0], checkpoints.latest(kinds[0])
    weights = checkpoints.weights(kind, weights)
  elif run.trainable and not config.method.weights:
    raise UserError(
        f'{workdir} has no checkpoint yet. Train with python -m '
        'evclip_jax.main, or wait for the first one.'
    )
  return TrainedRun(
      config, run, weights, step, kind, pathlib.Path(workdir).name
  )
