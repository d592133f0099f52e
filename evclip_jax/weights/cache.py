"""Keeps converted weights beside the file they were made from."""

import hashlib
import json
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
  """Reads weights, converting a foreign file at most once.

  The converted tree is kept beside the file, or in the cache folder where that
  cannot be written to, or nowhere. It is used again only if file, config,
  converter and package are the same and its own content has the hash noted in
  it; otherwise it is made anew.

  Args:
    path: a weight file of any supported kind, or one this project wrote.
    network: what it is of. A change of `names.VERSION` makes older conversions
      stale; a file this project wrote must have exactly the leaves of
      `names.shapes`.
    convert: makes the tree of a foreign file.
    cache_dir: the cache folder; '' = the default one.

  Returns:
    The tree and its `tree_hash`.

  Raises:
    WeightsError: the file cannot be read or is of another architecture.
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
      raise WeightsError(f'{path}: {e}\n  {own_file.AGAIN}') from e
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
    # A folder that cannot be written to, or a full disk: the next place.
    except (OSError, UserError):
      continue
  return converted, tree_hash(converted.flat)


def metadata_of(path: Path, converted: Converted) -> dict[str, str]:
  """Returns what a converted file notes besides its tensors and sizes."""
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
  """The tree kept at `place` if it is whole and of this very file."""
  if not place.is_file():
    return None
  try:
    file = files.read_tensors(place)
    noted = file.metadata
    fits = same.items() <= noted.items() and own_file.is_own(file)
    if not fits or not _is_of(noted, path):
      return None
    found = own_file.read(file, network.part, network.sizes)
    return found, noted['tree_hash']
  except (OSError, WeightsError):
    return None


def _is_of(noted: Mapping[str, str], path: Path) -> bool:
  # Only a file touched since is read again to compare.
  same = noted.get('source_stat') == _stat(path)
  return same or noted.get('source_sha256') == _sha256(path)


def _stat(path: Path) -> str:
  """Sizes and times of change of the files that were read."""
  stats = [shard.stat() for shard in files.shards(path)]
  return json.dumps([[s.st_size, s.st_mtime_ns] for s in stats])


def _sha256(path: Path) -> str:
  digests = [file_sha256(shard) for shard in files.shards(path)]
  if len(digests) == 1:
    return digests[0]
  return hashlib.sha256(''.join(digests).encode()).hexdigest()
