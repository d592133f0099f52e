"""A run that was trained earlier, with its selected weights on the devices."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.runs import folder
from evclip_jax.training import devices, session
from evclip_jax.training import model as model_lib
from evclip_jax.training import optimizer as optim
from evclip_jax.training.checkpoints import Checkpoints


@dataclasses.dataclass
class LoadedRun:
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
  name: str = ''


def load(workdir: str, class_names: list[str] | None = None) -> LoadedRun:
  """Builds a run's model and restores its best or last checkpoint.

  Args:
    workdir: the run folder.
    class_names: other classes than the run's own.

  Returns:
    The run. The best checkpoint is taken if the run selected one; else the
    last, of an unfinished run as well.

  Raises:
    UserError: not a run folder, nothing trained yet, or weights that are
      missing or not those of the training.
  """
  config = folder.load_config(workdir).unlock()
  # How many devices training had does not matter here.
  config.mesh.data = 0
  config.lock()
  if config.compare:
    inner = ', '.join(c['name'].replace(' ', '_') for c in config.compare)
    raise UserError(
        f'{workdir} holds several runs. Give the --workdir of one of them: '
        f'{workdir}/NAME with NAME in {inner}.'
    )
  try:
    trained_on = run_class_names(workdir)
  except UserError:
    if not class_names:
      raise
    trained_on = class_names
  names = class_names or trained_on
  name = pathlib.Path(workdir).name
  checkpoints = Checkpoints(pathlib.Path(workdir), {}, read_only=True)
  kind = next(
      (k for k in ('best', 'last') if checkpoints.latest(k) is not None), None
  )
  model = model_lib.build(config, trained_on)
  run = session.start(config, model, names)
  if kind is None:
    if run.trainable and not config.method.weights:
      raise UserError(
          f'{workdir} has no checkpoint yet. Train with python -m '
          'evclip_jax.main, or wait for the first one.'
      )
    weights = devices.put(run.mesh, run.trainable | run.statistics)
    return LoadedRun(config, run, weights, 0, 'given', name)
  now = _restore(config, workdir, run, kind)
  return LoadedRun(config, run, now.weights, int(now.step), kind, name)


def run_class_names(workdir: str) -> list[str]:
  """The classes a run was trained on, in label order.

  Raises:
    UserError: if the folder does not tell.
  """
  path = pathlib.Path(workdir) / 'classes.json'
  try:
    if path.exists():
      return list(json.loads(path.read_text()))
    return list(folder.load_card(workdir)['class_names'])
  except (UserError, OSError, ValueError, KeyError) as e:
    raise UserError(
        f'{path} does not exist or cannot be read. Let the run begin, or name '
        'the classes with --classes=a,b,c.'
    ) from e


def _restore(
    config: ml_collections.ConfigDict,
    workdir: str,
    run: session.Session,
    kind: str,
) -> Any:
  """The run's state of a kind, on all devices."""
  schedule = optim.make_schedule(config.optimizer, config.train.epochs, 1)
  optimizer = optim.make_optimizer(config.optimizer, schedule)
  like = devices.put(run.mesh, run.state(optimizer))
  checkpoints = Checkpoints(
      pathlib.Path(workdir), run.model.hashes, read_only=True
  )
  restored = checkpoints.restore(kind, like)
  checkpoints.close()
  return restored
