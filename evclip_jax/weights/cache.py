"""Caches converted weights beside the files that they come from."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError, WeightsError
from evclip_jax import __version__
from evclip_jax.weights import files, own_file
from evclip_jax.weights.networks import Network
from evclip_jax.weights.own_file import file_sha256, tree_hash
from evclip_jax.weights.table import Converted, check_tree

_SUFFIX = '.evclip_jax.safetensors'


def load_or_convert(
    path: str | Path,
    network: Network,
    convert: Callable[[files.StateFile], Converted],
    cache_dir: str | Path = '',
) -> tuple[Converted, str]:
  """Reads weights, and converts a file of others at most once.

  The result is kept beside the file or, if that folder cannot be written to, in
  the cache folder. It is used again only if file, config, converter and package
  are the same and its content has the hash noted in it.

  Args:
    path: a weight file of any supported kind, or of this project.
    network: the network it is for. Another `names.VERSION` makes older results
      stale; a file of this project must have exactly the leaves of
      `names.shapes`.
    convert: converts a file of others.
    cache_dir: the cache folder; '' = the default one.

  Returns:
    The weights and their `tree_hash`.

  Raises:
    WeightsError: the file cannot be read, or is for another architecture.
  """
  path = files.weight_file(path)
  key = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
  name = path.name + _SUFFIX
  places = [
      path.with_name(name),
      cache_folder(cache_dir) / 'converted' / f'{key}-{name}',
  ]
  same = {
      'converter': str(network.names.VERSION),
      'package': __version__,
      'beside': network.beside(path),
  }
  for place in places:
    if found := _read_kept(place, path, network, same):
      return found
  file = files.read_tensors(path)
  if own_file.is_own(file):
    converted = own_file.read(file, network.part, network.sizes)
    try:
      check_tree(converted.flat, network.names.shapes(converted.sizes))
    except WeightsError as e:
      raise WeightsError(f'{path}: {e}\n  {own_file.RECONVERT}') from e
    return converted, file.metadata['tree_hash']
  try:
    converted = convert(file)
  except WeightsError as e:
    raise WeightsError(f'{path}: {e}') from e
  noted = same | metadata_of(path, converted)
  for place in places:
    try:
      place.parent.mkdir(parents=True, exist_ok=True)
      flat, sizes = converted.flat, converted.sizes
      own_file.write(place, network.part, flat, sizes, noted)
      break
    # The folder cannot be written to, or the disk is full.
    except (OSError, UserError):
      continue
  return converted, tree_hash(converted.flat)


def metadata_of(path: Path, converted: Converted) -> dict[str, str]:
  """Returns the metadata of a converted file, except its sizes."""
  return {
      'source': path.name,
      'source_sha256': _sha256(path),
      'source_stat': _stat(path),
      'notes': json.dumps(converted.notes),
      'assumed': json.dumps(converted.assumed),
  }


def _read_kept(
    place: Path, path: Path, network: Network, same: Mapping[str, str]
) -> tuple[Converted, str] | None:
  """Returns the result kept at `place` if it is intact and of this file."""
  if not os.path.isfile(place):
    return None
  try:
    file = files.read_tensors(place)
    noted = file.metadata
    if not (same.items() <= noted.items() and own_file.is_own(file)):
      return None
    # Only a file that was touched since is read again to compare.
    touched = noted.get('source_stat') != _stat(path)
    if touched and noted.get('source_sha256') != _sha256(path):
      return None
    found = own_file.read(file, network.part, network.sizes)
    return found, noted['tree_hash']
  except (OSError, WeightsError):
    return None


def _stat(path: Path) -> str:
  """Returns sizes and times of change of the files that were read."""
  stats = [shard.stat() for shard in files.shards(path)]
  return json.dumps([[s.st_size, s.st_mtime_ns] for s in stats])


def _sha256(path: Path) -> str:
  digests = [file_sha256(shard) for shard in files.shards(path)]
  if len(digests) == 1:
    return digests[0]
  return hashlib.sha256(''.join(digests).encode()).hexdigest()
