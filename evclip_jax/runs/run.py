"""Starts a run: finds its kind, opens its data, trains or evaluates."""

import contextlib
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from data_pipelines.errors import UserError
from evclip_jax.config import experiment, schema
from evclip_jax.evaluation import run_card
from evclip_jax.reporting import log
from evclip_jax.runs import cost_table, learning_rate, memory, train
from evclip_jax.runs import folder as run_folder
from evclip_jax.training import devices, optimizer, session
from evclip_jax.training.checkpoints import Checkpoints


def run(
    config: ml_collections.ConfigDict, workdir: str, mode: str = 'train'
) -> dict[str, Any]:
  """Runs one experiment: a method, a comparison of several, or a protocol.

  Args:
    config: a locked config.
    workdir: the run folder, made if need be.
    mode: 'train', which resumes an unfinished run, or 'evaluate', which leaves
      a trained run's own files as they are.

  Returns:
    The run card, or {row: run card}, or what `protocols.run` returns.

  Raises:
    UserError: anything the user can fix; no half-written file is left.
  """
  schema.check(config)
  if config.protocol.seeds and not config.protocol.name:
    with config.unlocked():
      config.protocol.name = 'seeds'
  for key in ('shots', 'splits'):
    default = schema.KEYS[f'protocol.{key}'].default
    if not config.protocol.name and tuple(config.protocol[key]) != default:
      raise UserError(f'protocol.{key} has no effect without protocol.name.')
  log.log(f'run folder: {pathlib.Path(workdir).absolute()}')
  if config.protocol.name:
    from evclip_jax.runs import protocols

    return protocols.run(config, workdir, mode)
  return run_one(config, workdir, mode)


def run_one(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    is_part: bool = False,
    loaded: dict | None = None,
) -> dict[str, Any]:
  """Runs one method or comparison; with `is_part`, as a part of a protocol."""
  # A folder of another run is refused before any work.
  trained = (pathlib.Path(workdir) / 'config.json').exists()
  if mode == 'evaluate' and trained:
    rows = experiment.rows(config) if config.compare else {'': config}
    for name, own in rows.items():
      place = pathlib.Path(workdir) / run_folder.of_row(name)
      if (place / 'config.json').exists():
        run_folder.check_same_model(place, own)
  else:
    run_folder.check_free(workdir, config)
  if config.compare:
    from evclip_jax.runs import compare

    return compare.run(config, workdir, mode, is_part, loaded)
  if is_part:
    # A method with nothing to train may score any list, even its training list.
    mode = experiment.fitting_mode(mode, config)
  elif mode != experiment.fitting_mode(mode, config):
    raise UserError(
        f'the method {config.method.name!r} has nothing to train. '
        'Use --mode=evaluate.'
    )
  loaded = {} if loaded is None else loaded
  data = open_data(config, workdir, mode, loaded)
  return execute(config, workdir, mode, data, loaded)


def open_data(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    loaded: dict,
    check_early: Callable[[Any], None] | None = None,
) -> Any:
  """Opens the `Pipeline` of a config and logs its sizes.

  `loaded` are networks that runs share. Before any clip is examined,
  `check_early` gets the pipeline; None = `check_step` of the config.
  """
  # Not at the top, since it is slow and most mistakes are found before.
  from data_pipelines.loaders import pipeline

  def check(data: pipeline.Pipeline):
    if mode == 'evaluate':
      return
    if not run_folder.finished(pathlib.Path(workdir), config):
      check_step(config, mode, data, loaded)

  how = {}
  if jax.distributed.is_initialized():
    how['process_index'] = jax.process_index()
    how['process_count'] = jax.process_count()
  data = pipeline.Pipeline(
      config,
      workdir,
      evaluate_only=mode == 'evaluate',
      episodic=experiment.is_episodic(config),
      check=check_early or check,
      **how,
  )
  counts = []
  for name, about in data.description['lists'].items():
    kinds = [kind for kind in ('missing', 'skipped') if about.get(kind)]
    left_out = ', '.join(f'{about[kind]} {kind}' for kind in kinds)
    more = f' ({left_out})' if left_out else ''
    counts.append(f'{about["clips"]} {name}{more}')
  log.log(f'{len(data.class_names)} classes; clips: {", ".join(counts)}')
  return data


def check_step(
    config: ml_collections.ConfigDict, mode: str, data: Any, loaded: dict
):
  """Raises UserError if a training cannot work or its step does not fit.

  `data` and `loaded` are as for `memory.check`.
  """
  if experiment.fitting_mode(mode, config) == 'train':
    given = config, data.class_names, config.mesh.data, loaded
    _check_training(config, cost_table.shapes(*given), data)
    memory.check(config, data, loaded)


def execute(
    config: ml_collections.ConfigDict,
    workdir: str,
    mode: str,
    data: Any,
    loaded: dict | None = None,
) -> dict[str, Any]:
  """Trains or evaluates one method on opened data, and returns its run card.

  `loaded` are networks that runs share, see `session.build`.
  """
  devices.prepare(config)
  own = session.build(config, data.class_names, loaded)
  check(config, mode, own, data)
  if mode == 'train':
    optimizer.note_warmup(config.optimizer, config.train.epochs)
  folder = pathlib.Path(workdir).absolute()
  if mode == 'train' or not (folder / 'config.json').exists():
    run_folder.prepare(folder, config)
    if log.is_first():
      asked = {'train': data.class_names}
      asked |= {name: x.class_names for name, x in data.evals.items()}
      texts = {
          name: run_card.prompts_hash(own.method, list(names))
          for name, names in asked.items()
      }
      run_folder.check_data(folder, data.description | {'texts': texts})
      data.write(folder)
  if mode == 'evaluate':
    return _evaluate(config, folder, own, data)
  about = {}
  if config.train.rates:
    config, about = learning_rate.choose(config, folder, own, data)
  return train.train_and_evaluate(config, folder, own, data, about)


def check(
    config: ml_collections.ConfigDict,
    mode: str,
    own: session.Session,
    data: Any,
):
  """Raises UserError for what would fail later, before there is a folder."""
  if mode == 'train':
    # Again, since broken clips may have been left out.
    _check_training(config, own, data)
  for scored in data.evals.values():
    for key, size in scored.batch_sizes.items():
      devices.check_batch_size(own.mesh, size, key)
  # Raises for a class without a description and for a text that is too long.
  lists = [data.class_names, *(e.class_names for e in data.evals.values())]
  for names in dict.fromkeys(tuple(names) for names in lists):
    own.tokens(names)


def _check_training(config, own: session.Session, data):
  """Checks what needs no clip; `data.evals` may have names only."""
  if config.train.bank_views and own.method.frozen is None:
    raise UserError(
        f'train.bank_views={config.train.bank_views}: what {config.method.name}'
        ' trains, with these settings, looks at the clips and not at features '
        'of frozen networks. Use 0.'
    )
  train.check_batch(config, own, data)
  run_card.selection(config.train.select, data.evals)
  learning_rate.check(config, data)


def _evaluate(config, folder: pathlib.Path, run: session.Session, data):
  """Scores a finished run, or the weights as they are given."""
  started = time.time()
  initial = run.initial()
  checkpoints = Checkpoints(folder, run.hashes)
  states = {'given': (0, initial)}
  last = checkpoints.latest('last') if run.trainable else None
  if last is not None:
    select = run_card.selection(config.train.select, data.evals)
    weights = checkpoints.weights('last', initial)
    states = checkpoints.reported(select, (last, weights))
  elif run.trainable and not config.method.weights:
    raise UserError(
        f'no checkpoint in {checkpoints.folder}. Train first, give the '
        '--workdir of a trained run, or set method.weights.'
    )
  # This must not replace the card and the scores of a trained run, or those of
  # frames with another corruption, whose files have other names.
  other = config.data.corrupt != run_folder.load_config(folder).data.corrupt
  trained = 'given' not in states
  place = 'evaluate' if trained and not other else 'evaluation'
  metrics = log.MetricsLog(folder, None)
  with contextlib.closing(metrics):
    given = config, folder, run, data, states, last or 0, metrics
    card, shown = run_card.report(*given, place)
  card |= {'scores': place, 'wall_seconds': round(time.time() - started, 1)}
  name = 'evaluate_card.json' if other or trained else 'run_card.json'
  run_card.write(folder, card, shown, name)
  return card
