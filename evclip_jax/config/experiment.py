"""Makes configs: a method's recipe, its variants, the rows of `compare`."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from data_pipelines.errors import UserError
from evclip_jax.config import identity, schema
from evclip_jax.methods import base
from evclip_jax.weights import trunks


def new(method: str) -> ml_collections.ConfigDict:
  """Returns the schema's defaults with `method.settings` of a method.

  Only below data.others and data.tests can new keys be set. UserError if there
  is no such method.
  """
  config = schema.base()
  _set_method(config, method)
  config.lock()
  # The user names their keys.
  for named in (config.data.others, config.data.tests):
    named.unlock()
  return config


def on_data(
    name: str, method: str, shots: int = 0
) -> ml_collections.ConfigDict:
  """Returns a config of a data set with the method's own recipe."""
  config = new(method)
  config.data.name, config.data.shots = name, shots
  use_recipe(config)
  return config


def use_recipe(config: ml_collections.ConfigDict, method: str = ''):
  """Sets what a method's authors use (`RECIPE`); '' = the config's method."""
  recipe = getattr(base.load(method or config.method.name), 'RECIPE', {})
  config.update_from_flattened_dict(recipe)


def rows(
    config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
  """Returns the config of each row of `compare`, by its name.

  A row starts from the config. If it has another method, that method's recipe
  replaces how the config's method prepares and trains. Then come the row's
  `settings`, the values of its `config`, and the variants that match them. If
  any row learns from episodes, all are scored in the same episodes.

  Raises:
    UserError: an unknown key or method, or two rows with one name.
  """
  out = {}
  for spec in config.compare:
    _check_keys('compare', spec, ('name', 'method', 'settings', 'config'))
    name = spec.get('name', spec.get('method'))
    if not name or name in out:
      raise UserError(f'compare: each row needs a name of its own: {spec}.')
    out[name] = _row(config, spec)
  if any(map(is_episodic, out.values())):
    for own in out.values():
      own.episodes.score = not is_episodic(own)
  return out


def _row(config, spec: dict[str, Any]) -> ml_collections.ConfigDict:
  own = identity.from_dict(identity.to_dict(config)).unlock()
  own.compare = ()
  method = spec.get('method', config.method.name)
  if method != config.method.name:
    if recipe := _recipe(method):
      for key in schema.KEYS:
        if key.startswith('optimizer.') or key in _recipe(config.method.name):
          own.update_from_flattened_dict({key: schema.KEYS[key].default})
      own.update_from_flattened_dict(recipe)
    _set_method(own, method)
  settings, changes = spec.get('settings', {}), spec.get('config', {})
  _check_keys(f'method.settings of {method}', settings, own.method.settings)
  known = [*schema.KEYS, *identity.flat(own)]
  _check_keys('config of a row of compare', changes, known)
  try:
    own.update_from_flattened_dict(
        changes | {f'method.settings.{k}': v for k, v in settings.items()}
    )
  except (TypeError, ValueError) as e:
    raise UserError(f'compare: {e}') from e
  own = choose_variant(own, changes)
  schema.check(own)
  return own


def _recipe(method: str) -> dict[str, Any]:
  """Returns what a method's authors use, except for the choice of clips."""
  recipe = getattr(base.load(method), 'RECIPE', {})
  return {k: v for k, v in recipe.items() if k != 'data.shots'}


def _check_keys(where: str, given: Iterable[str], known: Iterable[str]):
  for key in given:
    if key not in known:
      near = difflib.get_close_matches(key, known, 1, 0)
      raise UserError(
          f'{where}: unknown key {key!r}. Did you mean {near[0]!r}?'
          if near
          else f'{where}: unknown key {key!r}; it has none.'
      )


def choose_variant(
    config: ml_collections.ConfigDict, given: Iterable[str] = ()
) -> ml_collections.ConfigDict:
  """Returns a locked config with the variants that match its values.

  Keys in `given`, set on the command line, stay; no variants are left.
  """
  out = identity.from_dict(identity.to_dict(config))
  values, given = identity.flat(config), set(given)
  for variant in config.variants:
    if all(values[key] == value for key, value in variant['when'].items()):
      out.update_from_flattened_dict(
          {k: v for k, v in variant['set'].items() if k not in given}
      )
  out.variants = ()
  out.data.trunk_pixels = _trunk_pixels(out)
  return out


def _trunk_pixels(config) -> int:
  """Returns the side of the trunk's own square; 0 if it sees CLIP's."""
  name = config.method.name
  own = settings(config) if name else None
  if not own or not base.load(name).uses_clip(own):
    return 0
  if not base.load(name).uses_encoder(own):
    return 0
  side = config.data.trunk_pixels or trunks.resolution(config.encoder.name)
  return 0 if side == config.data.crop_pixels else side


def from_flag(
    holder: flags.FlagHolder, alone: bool = False
) -> ml_collections.ConfigDict:
  """Returns the checked config behind a `--config` flag.

  With `alone`, only the config's own method is wanted; otherwise the rows of a
  comparison choose their own variants. UserError if no file was named, or if it
  gives no config or sets a value that no run could use.
  """
  flag = flags.FLAGS[holder.name]
  if not flag.present:
    raise UserError('--config is missing, such as --config=configs/ucf.py.')
  found = isinstance(holder.value, ml_collections.ConfigDict)
  if not found or not set(schema.base().keys()) <= set(holder.value.keys()):
    raise UserError(
        f'{config_flags.get_config_filename(flag)}: get_config() must return '
        'what experiment.new(METHOD) gives, with changed values.'
    )
  config, given = holder.value, config_flags.get_override_values(flag)
  if alone or not config.compare:
    config = choose_variant(config, given)
    if given.get('data.trunk_pixels') and not config.data.trunk_pixels:
      raise UserError(
          f'data.trunk_pixels={given["data.trunk_pixels"]} has no effect: it '
          'is for methods with a CLIP and a video trunk, and another side than '
          'data.crop_pixels.'
      )
  schema.check(config)
  # The command line also overrides the config of rows.
  apart = ('method.', 'protocol.', 'compare', 'variants')
  mine = {
      k: v
      for k, v in given.items()
      # Rows do not bring whole groups of keys, such as data.tests.
      if not k.startswith(apart) and not isinstance(v, (dict, type(config)))
  }
  config.compare = tuple(
      row | {'config': {**row.get('config', {}), **mine}}
      for row in config.compare
  )
  return config


def is_episodic(config: ml_collections.ConfigDict) -> bool:
  """Returns whether the config's method learns from episodes."""
  return getattr(base.load(config.method.name), 'EPISODIC', False)


def fitting_mode(mode: str, config: ml_collections.ConfigDict) -> str:
  """Returns `mode`, or 'evaluate' if the method has nothing to train."""
  trains = base.load(config.method.name).trains(settings(config))
  return mode if trains else 'evaluate'


def settings(config: ml_collections.ConfigDict) -> Any:
  """Returns the method's Settings dataclass with the config's values."""
  module = base.load(config.method.name)
  values = config.method.settings.to_dict()
  known = {f.name for f in dataclasses.fields(module.Settings)}
  if set(values) != known:
    raise UserError(
        f'method.settings has {sorted(values)}, but the method '
        f'{config.method.name!r} takes {sorted(known)}. Choose a method by '
        f'--config=FILE:{config.method.name}.'
    )
  return module.Settings(**values)


def _set_method(config: ml_collections.ConfigDict, method: str):
  module = base.load(method)
  config.method.name = method
  config.method.settings = ml_collections.ConfigDict(
      dataclasses.asdict(module.Settings())
  )
