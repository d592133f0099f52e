"""Loads a pretrained network or a tokenizer, by name or from a file."""

import dataclasses
import difflib
import importlib.resources
import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.models.clip import tokenizer
from evclip_jax.models.swin3d import sizes as swin3d_sizes
from evclip_jax.weights import (
    cache,
    clip_names,
    networks,
    own_file,
    published,
    random_init,
    swin3d_names,
)
from evclip_jax.weights.files import StateFile
from evclip_jax.weights.published import Published
from evclip_jax.weights.table import Converted

# The name of the packaged networks and of the packaged vocabulary.
TINY = 'tiny'
_TINY_VOCABULARY = 'tiny_vocab.json'


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A pretrained network ready for use.

  Attributes:
    sizes: the architecture.
    params: nested dict of float32 arrays, without the leading 'clip/' or
      'encoder/'.
    hash: hex digest of the names, shapes and values of `params`; a run's
      checkpoint records it and refuses other weights.
    source: the file, published name or 'random:SEED' the weights came from.
    description: one line for logs: architecture, sizes, counts.
  """

  sizes: Any
  params: dict[str, Any]
  hash: str
  source: str
  description: str


@dataclasses.dataclass(frozen=True)
class _Network:
  """What differs between the networks that can be loaded.

  Attributes:
    part: the branch of the parameter tree and of the config.
    what: with an article, for messages.
    example: a published name.
    published: name -> its file.
    table: name -> its architecture.
    names: the module that converts its weights.
    sizes: the type of an architecture.
  """

  part: str
  what: str
  example: str
  published: Mapping[str, Published]
  table: Mapping[str, Any]
  names: ModuleType
  sizes: type


_CLIP = _Network(
    'clip',
    'a CLIP model',
    'ViT-B/16',
    published.CLIP,
    clip_sizes.TABLE,
    clip_names,
    clip_sizes.ClipSizes,
)
_ENCODER = _Network(
    'encoder',
    'a video trunk',
    'omnivore_swinS',
    published.OMNIVORE,
    swin3d_sizes.TABLE,
    swin3d_names,
    swin3d_sizes.VideoEncoderSizes,
)


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
  return _load(_CLIP, name, weights, cache_dir)


def load_encoder(name: str, weights: str = '', cache_dir: str = '') -> Loaded:
  """Loads a video trunk; see `load_clip`.

  Returns:
    `VideoEncoderSizes` and params['encoder'] as nested numpy float32. No tensor
    shows the rate of stochastic depth; it is that of `name`.
  """
  return _load(_ENCODER, name, weights, cache_dir)


def _load(
    network: _Network, name: str, weights: str, cache_dir: str
) -> Loaded:
  part = network.part
  _check_name(network, name)
  weights = weights or name
  if not weights:
    raise UserError(
        f"{part}.name='' takes the architecture from a file: set "
        f'{part}.weights to it, or {part}.name to a published name.'
    )
  if random_init.is_random(weights):
    sizes = _named_sizes(network, name, cache_dir)
    seed = random_init.parse_seed(weights, f'{part}.weights')
    flat = random_init.draw(network.names.shapes(sizes), seed)
    return _loaded(sizes, flat, own_file.tree_hash(flat), weights)
  found, digest = _read(network, weights, cache_dir)
  sizes = found.sizes
  if name:
    wanted = _named_sizes(network, name, cache_dir)
    if not _same(sizes, wanted):
      raise UserError(
          f'{part}.name={name} is a {wanted.describe()}.\n  {part}.weights='
          f'{weights} holds a {sizes.describe()}{_hint(network, sizes)}.'
      )
    sizes = wanted
  return _loaded(sizes, found.flat, digest, weights)


def _check_name(network: _Network, name: str):
  known = [*network.table, TINY]
  if name and name not in known:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f'Did you mean {" or ".join(near)}? ' if near else ''
    raise UserError(
        f'{network.part}.name={name!r} is not {network.what}. {hint}Known: '
        f'{", ".join(known)}.'
    )


def _named_sizes(network: _Network, name: str, cache_dir: str) -> Any:
  """The architecture a name stands for."""
  if name == TINY:
    return _read(network, TINY, cache_dir)[0].sizes
  if not name:
    raise UserError(
        f'random weights need an architecture: set {network.part}.name, such '
        f'as {network.example}.'
    )
  return network.table[name]


def _read(
    network: _Network, weights: str, cache_dir: str
) -> tuple[Converted, str]:
  """Reads (and converts, if it must) a file or published weights."""
  part = network.part
  entry = network.published.get(weights)
  if weights == TINY:
    path = packaged(f'tiny_{part}.safetensors')
  elif entry is not None:
    path = cache_folder(cache_dir) / entry.filename
    if not path.is_file():
      raise UserError(
          f'the weights of {weights} are not there ({path}).\n  Get them with '
          f'"{_download(weights, cache_dir)}", or set {part}.weights to a file '
          'or random:0.'
      )
  else:
    path = pathlib.Path(weights).expanduser()
    if not path.exists():
      raise UserError(
          f'{part}.weights={weights}: there is no such file. Wanted a file, a '
          f'published name ({", ".join(network.published)}), tiny or '
          'random:SEED.'
      )

  def convert(file: StateFile) -> Converted:
    wanted = entry.sha256 if entry else None
    if wanted and own_file.file_sha256(path) != wanted:
      raise WeightsError(
          f'it is not the published file of {weights} (its sha256 differs). '
          'Delete it and download it again.'
      )
    return networks.convert_part(file, part)

  return cache.load_or_convert(
      path,
      part,
      network.names.VERSION,
      convert,
      network.sizes,
      network.names.shapes,
      cache_dir,
  )


def _same(found: Any, wanted: Any) -> bool:
  """Whether two architectures have the same weights."""
  if isinstance(found, swin3d_sizes.VideoEncoderSizes):
    found = dataclasses.replace(found, drop_path=wanted.drop_path)
  return found == wanted


def _hint(network: _Network, sizes: Any) -> str:
  """What to set instead, if a published network has these sizes."""
  names = [name for name, x in network.table.items() if _same(sizes, x)]
  return f': set {network.part}.name={names[0]}' if names else ''


def _loaded(
    sizes: Any, flat: Mapping[str, np.ndarray], digest: str, source: str
) -> Loaded:
  count = sum(x.size for x in flat.values())
  return Loaded(
      sizes=sizes,
      params=unflatten_dict(flat, sep='/'),
      hash=digest,
      source=source,
      description=f'{sizes.describe()}; {count:,} numbers from {source}',
  )


def load_tokenizer(
    vocab: str = '',
    cache_dir: str = '',
    weights: str = '',
    sizes: clip_sizes.ClipSizes | None = None,
) -> tokenizer.Tokenizer:
  """Loads the tokenizer that belongs to CLIP weights.

  Args:
    vocab: a file or folder (see `tokenizer.read`); 'tiny' = the packaged small
      one; '' = the packaged one for the packaged weights, else the downloaded
      one, else (for random weights only) the packaged one.
    cache_dir: the cache folder; '' = the default one.
    weights: the weights as a user names them: `Loaded.source`.
    sizes: of the weights; None to check nothing.

  Raises:
    UserError: no vocabulary, a broken one, or one that is not of the weights.
  """
  # Random weights have seen no ids: a smaller vocabulary serves as well.
  random = random_init.is_random(weights)
  most = sizes.vocab_size if sizes else None

  def fits(found: tokenizer.Vocabulary) -> bool:
    return most is None or len(found) == most or (random and len(found) < most)

  if vocab == TINY:
    found = tokenizer.read(packaged(_TINY_VOCABULARY))
  elif vocab:
    found = tokenizer.read(pathlib.Path(vocab).expanduser())
  else:
    found = _default_vocabulary(cache_dir, weights, fits)
  if not fits(found):
    raise UserError(
        f'the vocabulary {found.source} has {len(found):,} ids, the CLIP '
        f'weights {weights} know {most:,}.\n  Set clip.vocab to the vocabulary '
        'that the weights were trained with.'
    )
  length = sizes.context_length if sizes else clip_sizes.CONTEXT_LENGTH
  return tokenizer.Tokenizer(found, length)


def _default_vocabulary(
    cache_dir: str, weights: str, fits: Callable[[tokenizer.Vocabulary], bool]
) -> tokenizer.Vocabulary:
  """The vocabulary for `weights` where the user named none."""
  if weights == TINY:
    return tokenizer.read(packaged(_TINY_VOCABULARY))
  random = random_init.is_random(weights)
  folder = cache_folder(cache_dir)
  for entry in published.VOCABULARIES.values():
    if (folder / entry.filename).is_file():
      found = tokenizer.read(folder / entry.filename)
      if fits(found) or not random:
        return found
  if random:
    return tokenizer.read(packaged(_TINY_VOCABULARY))
  raise UserError(
      f'there is no CLIP vocabulary in {folder}.\n  Get it with '
      f'"{_download("vocab", cache_dir)}", or set --config.clip.vocab to '
      f'{tokenizer.GZIP_FORM} or {tokenizer.JSON_FORM}.'
  )


def packaged(filename: str) -> pathlib.Path:
  """Returns the path of a file that comes with the package.

  Raises:
    UserError: if the installation lacks it.
  """
  folder = pathlib.Path(str(importlib.resources.files('evclip_jax')))
  path = folder / 'assets' / filename
  if not path.is_file():
    raise UserError(
        f'the packaged file {path} is missing. Install evclip_jax again, or '
        'make it with "python -m evclip_jax.lab.pretrain".'
    )
  return path


def _download(name: str, cache_dir: str) -> str:
  """The command that fetches a published file."""
  command = f'python -m evclip_jax.download {name}'
  return f'{command} --cache_dir={cache_dir}' if cache_dir else command
