"""Decides whether two configs are the same run; converts configs to dicts."""

import fnmatch
import hashlib
import json
from typing import Any

import ml_collections
from flax.traverse_util import flatten_dict

# Keys that may change when a run is resumed: they affect how it is done or
# watched, never what it computes.
FREE_KEYS = (
    'cache_dir',
    'compare',
    'compute.compilation_cache',
    'compute.memory_gb',
    'data.decoder',
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
  """Returns a plain nested dict, ready for JSON (tuples become lists)."""
  return json.loads(json.dumps(config.to_dict()))


def from_dict(values: dict[str, Any]) -> ml_collections.ConfigDict:
  """Returns a locked config from what `to_dict` returned."""
  return ml_collections.ConfigDict(_tuples(values)).lock()


def flat(config: ml_collections.ConfigDict | dict) -> dict[str, Any]:
  """Returns {'a.b.c': value} over all leaves."""
  values = config if isinstance(config, dict) else to_dict(config)
  return flatten_dict(values, sep='.')


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
  """Lists the keys by which two configs (plain dicts) compute differently."""
  a, b = flat(a), flat(b)
  keys = [k for k in sorted({*a, *b}) if not _is_free(k)]
  return [k for k in keys if a.get(k) != b.get(k)]


def what_counts(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """Returns the flat values of all keys that decide what a run computes."""
  return {k: v for k, v in flat(config).items() if not _is_free(k)}


def digest(config: ml_collections.ConfigDict) -> str:
  """Hashes everything that decides what a run computes."""
  text = json.dumps(what_counts(config), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_free(key: str) -> bool:
  return any(
      fnmatch.fnmatchcase(key, free) or key.startswith(free + '.')
      for free in FREE_KEYS
  )


def _tuples(value):
  """Turns lists into tuples, as config files write them."""
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(value) if isinstance(value, list) else value
