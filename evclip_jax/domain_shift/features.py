"""What the frozen networks make of clips and words, kept per list."""

import dataclasses
import functools
import hashlib
import importlib.resources
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from data_pipelines import whole_file
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
from evclip_jax.reporting import log
from evclip_jax.training import devices, session
from evclip_jax.training.params import merge
from evclip_jax.weights import load, trunks

_METHOD = 'zero_shot'


def kinetics400() -> list[str]:
  """Returns the class names of Kinetics-400."""
  assets = importlib.resources.files('evclip_jax') / 'assets'
  return (assets / 'kinetics400.txt').read_text().splitlines()


class Networks:
  """CLIP without any training, and the video trunk if its weights are there.

  Attributes:
    note: why there is no trunk; '' if there is one.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, class_names: Sequence[str]
  ):
    """Loads the frozen networks that a run's config names.

    Templates and colour constants are the run's, where its method has them.
    """
    self._config = config = _zero_shot(config)
    model = session.build(config, class_names)
    self.note, self._trunk, names = '', None, config.encoder
    try:
      trunk = load.load_encoder(names.name, names.weights, config.cache_dir)
      self._trunk = trunks.network(
          trunk.sizes, jnp.dtype(config.compute.dtype)
      )
      self._trunk.grid(config.data.trunk_pixels or config.data.crop_pixels)
      model = dataclasses.replace(
          model,
          params=model.params | {'encoder': trunk.params},
          hashes=model.hashes | {'encoder': trunk.hash},
      )
    except UserError as e:
      self.note = f'no features of the video trunk: {e}'
    self._session = session.start(config, model, class_names)
    self._step = devices.jit(
        self._see, self._session.mesh, self._session.shardings, 3
    )

  def texts(self, class_names: Sequence[str]) -> np.ndarray:
    """Returns unit embeddings [K, E] of class names, templates averaged."""
    bank = np.asarray(self._session.classes({}, class_names), np.float64)
    bank /= np.linalg.norm(bank, axis=-1, keepdims=True)
    bank = bank.mean(axis=0)
    return bank / np.linalg.norm(bank, axis=-1, keepdims=True)

  def features(
      self, source: Source, hashes: Sequence[str]
  ) -> dict[str, np.ndarray]:
    """Returns float32 [N, D] by network, 'clip' and 'trunk'.

    One view in the middle of each clip is looked at, once for clips of these
    contents; it is kept in `<cache folder>/shift/`. NaN where none can be read.
    """
    config, model = self._config, self._session.model
    spec = one_clip.spec_of(config.data)
    told = [repr(spec), config.seed, config.compute.dtype, model.hashes]
    told += [config.method.settings.pixels, *hashes]
    key = hashlib.sha256('\n'.join(map(str, told)).encode()).hexdigest()[:32]
    file = cache_folder(config.cache_dir) / 'shift' / f'features-{key}.npz'
    try:
      with np.load(file) as found:
        return dict(found)
    except (OSError, ValueError):
      found = self._compute(source)
    try:
      file.parent.mkdir(parents=True, exist_ok=True)
      with whole_file.replacing(file) as temporary, temporary.open('wb') as f:
        np.savez(f, **found)
    except OSError as e:
      log.log(f'note: the features of clips cannot be kept ({e}; cache_dir).')
    return found

  def _compute(self, source) -> dict[str, np.ndarray]:
    mesh, out = self._session.mesh, {}
    with log.progress(len(source), f'features {source.name}', unit='clip') as b:
      batches = one_view(self._config, source, mesh).batches()
      step = functools.partial(self._step, {}, self._session.frozen)
      for rows in bank.rows_of(batches, step, mesh, b.update):
        for name, values in rows['features'].items():
          if name not in out:
            shape = len(source), values.shape[1]
            out[name] = np.full(shape, np.nan, np.float32)
          out[name][rows['index']] = values
    return out

  def _see(self, weights, frozen, batch):
    del weights
    method, params = self._session.model.method, merge(frozen)
    pixels = method.pixels(batch['video'], None)
    out = {'clip': method.video(params, pixels, None, False).clip}
    if self._trunk:
      seen = base.trunk_features(
          self._trunk,
          params['encoder'],
          squares(pixels, self._session.model.clip.sizes.image_resolution)[1],
          self._config.method.settings.pixels,
      )
      out['trunk'] = seen.mean(axis=(1, 2, 3))
    out = {name: x.astype(jnp.float32) for name, x in out.items()}
    return {'features': out, 'mask': batch['mask'], 'index': batch['index']}


def one_view(config, source: Source, mesh: jax.sharding.Mesh) -> EvalSet:
  """Returns batches of one view per clip; a clip that cannot be read is left
  out.
  """
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

  'confusability' is the cosine of the text of the clip's class and the nearest
  other class of the list, 'kinetics' that of the nearest Kinetics-400 class,
  'alignment' that of the clip and its class text without training, 'margin'
  how much that is above the best other class. All lie in -1 .. 1; None where
  there is no other class, or no feature.

  Args:
    labels: [N].
    clip: [N, E], CLIP's features without training; NaN where there are none.
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
  """The config with CLIP alone as its method, on frames as they are."""
  own = identity.from_dict(identity.to_dict(config)).unlock()
  settings = dataclasses.asdict(base.load(_METHOD).Settings())
  for key in settings:
    settings[key] = config.method.settings.get(key, settings[key])
  own.compare, own.data.corrupt = (), ''
  own.method = {'name': _METHOD, 'weights': '', 'settings': settings}
  return own.lock()

