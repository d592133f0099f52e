"""Manages the folder of a run: its name, its config, who may use it."""

import json
import os
import pathlib
import re
from typing import Any

import ml_collections

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from evclip_jax.config import identity, schema
from evclip_jax.methods import base
from evclip_jax.reporting import log

# Groups of keys that the schema does not name.
_OPEN_KEYS = ('method.settings.', 'compare.', 'data.tests.', 'data.others.')
# Keys that may be raised to train a finished run for longer.
_RAISABLE = ('train.epochs', 'episodes.train_episodes')
# Keys that an evaluation must have in common with the training.
_MODEL_KEYS = ('method.', 'clip.name', 'encoder.name', 'data.num_frames')


def default(config_file: str, config: ml_collections.ConfigDict) -> str:
  """Returns runs/<config>-<method>-s<seed>, under the current folder."""
  stem = pathlib.Path(config_file.split(':')[0]).stem
  return os.path.join('runs', f'{stem}-{config.method.name}-s{config.seed}')


def of_row(name: str) -> str:
  """Returns the folder name of a row of a comparison."""
  return re.sub(r'[^\w.+=-]+', '_', name)


def row_of(folder: pathlib.Path) -> tuple[int, str]:
  """Returns number and name of a run's row in a comparison, or (0, '')."""
  above = folder.absolute().parent / 'config.json'
  rows = _read_json(above).get('compare', ()) if above.exists() else ()
  for place, row in enumerate(rows):
    name = row.get('name', row.get('method'))
    if of_row(name) == folder.name:
      return place, name
  return 0, ''


def refuse_several(workdir: str | os.PathLike):
  """Raises UserError, which names the runs in a folder of several."""
  found = pathlib.Path(workdir).glob('*/config.json')
  inner = sorted(path.parent.name for path in found)
  raise UserError(
      f'{workdir} holds several runs. Give the --workdir of one of them: '
      f'{workdir}/NAME with NAME in {", ".join(inner)}.'
  )


def prepare(workdir: str | os.PathLike, config: ml_collections.ConfigDict):
  """Creates a run's folder, or checks that it belongs to this config.

  All processes but the first only check. UserError if it holds a run of another
  config, or cannot be written.
  """
  check_free(workdir, config)
  folder = pathlib.Path(workdir).absolute()
  if not log.is_first():
    return
  if (folder / 'config.json').exists():
    before = identity.flat(_read_json(folder / 'config.json'))
    now = identity.flat(config)
    for key in _RAISABLE:
      if before.get(key) != now[key]:
        log.log(
            f'{key} was {before.get(key)}, now {now[key]}: from here on the '
            'learning rate follows the longer schedule.'
        )
  try:
    folder.mkdir(parents=True, exist_ok=True)
    whole_file.write_json(folder / 'config.json', identity.to_dict(config))
  except OSError as e:
    raise UserError(
        f'cannot write to the run folder {folder}: {e.strerror or e}. '
        'Choose another --workdir.'
    ) from e


def load_config(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
  """Reads the config of a run; UserError if it is not a run's folder."""
  path = pathlib.Path(workdir) / 'config.json'
  values = _read_json(path)
  known = [*identity.flat(values)]
  unknown = [
      key
      for key in known
      if key not in schema.KEYS and not key.startswith(_OPEN_KEYS)
  ]
  if unknown:
    raise UserError(
        f'{path} has keys that this version does not know: '
        f'{", ".join(unknown[:3])}.'
    )
  config = identity.from_dict(values)
  # Keys that are newer than the run have their defaults.
  with config.unlocked():
    for key, (default, *_) in schema.KEYS.items():
      if not any(f'{one}.'.startswith(f'{key}.') for one in known):
        config.update_from_flattened_dict({key: default})
  return config


def load_card(workdir: str | os.PathLike) -> dict[str, Any]:
  """Reads the run card of a run; UserError if it is not finished."""
  return _read_json(pathlib.Path(workdir) / 'run_card.json')


def finished(
    folder: pathlib.Path, config: ml_collections.ConfigDict
) -> dict[str, Any] | None:
  """Returns the run card of a finished run of this very config, or None."""
  if not (folder / 'run_card.json').exists():
    return None
  card = load_card(folder)
  views = {'clips': config.eval.clips, 'crops': config.eval.crops}
  same = card.get('config_hash') == identity.digest(config)
  return card if same and card.get('views') == views else None


def check_free(workdir: str | os.PathLike, config: ml_collections.ConfigDict):
  """Raises UserError if the folder holds a run that computes something else."""

  def matters(key, theirs, ours):
    return key not in _RAISABLE or ours < theirs

  if (pathlib.Path(workdir) / 'config.json').exists():
    _refuse(workdir, config, matters)


def check_same_model(
    workdir: str | os.PathLike, config: ml_collections.ConfigDict
):
  """Raises UserError if the folder's run has another model than the config.

  What only scores depend on (`SCORING` of the method's file) may differ.
  """
  scoring = getattr(base.load(config.method.name), 'SCORING', ())
  free = [f'method.settings.{name}' for name in scoring]
  _refuse(
      workdir,
      config,
      lambda key, theirs, ours: key not in free and key.startswith(_MODEL_KEYS),
  )


def check_data(folder: pathlib.Path, description: dict[str, Any]):
  """Writes data.json, or raises UserError if lists or texts have changed.

  `description` is the data pipeline's, with 'texts': list -> hash of its class
  texts.
  """
  path = folder / 'data.json'
  if not path.exists():
    whole_file.write_json(path, description)
    return
  found = _read_json(path)
  theirs, ours = found['lists'], description['lists']
  for name in sorted({*theirs, *ours}):
    then, now = theirs.get(name), ours.get(name)
    if then is None or now is None or then['sha256'] != now['sha256']:
      raise UserError(
          f'the list {name!r} has changed since the run in {folder} began '
          f'({_clips(then)} then, {_clips(now)} now).\n  Restore the data, or '
          'use another --workdir.'
      )
  then, now = (d.get('texts', {}) for d in (found, description))
  for name in sorted(then.keys() & now.keys()):
    if then[name] != now[name]:
      raise UserError(
          f'the class texts of {name!r} have changed since the run in {folder} '
          'began: its config is the same, but not the file of texts that it '
          'names.\n  Restore the file, or use another --workdir.'
      )


def class_names(workdir: str | os.PathLike) -> list[str]:
  """Reads the training classes of a run, in label order, or UserError."""
  return _read_json(pathlib.Path(workdir) / 'classes.json')


def _clips(entry: dict[str, Any] | None) -> str:
  if entry is None:
    return 'no such list'
  return f'{entry["clips"]} clips, hash {entry["sha256"][:8]}'


def _refuse(workdir, config, matters):
  """Refuses a folder whose config differs in a key that matters."""
  folder = pathlib.Path(workdir).absolute()
  theirs, ours = _read_json(folder / 'config.json'), identity.to_dict(config)
  differ = identity.differences(ours, theirs)
  a, b = identity.flat(theirs), identity.flat(ours)
  differ = [k for k in differ if matters(k, a.get(k), b.get(k))]
  if not differ:
    return
  shown = ', '.join(
      f'{key}: {a.get(key)!r} there, {b.get(key)!r} now' for key in differ[:4]
  )
  more = f' and {len(differ) - 4} more' if len(differ) > 4 else ''
  raise UserError(
      f'{folder} holds a run of another config ({shown}{more}).\n'
      '  Use another --workdir, or delete that folder.'
  )


def _read_json(path: pathlib.Path) -> Any:
  if not path.exists():
    raise UserError(
        f'{path} does not exist. Give the --workdir of a run that was made '
        'with python -m evclip_jax.main.'
    )
  try:
    return json.loads(path.read_text('utf-8'))
  except (OSError, json.JSONDecodeError) as e:
    raise UserError(f'{path} cannot be read: {e}.') from e
