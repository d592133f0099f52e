"""What is done with configs: compare, hash, check, store as JSON."""

import fnmatch
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import ml_collections

from data_pipelines.errors import UserError

# Keys that may differ between two sittings of the same run: they change how
# it is carried out or watched, never what it computes.
FREE_KEYS = (
    'cache_dir',
    'compare',
    'data.others.*.root',
    'data.prefetch',
    'data.root',
    'data.workers',
    'eval',
    'mesh',
    'protocol',
    'train.log_every_steps',
    'train.checkpoint_every_epochs',
)


def to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Plain nested dict, ready for JSON (tuples become lists)."""
  return json.loads(json.dumps(config.to_dict()))


def from_dict(values: dict[str, Any]) -> ml_collections.ConfigDict:
  """A locked config from what `to_dict` gave."""
  config = ml_collections.ConfigDict(_tuples(values))
  return config.lock()


def flat(config: ml_collections.ConfigDict | dict) -> dict[str, Any]:
  """{'a.b.c': value} over all leaves."""
  values = config if isinstance(config, dict) else to_dict(config)
  out = {}
  for key, value in values.items():
    if isinstance(value, dict):
      out |= {f'{key}.{k}': v for k, v in flat(value).items()}
    else:
      out[key] = value
  return out


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
  """Keys in which two configs (as plain dicts) would compute differently."""
  a, b = flat(a), flat(b)
  keys = [k for k in sorted({*a, *b}) if not _is_free(k)]
  return [k for k in keys if a.get(k) != b.get(k)]


def digest(config: ml_collections.ConfigDict) -> str:
  """Hash of everything that decides what a run computes."""
  kept = {k: v for k, v in flat(config).items() if not _is_free(k)}
  text = json.dumps(kept, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def choose_variant(
    config: ml_collections.ConfigDict, given: Iterable[str] = ()
) -> ml_collections.ConfigDict:
  """Sets what goes with the config's other values, such as its backbone.

  Args:
    config: with `variants`; left as it is.
    given: keys that the command line set; they stay.

  Returns:
    A locked config without `variants`.
  """
  out = from_dict(to_dict(config))
  values, given = flat(config), set(given)
  for variant in config.variants:
    if all(values[key] == value for key, value in variant['when'].items()):
      out.update_from_flattened_dict(
          {k: v for k, v in variant['set'].items() if k not in given}
      )
  out.variants = ()
  return out


def check(config: ml_collections.ConfigDict):
  """Raises UserError for values that no run could use."""
  _check_choice(config, 'data.train_temporal', ('center', 'random'))
  _check_choice(
      config, 'data.frame_rule', ('segment', 'segment_center', 'interval')
  )
  _check_choice(config, 'data.label_kind', ('verb', 'noun', 'action'))
  _check_choice(config, 'data.on_broken', ('error', 'skip'))
  _check_choice(config, 'data.on_missing', ('error', 'skip'))
  _check_choice(config, 'data.few_shot_short', ('error', 'keep'))
  _check_choice(config, 'data.class_scope', ('shared', 'per_list'))
  _check_choice(config, 'compute.dtype', ('float32', 'bfloat16'))
  _check_choice(
      config, 'train.select', ('auto', 'last', 'best_val', 'best_on_test')
  )
  for key in (
      'batch_size',
      'data.num_frames',
      'data.window_frames',
      'data.resize_height',
      'data.resize_width',
      'data.crop_pixels',
      'eval.clips',
      'eval.crops',
      'train.epochs',
      'train.eval_every_epochs',
      'train.checkpoint_every_epochs',
      'train.log_every_steps',
      'train.accumulate',
      'optimizer.rate_every_steps',
      'optimizer.iterations_per_step',
      'episodes.shot',
      'episodes.query',
      'episodes.test_query',
      'episodes.per_step',
      'episodes.train_episodes',
      'episodes.epoch_episodes',
      'episodes.eval_every_episodes',
      'episodes.test_episodes',
  ):
    _check_at_least(config, key, 1)
  for key in (
      'data.shots',
      'data.workers',
      'mesh.data',
      'eval.batch_size',
      'optimizer.iterations_per_epoch',
  ):
    _check_at_least(config, key, 0)
  for key in ('episodes.test_way', 'episodes.test_shot'):
    _check_at_least(config, key, 0)
  _check_at_least(config, 'episodes.way', 2)
  if config.eval.crops not in (1, 3):
    raise UserError(f'eval.crops={config.eval.crops}: use 1 or 3.')
  smallest = min(config.data.resize_height, config.data.resize_width)
  if (
      config.data.preprocess == 'ev_clip'
      and config.data.crop_pixels > smallest
  ):
    raise UserError(
        f'data.crop_pixels={config.data.crop_pixels} does not fit into frames '
        f'of {config.data.resize_height}x{config.data.resize_width} '
        '(data.resize_height, data.resize_width).'
    )


def _is_free(key: str) -> bool:
  return any(
      fnmatch.fnmatchcase(key, free) or key.startswith(free + '.')
      for free in FREE_KEYS
  )


def _check_choice(config, key: str, allowed: tuple[str, ...]):
  value = _get(config, key)
  if value not in allowed:
    raise UserError(f'{key}={value!r}: use one of {", ".join(allowed)}.')


def _check_at_least(config, key: str, least: int):
  value = _get(config, key)
  if value < least:
    raise UserError(f'{key}={value}: use {least} or more.')


def _get(config, key: str):
  for part in key.split('.'):
    config = config[part]
  return config


def _tuples(value):
  """Lists become tuples, as config files write them."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(value) if isinstance(value, list) else value
