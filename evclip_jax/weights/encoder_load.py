"""From a name and a place to a video trunk's weights."""

import dataclasses
import difflib
import pathlib
from collections.abc import Mapping

import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models.swin3d import sizes
from evclip_jax.weights import (
  cache,
  published,
  random_init,
  sources,
  swin3d_names,
)
from evclip_jax.weights.load import packaged
from evclip_jax.weights.loaded import Loaded
from evclip_jax.weights.tree import unflatten

# The packaged trunk.
_TINY_FILE = 'tiny_encoder.safetensors'


def load_encoder(name: str, weights: str = '', cache_dir: str = '') -> Loaded:
  """Loads a video trunk.

  Args:
    name: a published name such as 'omnivore_swinS'; 'tiny', the packaged trunk;
      or '' for whatever architecture the file holds.
    weights: '' = the published weights of `name`, from the cache folder; a
      published name; 'tiny'; a file of any supported format; or 'random:SEED'.
    cache_dir: the cache folder; '' = the default one.

  Returns:
    `VideoEncoderSizes` and params['encoder'] as nested numpy float32. No tensor
    shows the rate of stochastic depth; it is that of `name`.

  Raises:
    UserError: an unknown name, weights that are not there, are broken or are of
      another architecture than `name`.
  """
  _check_name(name)
  weights = weights or name
  if not weights:
    raise UserError(
        "encoder.name='' takes the architecture from a file: set "
        'encoder.weights to it, or encoder.name to a published name.'
    )
  if random_init.is_random(weights):
    wanted = _sizes(name, cache_dir)
    seed = random_init.parse_seed(weights, 'encoder.weights')
    flat = random_init.draw(swin3d_names.shapes(wanted), seed)
    return _loaded(wanted, flat, cache.tree_hash(flat), weights)
  found = _read(weights, cache_dir)
  wanted = _sizes(name, cache_dir) if name else found.sizes
  if dataclasses.replace(found.sizes, drop_path=wanted.drop_path) != wanted:
    raise UserError(
        f'encoder.name={name} is a {wanted.describe()}.\n  encoder.weights='
        f'{weights} holds a {found.sizes.describe()}{_named(found.sizes)}.'
    )
  return _loaded(wanted, found.flat, found.hash, weights)


def _check_name(name: str):
  known = [*sizes.TABLE, sizes.TINY]
  if name and name not in known:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f'Did you mean {" or ".join(near)}? ' if near else ''
    raise UserError(
        f'encoder.name={name!r} is not a video trunk. {hint}Known: '
        f'{", ".join(known)}.'
    )


def _sizes(name: str, cache_dir: str) -> sizes.VideoEncoderSizes:
  """The architecture a name stands for."""
  if name == sizes.TINY:
    return _read(sizes.TINY, cache_dir).sizes
  if not name:
    raise UserError(
        'random weights need an architecture: set encoder.name, such as '
        'omnivore_swinS.'
    )
  return sizes.TABLE[name]


def _read(weights: str, cache_dir: str) -> cache.Cached:
  """Reads (and converts, if it must) a file or published weights."""
  entry = published.OMNIVORE.get(weights)
  if weights == sizes.TINY:
    path = packaged(_TINY_FILE)
  elif entry is not None:
    folder = pathlib.Path(cache_dir or cache.default_cache_dir())
    path = folder / entry.filename
    if not path.is_file():
      raise UserError(_not_downloaded(weights, cache_dir, path))
  else:
    path = pathlib.Path(weights).expanduser()
    if not path.exists():
      raise UserError(
          f'encoder.weights={weights}: there is no such file. Wanted a file, a '
          f'published name ({", ".join(published.OMNIVORE)}), tiny or '
          'random:SEED.'
      )
  return cache.load_or_convert(
      path,
      'encoder',
      swin3d_names.VERSION,
      lambda file: sources.convert_part(file, 'encoder'),
      sizes.VideoEncoderSizes,
      swin3d_names.shapes,
      cache_dir,
  )


def _loaded(
    found: sizes.VideoEncoderSizes,
    flat: Mapping[str, np.ndarray],
    digest: str,
    source: str,
) -> Loaded:
  count = sum(x.size for x in flat.values())
  return Loaded(
      sizes=found,
      params=unflatten(flat),
      hash=digest,
      source=source,
      description=f'{found.describe()}; {count:,} numbers from {source}',
  )


def _named(found: sizes.VideoEncoderSizes) -> str:
  """What to set instead, if a published trunk has these sizes."""
  names = [
      name
      for name, x in sizes.TABLE.items()
      if dataclasses.replace(x, drop_path=found.drop_path) == found
  ]
  return f': set encoder.name={names[0]}' if names else ''


def _not_downloaded(name: str, cache_dir: str, path: pathlib.Path) -> str:
  command = f'python -m evclip_jax.download {name}'
  command += f' --cache_dir={cache_dir}' if cache_dir else ''
  return (
      f'the weights of {name} are not there ({path}).\n  Get them with '
      f'"{command}", or set encoder.weights to a file or random:0.'
  )
