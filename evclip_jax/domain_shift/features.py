"""Computes the features of clips and words by the frozen networks."""

import dataclasses
import importlib.resources
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.loaders.eval_set import EvalSet
from data_pipelines.loaders.loader import Loader
from data_pipelines.loaders.source import Source
from data_pipelines.views.view import squares
from evclip_jax.config import identity
from evclip_jax.domain_shift.factors import Row
from evclip_jax.evaluation import bank
from evclip_jax.methods import base
from evclip_jax.training import devices, params, session
from evclip_jax.weights import load, trunks

_METHOD = 'zero_shot'


def kinetics400() -> list[str]:
  """Returns the class names of Kinetics-400."""
  assets = importlib.resources.files('evclip_jax') / 'assets'
  return (assets / 'kinetics400.txt').read_text().splitlines()


class Networks:
  """Holds untrained CLIP, and the video trunk if its weights are there.

  `note` says why there is no trunk; '' if there is one.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, class_names: Sequence[str]
  ):
    """Loads the frozen networks that a run's config names."""
    self._config = config = _zero_shot(config)
    run = session.build(config, class_names)
    self._side, self._video = run.clip.sizes.image_resolution, run.method.video
    dtype, weights, names = jnp.dtype(config.compute.dtype), {}, config.encoder
    self.note, self._trunk, hashes = '', None, run.hashes
    try:
      trunk = load.load_encoder(names.name, names.weights, config.cache_dir)
      self._trunk = trunks.network(trunk.sizes, dtype)
      self._trunk.grid(config.data.trunk_pixels or config.data.crop_pixels)
      weights = flatten_dict({'encoder': trunk.params}, sep='/')
      weights, hashes = params.in_dtype(weights, dtype), dict(hashes)
      hashes['encoder'] = trunk.hash
    except UserError as e:
      self.note = f'no features of the video trunk: {e}'
    shardings = devices.frozen_shardings(
        run.mesh, weights, config.mesh.shard_frozen
    )
    self._session = dataclasses.replace(
        run,
        method=dataclasses.replace(run.method, frozen=self._see),
        hashes=hashes,
        frozen=run.frozen | jax.device_put(weights, shardings),
        shardings=run.shardings | shardings,
        bank_folder=cache_folder(config.cache_dir) / 'features',
    )

  def texts(self, class_names: Sequence[str]) -> np.ndarray:
    """Returns unit embeddings [K, E] of class names, a mean over templates."""
    bank = np.asarray(self._session.classes({}, class_names), np.float64)
    bank /= np.linalg.norm(bank, axis=-1, keepdims=True)
    bank = bank.mean(axis=0)
    return bank / np.linalg.norm(bank, axis=-1, keepdims=True)

  def features(self, source: Source) -> dict[str, np.ndarray]:
    """Returns features of middle views: {'clip' or 'trunk': float32 [N, D]}.

    They are cached in `<cache folder>/features/`; NaN for clips that cannot be
    read.
    """
    listed = one_view(self._config, source, self._session.mesh)
    kept, out = bank.of_list(self._session, listed, None), {}
    for name, values in kept.frozen.items():
      out[name] = np.full((len(source), values.shape[1]), np.nan, np.float32)
      out[name][kept.fields['index']] = values
    return out

  def _see(self, tree, pixels, rngs, train):
    """Computes the features of both networks, as a `Method.frozen`."""
    del rngs, train
    out = {'clip': self._video(tree, pixels, None, False).clip}
    if self._trunk:
      seen = base.trunk_features(
          self._trunk,
          tree['encoder'],
          squares(pixels, self._side)[1],
          self._config.method.settings.pixels,
      )
      out['trunk'] = seen.mean(axis=(1, 2, 3))
    return {name: x.astype(jnp.float32) for name, x in out.items()}


def one_view(config, source: Source, mesh: jax.sharding.Mesh) -> EvalSet:
  """Returns a list with one view per clip; leaves out what cannot be read."""
  size = mesh.shape['data']
  rows = config.eval.batch_size or config.batch_size
  read = Loader(
      one_clip.spec_of(config.data),
      config.seed,
      workers=config.data.workers,
      prefetch=config.data.prefetch,
      on_unread=lambda *_: None,
  )
  return EvalSet(read, source, -(-rows // size) * size)


def semantic(
    labels: np.ndarray, clip: np.ndarray, own: np.ndarray, known: np.ndarray
) -> list[Row]:
  """Returns the factors of words for each clip of a list.

  'confusability' is the cosine of the text of the clip's class with that of the
  nearest other class of the list, 'kinetics' with the nearest of Kinetics-400.
  'alignment' is the cosine of the clip with the text of its class, 'margin' how
  much higher this is than with any other class. None where there is no other
  class, or no feature.

  Args:
    labels: [N], the class of each clip.
    clip: [N, E], features by untrained CLIP; NaN where there are none.
    own, known: unit texts [K, E] of the list's classes and of Kinetics-400.

  Source: A. Radford et al., Learning transferable visual models from natural
    language supervision, ICML 2021, for the cosines.
  """
  unit = clip / np.linalg.norm(clip, axis=1, keepdims=True)
  among = own @ own.T
  kinetics = (own @ known.T).max(axis=1)
  out = []
  for label, feature in zip(labels, unit, strict=True):
    cosines, others = own @ feature, np.arange(len(own)) != label
    nearest = among[label].max(where=others, initial=-np.inf)
    best = cosines.max(where=others, initial=-np.inf)
    values = {
        'confusability': nearest,
        'kinetics': kinetics[label],
        'alignment': cosines[label],
        'margin': cosines[label] - best,
    }
    out.append({k: float(v) if np.isfinite(v) else None
                for k, v in values.items()})  # fmt: skip
  return out


def _zero_shot(config) -> ml_collections.ConfigDict:
  """Returns the config with zero-shot CLIP as its method, uncorrupted."""
  own = identity.from_dict(identity.to_dict(config)).unlock()
  settings = dataclasses.asdict(base.load(_METHOD).Settings())
  for key in settings:
    settings[key] = config.method.settings.get(key, settings[key])
  own.compare, own.data.corrupt = (), ''
  own.method = {'name': _METHOD, 'weights': '', 'settings': settings}
  return own.lock()
