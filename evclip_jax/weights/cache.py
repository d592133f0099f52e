"""Converted weights, kept beside their source."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.errors import UserError, WeightsError
from evclip_jax import __version__
from evclip_jax.weights import formats, native
from evclip_jax.weights.hashes import file_sha256, tree_hash
from evclip_jax.weights.loaded import Converted
from evclip_jax.weights.table import check_tree

_SUFFIX = '.evclip_jax.safetensors'


@dataclasses.dataclass(frozen=True)
class Cached:
  """A converted tree and where it was found.

  Attributes:
    sizes: the architecture.
    flat: path without the leading part -> float32 array.
    hash: `tree_hash` of `flat`.
    from_cache: False if the source had to be converted.
    notes: what the reader of the source chose; empty from the cache.
  """

  sizes: Any
  flat: dict[str, np.ndarray]
  hash: str
  from_cache: bool
  notes: tuple[str, ...] = ()


def default_cache_dir() -> Path:
  """$XDG_CACHE_HOME/evclip_jax, or ~/.cache/evclip_jax."""
  base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  return Path(base) / 'evclip_jax'


def load_or_convert(
    path: str | Path,
    part: str,
    version: int,
    convert: Callable[[formats.StateFile], Converted],
    sizes_type: type,
    shapes: Callable[[Any], Mapping[str, tuple[int, ...]]],
    cache_dir: str | Path = '',
) -> Cached:
  """Reads weights, converting a foreign file at most once.

  The converted tree is kept beside the source, or in the cache folder where
  that cannot be written to, or nowhere. It is used again only if source,
  converter and package are the same and its own content has the hash noted in
  it; otherwise it is made anew.

  Args:
    path: a weight file of any supported kind, or one this project wrote.
    part: 'clip', 'encoder' or 'method'.
    version: of the converter; a change makes older conversions stale.
    convert: makes the tree of a foreign file.
    sizes_type: the flat dataclass of `Converted.sizes`.
    shapes: sizes -> path -> shape of every leaf; a file this project wrote must
      have exactly these.
    cache_dir: the cache folder; `default_cache_dir()` if empty.

  Raises:
    WeightsError: the file cannot be read or is of another architecture.
  """
  path = Path(path)
  places = _places(path, cache_dir)
  for place in places:
    if found := _read_cached(place, path, part, version, sizes_type):
      return found
  file = formats.read_tensors(path)
  if native.is_own(file):
    converted = native.read(file, part, sizes_type)
    digest = native.check_hash(file, converted.flat)
    try:
      check_tree(converted.flat, shapes(converted.sizes))
    except WeightsError as e:
      raise WeightsError(
          f'{path}: {e}\n  Convert the original again with "python -m '
          'evclip_jax.convert".'
      ) from e
    return Cached(converted.sizes, converted.flat, digest, True)
  try:
    converted = convert(file)
  except WeightsError as e:
    raise WeightsError(f'{path}: {e}') from e
  metadata = source_metadata(path, version)
  for place in places:
    try:
      place.parent.mkdir(parents=True, exist_ok=True)
      native.write(place, part, converted.flat, converted.sizes, metadata)
      break
    # A folder that cannot be written to, or a full disk: the next place.
    except (OSError, UserError):
      continue
  digest = tree_hash(converted.flat)
  return Cached(converted.sizes, converted.flat, digest, False, file.notes)


def source_metadata(path: Path, version: int) -> dict[str, str]:
  """What a converted file notes of the file it was made from."""
  stat = path.stat()
  return {
      'source': path.name,
      'source_sha256': file_sha256(path),
      'source_bytes': str(stat.st_size),
      'source_mtime_ns': str(stat.st_mtime_ns),
      'converter': str(version),
  }


def _places(path: Path, cache_dir: str | Path) -> list[Path]:
  """Where the converted tree may be, the preferred place first."""
  folder = Path(cache_dir) if cache_dir else default_cache_dir()
  key = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
  beside = path.with_name(path.name + _SUFFIX)
  return [beside, folder / 'converted' / f'{key}-{path.name}{_SUFFIX}']


def _read_cached(
    place: Path, source: Path, part: str, version: int, sizes_type: type
) -> Cached | None:
  """The tree kept at `place` if it is whole and of this very source."""
  if not place.is_file():
    return None
  try:
    file = formats.read_tensors(place)
    noted = file.metadata
    same = native.is_own(file) and _same_source(noted, source)
    if not same or noted.get('converter') != str(version):
      return None
    if noted.get('package') != __version__:
      return None
    converted = native.read(file, part, sizes_type)
    digest = native.check_hash(file, converted.flat)
  except (OSError, WeightsError):
    return None
  return Cached(converted.sizes, converted.flat, digest, True)


def _same_source(noted: Mapping[str, str], source: Path) -> bool:
  stat = source.stat()
  if noted.get('source_bytes') != str(stat.st_size):
    return False
  # Only a file touched since is read again to compare.
  if noted.get('source_mtime_ns') == str(stat.st_mtime_ns):
    return True
  return noted.get('source_sha256') == file_sha256(source)
