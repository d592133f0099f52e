"""Loads a pretrained network, by name or from a file."""

import dataclasses
import difflib
import hashlib
import os
import pathlib
import sys
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError, WeightsError
from evclip_jax.models.clip import sizes as clip_sizes
from evclip_jax.weights import (
  cache,
  clip_names,
  networks,
  own_file,
  published,
  random_init,
)
from evclip_jax.weights.files import StateFile
from evclip_jax.weights.networks import Network
from evclip_jax.weights.table import Converted


@dataclasses.dataclass(frozen=True)
class Loaded:
  """Holds a pretrained network.

  Attributes:
    sizes: the architecture.
    params: nested dict of float32 arrays, without the leading 'clip/' or
      'encoder/'.
    hash: hex digest of the names, shapes and values of `params`; a checkpoint
      of a run records it and refuses other weights.
    source: the origin of the weights: a file, published name or 'random:SEED'.
  """

  sizes: Any
  params: dict[str, Any]
  hash: str
  source: str


def load_clip(
    name: str,
    weights: str = '',
    cache_dir: str = '',
    activation: str = '',
    vision_heads: int = 0,
) -> Loaded:
  """Loads a CLIP model.

  Args:
    name: a published name such as 'ViT-B/16'; 'tiny', the packaged model; or ''
      for the architecture of the file.
    weights: '' = the published weights of `name`, from the cache folder; a
      published name; 'tiny'; a file of any supported format; or 'random:SEED'.
    cache_dir: the cache folder; '' = the default one.
    activation: 'quick_gelu', 'gelu' or 'gelu_tanh'; '' = that of the file, of
      the config beside it, or of the published model.
    vision_heads: attention heads of the image tower; 0 = from there too.

  Returns:
    `ClipSizes` and params['clip'] as nested numpy float32. Assumptions are
    printed.

  Raises:
    UserError: the name is unknown, the weights are missing, broken or for
      another architecture than `name`, or nothing says which activation or how
      many heads they have.
  """
  found, digest, weights = _load('clip', name, weights, cache_dir)
  named = {}
  if sizes := clip_sizes.TABLE.get(name):
    named['vision_heads'] = sizes.vision_heads
    # Other weights of the same sizes may have another activation.
    if weights in published.CLIP:
      named['activation'] = sizes.activation
  found = networks.settle(found, activation, vision_heads, named, name)
  if found.assumed:
    _check_assumed(found, weights)
  for note in found.notes:
    print(f'clip: {note}', file=sys.stderr)
  if found.sizes != clip_names.sizes_of(found.flat):
    # With another activation the same weights are another network.
    digest = hashlib.sha256(f'{digest} {found.sizes}'.encode()).hexdigest()
  return _loaded(found, digest, weights)


def load_encoder(name: str, weights: str = '', cache_dir: str = '') -> Loaded:
  """Loads a video trunk; see `load_clip`.

  Returns:
    Its sizes, for `trunks.network`, and params['encoder'] as nested numpy
    float32. No tensor shows Omnivore's rate of stochastic depth; it is that of
    `name`.
  """
  return _loaded(*_load('encoder', name, weights, cache_dir))


def _load(
    part: str, name: str, weights: str, cache_dir: str
) -> tuple[Converted, str, str]:
  """Returns weights with the sizes of `name`, their hash and their source."""
  network = networks.NETWORKS[part]
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
    return Converted(sizes, flat), own_file.tree_hash(flat), weights
  found, digest = _read(network, weights, cache_dir)
  if name:
    wanted = _named_sizes(network, name, cache_dir)
    if not _same(found.sizes, wanted):
      raise UserError(
          f'{part}.name={name} is a {wanted.describe()}.\n  {part}.weights='
          f'{weights} holds a {found.sizes.describe()}'
          f'{_hint(network, found.sizes)}.'
      )
    if part == 'encoder':
      found = dataclasses.replace(found, sizes=wanted)
  return found, digest, weights


def _check_assumed(found: Converted, weights: str):
  """Raises UserError if a CLIP's activation or heads cannot be assumed."""
  sizes = found.sizes
  if 'activation' in found.assumed:
    raise UserError(
        f'{weights} does not say which activation its CLIP uses: set '
        'clip.activation to quick_gelu (OpenAI) or gelu (LAION, DataComp and '
        'most of open_clip), or put its config.json beside it.'
    )
  # All published towers up to this width have heads of 64 channels.
  if sizes.vision_width > 1024 or sizes.vision_width % 64:
    raise UserError(
        f'{weights} does not say how many attention heads share the '
        f'{sizes.vision_width} channels of its image tower: set '
        'clip.vision_heads (16 for ViT-H/14, ViT-g/14 and ViT-bigG/14).'
    )


def _check_name(network: Network, name: str):
  known = [*network.table, published.TINY]
  if name and name not in known:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f'Did you mean {" or ".join(near)}? ' if near else ''
    raise UserError(
        f'{network.part}.name={name!r} is not {network.what}. {hint}Known: '
        f'{", ".join(known)}.'
    )


def _named_sizes(network: Network, name: str, cache_dir: str) -> Any:
  """Returns the architecture of a name."""
  if name == published.TINY:
    return _read(network, published.TINY, cache_dir)[0].sizes
  if not name:
    raise UserError(
        f'random weights need an architecture: set {network.part}.name, such '
        f'as {list(network.table)[1]}.'
    )
  return network.table[name]


def _read(
    network: Network, weights: str, cache_dir: str
) -> tuple[Converted, str]:
  """Reads a file or published weights, and converts them if necessary."""
  part = network.part
  entry = network.published.get(weights)
  if weights == published.TINY:
    path = published.packaged(f'tiny_{part}.safetensors')
  elif entry is not None:
    path = cache_folder(cache_dir) / entry.filename
    if not os.path.isfile(path):
      raise UserError(
          f'the weights of {weights} are missing ({path}).\n  Get them with '
          f'"{published.command(weights, cache_dir)}", or set {part}.weights '
          'to a file or random:0.'
      )
  else:
    path = pathlib.Path(os.path.expanduser(weights))
    if not os.path.exists(path):
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

  return cache.load_or_convert(path, network, convert, cache_dir)


def _same(found: Any, wanted: Any) -> bool:
  """Returns whether two architectures have weights of the same shapes."""
  if type(found) is not type(wanted):
    return False
  free = ('drop_path', 'activation', 'vision_heads', 'text_heads')
  found, wanted = dataclasses.asdict(found), dataclasses.asdict(wanted)
  return all(found[key] == wanted[key] for key in found.keys() - set(free))


def _hint(network: Network, sizes: Any) -> str:
  """Suggests the name of a published network of these sizes, if any."""
  names = [name for name, x in network.table.items() if _same(sizes, x)]
  return f': set {network.part}.name={names[0]}' if names else ''


def _loaded(found: Converted, digest: str, source: str) -> Loaded:
  for path, value in found.flat.items():
    if not np.isfinite(value).all():
      raise WeightsError(
          f'{source}: {path!r} has numbers that are not finite (NaN), so it '
          'computes nothing. Use another file.'
      )
  params = unflatten_dict(found.flat, sep='/')
  return Loaded(found.sizes, params, digest, source)
