"""Builds a config's method, with its weights on the devices.

Class names become embeddings in three steps: `Method.class_texts` makes texts,
`Session.tokens` turns these into token ids, and `Session.classes` embeds the
ids by `Method.text`, once if texts are frozen, else anew for new weights.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jax.sharding import Mesh

from data_pipelines.cache_folder import cache_folder
from data_pipelines.errors import UserError
from evclip_jax.config import experiment
from evclip_jax.methods import base, trained_weights
from evclip_jax.models import corruptions
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.tokenizer import Tokenizer
from evclip_jax.models.videoprism.tokenizer import SentenceTokenizer
from evclip_jax.models.videoprism.video_text import VideoTextModel
from evclip_jax.training import costs, devices, params, steps
from evclip_jax.training import optimizer as optim
from evclip_jax.weights import load, trunks, vocabulary


@dataclasses.dataclass
class Session:
  """Holds a method with its weights and its compiled functions.

  Attributes:
    method: the pure functions.
    tokenizer: texts -> ids; None if the method reads no texts.
    clip: the CLIP model, without weights, or None.
    hashes: network name -> hash of its weights as loaded.
    sources: network name -> where the weights came from.
    mesh: the devices.
    trainable: flat dict of the initial trainable leaves, on the host.
    statistics: the same for leaves that change without a gradient.
    frozen: flat dict of the frozen leaves, on the devices.
    shardings: path of a frozen leaf -> its sharding.
    class_names: K names of the training clips, or others to score.
    bank_folder: cache of features of frozen networks, or None.
  """

  method: base.Method
  tokenizer: Tokenizer | SentenceTokenizer | None
  clip: Clip | None
  hashes: dict[str, str]
  sources: dict[str, str]
  mesh: Mesh
  trainable: dict[str, np.ndarray]
  statistics: dict[str, np.ndarray]
  frozen: dict[str, jax.Array]
  shardings: dict[str, Any]
  class_names: list[str]
  bank_folder: pathlib.Path | None = None

  def __post_init__(self):
    """Makes the jitted functions; they are compiled when first called."""
    parts = self.method, self.mesh, self.shardings
    self.see_step = costs.Measured(steps.make_see_step(*parts), True)
    self.score_step = steps.make_score_step(*parts)
    self._bank = steps.make_class_bank(*parts)
    self._weights, self._banks = None, {}
    # Features of frozen networks, see `evaluation/bank.py`.
    self.banks: dict[Any, Any] = {}

  def tokens(self, class_names: Sequence[str]) -> np.ndarray:
    """Returns the token ids of the class texts, int32 [M, K, L]."""
    lists = self.method.class_texts(list(class_names))
    if self.tokenizer is None:
      return np.zeros((len(lists), len(class_names), 1), np.int32)
    return np.stack([self.tokenizer.encode(texts) for texts in lists])

  def texts(self, weights: dict[str, jax.Array]) -> jax.Array:
    """Returns tokens if texts train, else embeddings: a step's `classes`."""
    if self.method.text_trains:
      return devices.put(self.mesh, self.tokens(self.class_names))
    return self.classes(weights)

  def train_step(self, config, steps_per_epoch: int = 1, parts: int = 1):
    """Makes a config's optimizer and the step of `steps.make_train_step`."""
    given, epochs = config.optimizer, config.train.epochs
    schedule = optim.make_schedule(given, epochs, steps_per_epoch)
    optimizer = optim.make_optimizer(given, schedule)
    how = self.mesh, self.shardings, config.seed, parts
    step = steps.make_train_step(self.method, optimizer, schedule, *how)
    return optimizer, step

  def initial(self) -> dict[str, jax.Array]:
    """Returns the initial values of all that training changes, on devices."""
    return devices.put(self.mesh, self.trainable | self.statistics)

  def state(self, optimizer: optax.GradientTransformation) -> steps.TrainState:
    """Returns the state before the first step, on the devices."""
    state = steps.new_state(self.trainable, optimizer, self.statistics)
    return devices.put(self.mesh, state)

  def classes(
      self,
      weights: dict[str, jax.Array],
      class_names: Sequence[str] | None = None,
  ) -> jax.Array:
    """Returns embeddings [M, K, E] of classes, by default the session's."""
    names = tuple(class_names or self.class_names)
    if self.method.text_trains and weights is not self._weights:
      self._weights, self._banks = weights, {}
    if names not in self._banks:
      tokens = self.tokens(names)
      self._banks[names] = self._bank(weights, self.frozen, tokens)
    return self._banks[names]


def build(
    config: ml_collections.ConfigDict,
    class_names: Sequence[str],
    shared: dict[Any, load.Loaded] | None = None,
) -> Session:
  """Loads a config's networks, makes its method, and places the weights.

  Networks are taken from `shared`, or loaded and added to it, so that several
  builds load them once. UserError: weights that are missing, broken, or of
  another architecture.
  """
  loaded = networks(config, shared)
  method, backbones = make_method(config, class_names, loaded)
  tree = {name: x.params for name, x in loaded.items()}
  tokenizer = _tokenizer(config, loaded, backbones.encoder)
  own = method.init(steps.init_rng(config.seed))
  if method.start and tokenizer is not None:
    own = method.start(own, tree, tokenizer.encode)
  if own:
    tree['method'] = jax.tree.map(np.asarray, own)
  if config.method.weights:
    tree = trained_weights.load_trained(
        config.method.weights,
        config.method.name,
        tree,
        (*method.trainable, *method.statistics),
        method.fit,
        loaded['encoder'].hash if 'encoder' in loaded else None,
    )
  mesh = devices.make_mesh(config.mesh.data)
  trainable, rest = params.split(tree, method.trainable)
  statistics, frozen = params.split(rest, method.statistics)
  frozen = params.in_dtype(frozen, jnp.dtype(config.compute.dtype))
  shardings = devices.frozen_shardings(mesh, frozen, config.mesh.shard_frozen)
  has_bank = config.train.bank_views and method.frozen
  return Session(
      method=method,
      tokenizer=tokenizer,
      clip=backbones.clip,
      hashes={name: x.hash for name, x in loaded.items()},
      sources={name: x.source for name, x in loaded.items()},
      mesh=mesh,
      trainable=trainable,
      statistics=statistics,
      frozen=jax.device_put(frozen, shardings),
      shardings=shardings,
      class_names=list(class_names),
      bank_folder=cache_folder(config.cache_dir) / 'features'
      if has_bank
      else None,
  )


def networks(
    config: ml_collections.ConfigDict,
    shared: dict[Any, load.Loaded] | None = None,
) -> dict[str, load.Loaded]:
  """Loads the networks that a config's method uses; `shared` as in `build`."""
  module, settings = base.load(config.method.name), experiment.settings(config)
  clip, encoder, calls = config.clip, config.encoder, {}
  if module.uses_clip(settings):
    given = clip.name, clip.weights, config.cache_dir
    given = *given, clip.activation, clip.vision_heads
    calls['clip'] = load.load_clip, given
  if module.uses_encoder(settings):
    given = encoder.name, encoder.weights, config.cache_dir
    calls['encoder'] = load.load_encoder, given
  shared = {} if shared is None else shared
  for function, given in calls.values():
    if (function, given) not in shared:
      shared[function, given] = function(*given)
  return {part: shared[call] for part, call in calls.items()}


def make_method(
    config: ml_collections.ConfigDict,
    class_names: Sequence[str],
    loaded: dict[str, load.Loaded],
) -> tuple[base.Method, base.Backbones]:
  """Makes a config's method on loaded networks, and these as `Backbones`."""
  settings, dtype = experiment.settings(config), jnp.dtype(config.compute.dtype)
  clip, encoder = None, None
  if found := loaded.get('clip'):
    clip = Clip(found.sizes, dtype, config.compute.remat)
    if found.sizes.image_resolution != config.data.crop_pixels:
      raise UserError(
          f'data.crop_pixels={config.data.crop_pixels}, but CLIP '
          f'{config.clip.name or config.clip.weights} sees '
          f'{found.sizes.image_resolution} pixels: use that number.'
      )
  if trunk := loaded.get('encoder'):
    encoder = trunks.network(trunk.sizes, dtype)
    key = 'trunk_pixels' if clip else 'crop_pixels'
    encoder.grid(config.data[key] or config.data.crop_pixels, f'data.{key}')
  backbones = base.Backbones(
      clip=clip,
      encoder=encoder,
      num_frames=config.data.num_frames,
      num_support=config.episodes.way * config.episodes.shot,
  )
  module = base.load(config.method.name)
  method = module.make(settings, backbones, tuple(class_names))
  if config.data.corrupt:
    worse = corruptions.Corrupted(
        method.pixels, config.data.corrupt, config.seed, config.data.crop_pixels
    )
    method = dataclasses.replace(method, pixels=worse)
  return method, backbones


def _tokenizer(
    config: ml_collections.ConfigDict,
    loaded: dict[str, load.Loaded],
    encoder: trunks.Trunk | None,
) -> Tokenizer | SentenceTokenizer | None:
  if clip := loaded.get('clip'):
    return vocabulary.load_tokenizer(
        config.clip.vocab, config.cache_dir, clip.source, clip.sizes
    )
  if isinstance(encoder, VideoTextModel):
    return vocabulary.load_sentences(
        config.encoder.vocab,
        config.cache_dir,
        loaded['encoder'].source,
        encoder.sizes.vocab_size,
    )
  return None
