"""From a name and a place to a CLIP model's weights."""

import difflib
import importlib.resources
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip import sizes, tokenizer
from evclip_jax.models.clip import vocabulary as vocabulary_lib
from evclip_jax.models.clip.vocabulary import Vocabulary
from evclip_jax.weights import (
  cache,
  clip_names,
  published,
  random_init,
  sources,
)
from evclip_jax.weights.formats import StateFile
from evclip_jax.weights.loaded import Converted, Loaded
from evclip_jax.weights.tree import unflatten

# The packaged model.
_TINY_FILE = 'tiny_clip.safetensors'
_TINY_VOCABULARY = 'tiny_vocab.json'


def load_clip(name: str, weights: str = '', cache_dir: str = '') -> Loaded:
  """Loads a CLIP model.

  Args:
    name: a published name such as 'ViT-B/16'; 'tiny', the packaged model; or ''
      for whatever architecture the file holds.
    weights: '' = the published weights of `name`, from the cache folder; a
      published name; 'tiny'; a file of any supported format; or 'random:SEED'.
    cache_dir: the cache folder; '' = the default one.

  Returns:
    `ClipSizes` and params['clip'] as nested numpy float32.

  Raises:
    UserError: an unknown name, weights that are not there, are broken or are of
      another architecture than `name`.
  """
  _check_name(name)
  weights = weights or name
  if not weights:
    raise UserError(
        "clip.name='' takes the architecture from a file: set clip.weights to "
        'it, or clip.name to a published name.'
    )
  if random_init.is_random(weights):
    wanted = _sizes(name, cache_dir)
    seed = random_init.parse_seed(weights, 'clip.weights')
    flat = random_init.draw(clip_names.shapes(wanted), seed)
    return _loaded(wanted, flat, cache.tree_hash(flat), weights)
  found = _read(weights, cache_dir)
  if name and found.sizes != (wanted := _sizes(name, cache_dir)):
    raise UserError(
        f'clip.name={name} is a {wanted.describe()}.\n  clip.weights={weights} '
        f'holds a {found.sizes.describe()}{_named(found.sizes)}.'
    )
  return _loaded(found.sizes, found.flat, found.hash, weights)


def load_tokenizer(
    vocab: str = '',
    cache_dir: str = '',
    weights: str = '',
    clip_sizes: sizes.ClipSizes | None = None,
) -> tokenizer.Tokenizer:
  """Finds the vocabulary that belongs to CLIP weights.

  Args:
    vocab: a file or folder (see `vocabulary.read`); 'tiny' = the packaged
      small one; '' = the packaged one for the packaged weights, else the
      downloaded one, else (for random weights only) the packaged one.
    cache_dir: the cache folder; '' = the default one.
    weights: the weights as a user names them: `Loaded.source`.
    clip_sizes: of the weights; None to check nothing.

  Raises:
    UserError: no vocabulary, a broken one, or one that is not of the weights.
  """
  # Random weights have seen no ids: a smaller vocabulary serves as well.
  random = random_init.is_random(weights)
  most = clip_sizes.vocab_size if clip_sizes else None

  def fits(found: Vocabulary) -> bool:
    return most is None or len(found) == most or (random and len(found) < most)

  if vocab:
    tiny = vocab == sizes.TINY
    found = vocabulary_lib.read(
        packaged(_TINY_VOCABULARY) if tiny else pathlib.Path(vocab).expanduser()
    )
  else:
    found = _default_vocabulary(cache_dir, weights, fits)
  if not fits(found):
    raise UserError(
        f'the vocabulary {found.source} has {len(found):,} ids, the CLIP '
        f'weights {weights} know {most:,}.\n  Set clip.vocab to the vocabulary '
        'that the weights were trained with.'
    )
  return tokenizer.Tokenizer(
      found,
      clip_sizes.context_length if clip_sizes else sizes.CONTEXT_LENGTH,
  )


def _default_vocabulary(
    cache_dir: str, weights: str, fits: Callable[[Vocabulary], bool]
) -> Vocabulary:
  """The vocabulary for `weights` where the user named none."""
  if weights == sizes.TINY:
    return vocabulary_lib.read(packaged(_TINY_VOCABULARY))
  random = random_init.is_random(weights)
  folder = pathlib.Path(cache_dir or cache.default_cache_dir())
  for entry in published.VOCABULARIES.values():
    if (folder / entry.filename).is_file():
      found = vocabulary_lib.read(folder / entry.filename)
      if fits(found) or not random:
        return found
  if random:
    return vocabulary_lib.read(packaged(_TINY_VOCABULARY))
  command = 'python -m evclip_jax.download vocab'
  command += f' --cache_dir={cache_dir}' if cache_dir else ''
  raise UserError(
      f'there is no CLIP vocabulary in {folder}.\n  Get it with "{command}", '
      f'or set --config.clip.vocab to {vocabulary_lib.GZIP_FORM} or '
      f'{vocabulary_lib.JSON_FORM}.'
  )


def packaged(filename: str) -> pathlib.Path:
  """The path of a file that comes with the package.

  Raises:
    UserError: if the installation lacks it.
  """
  path = pathlib.Path(str(importlib.resources.files('evclip_jax')))
  path = path / 'assets' / filename
  if not path.is_file():
    raise UserError(
        f'the packaged file {path} is missing. Install evclip_jax again, or '
        'make it with "python -m evclip_jax.lab.pretrain".'
    )
  return path


def _check_name(name: str):
  known = [*sizes.TABLE, sizes.TINY]
  if name and name not in known:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f'Did you mean {" or ".join(near)}? ' if near else ''
    raise UserError(
        f'clip.name={name!r} is not a CLIP model. {hint}Known: '
        f'{", ".join(known)}.'
    )


def _sizes(name: str, cache_dir: str) -> sizes.ClipSizes:
  """The architecture a name stands for."""
  if name == sizes.TINY:
    return _read(sizes.TINY, cache_dir).sizes
  if not name:
    raise UserError(
        'random weights need an architecture: set clip.name, such as ViT-B/16.'
    )
  return sizes.TABLE[name]


def _read(weights: str, cache_dir: str) -> cache.Cached:
  """Reads (and converts, if it must) a file or published weights."""
  entry = published.CLIP.get(weights)
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
          f'clip.weights={weights}: there is no such file. Wanted a file, a '
          f'published name ({", ".join(published.CLIP)}), tiny or random:SEED.'
      )

  def convert_file(file: StateFile) -> Converted:
    if entry is not None and cache.file_sha256(path) != entry.sha256:
      raise WeightsError(
          f'it is not the published file of {weights} (its sha256 differs). '
          'Delete it and download it again.'
      )
    return sources.convert_part(file, 'clip')

  return cache.load_or_convert(
      path,
      'clip',
      clip_names.VERSION,
      convert_file,
      sizes.ClipSizes,
      clip_names.shapes,
      cache_dir,
  )


def _loaded(
    found: sizes.ClipSizes,
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
      description=f'CLIP {found.describe()}; {count:,} numbers from {source}',
  )


def _named(found: sizes.ClipSizes) -> str:
  """What to set instead, if a published model has these sizes."""
  names = [name for name, x in sizes.TABLE.items() if x == found]
  return f': set clip.name={names[0]}' if names else ''


def _not_downloaded(name: str, cache_dir: str, path: pathlib.Path) -> str:
  command = f'python -m evclip_jax.download {name}'
  command += f' --cache_dir={cache_dir}' if cache_dir else ''
  return (
      f'the weights of CLIP {name} are not there ({path}).\n  Get them with '
      f'"{command}", or set clip.weights to a file or random:0.'
  )
