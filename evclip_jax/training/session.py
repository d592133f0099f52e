"""From a config to a method with its weights on the devices.

Class names become embeddings in three steps: `Method.class_texts` makes texts
of them, `Model.tokens` ids of these, and `Session.classes` embeds the ids by
`Method.text`: once where the text side is frozen, once per weights elsewhere.
"""

import dataclasses
import functools
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
from evclip_jax.methods import base, checkpoints
from evclip_jax.models import corruptions
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.tokenizer import Tokenizer
from evclip_jax.models.videoprism.tokenizer import SentenceTokenizer
from evclip_jax.models.videoprism.video_text import VideoTextModel
from evclip_jax.training import costs, devices, params, steps
from evclip_jax.weights import load, trunks, vocabulary


@dataclasses.dataclass(frozen=True)
class Model:
  """A method, its parameters on the host and its tokenizer.

  Attributes:
    method: the pure functions.
    params: {'clip', 'encoder', 'method'}, nested dicts of numpy float32.
    tokenizer: texts -> ids; None where the method reads no texts.
    clip: the CLIP handle; its weights are params['clip']; or None.
    hashes: network name -> hash of its frozen weights.
    sources: network name -> where the weights came from.
  """

  method: base.Method
  params: dict[str, Any]
  tokenizer: Tokenizer | SentenceTokenizer | None
  clip: Clip | None
  hashes: dict[str, str]
  sources: dict[str, str]

  def tokens(self, class_names: Sequence[str]) -> np.ndarray:
    """Returns the class texts as ids [M, K, L] int32."""
    lists = self.method.class_texts(list(class_names))
    if self.tokenizer is None:
      return np.zeros((len(lists), len(class_names), 1), np.int32)
    return np.stack([self.tokenizer.encode(texts) for texts in lists])


def build(
    config: ml_collections.ConfigDict,
    class_names: Sequence[str],
    shared: dict[Any, load.Loaded] | None = None,
) -> Model:
  """Loads the networks a config names and makes its method.

  Networks in `shared`, of other builds, are not loaded again; this one adds its
  own.

  Raises:
    UserError: weights that are missing, broken, or of another architecture.
  """
  method, loaded, backbones = make_method(config, class_names, shared)
  tree = {name: x.params for name, x in loaded.items()}
  tokenizer = _tokenizer(config, loaded, backbones.encoder)
  own = method.init(steps.init_rng(config.seed))
  if method.start and tokenizer is not None:
    own = method.start(own, tree, tokenizer.encode)
  if own:
    tree['method'] = jax.tree.map(np.asarray, own)
  if config.method.weights:
    tree = checkpoints.load_trained(
        config.method.weights,
        config.method.name,
        tree,
        (*method.trainable, *method.statistics),
        method.fit,
        loaded['encoder'].hash if 'encoder' in loaded else None,
    )
  return Model(
      method=method,
      params=tree,
      tokenizer=tokenizer,
      clip=backbones.clip,
      hashes={name: x.hash for name, x in loaded.items()},
      sources={name: x.source for name, x in loaded.items()},
  )


def make_method(
    config: ml_collections.ConfigDict,
    class_names: Sequence[str],
    shared: dict[Any, load.Loaded] | None = None,
) -> tuple[base.Method, dict[str, load.Loaded], base.Backbones]:
  """Returns a config's method and the networks below it; see `build`."""
  module = base.load(config.method.name)
  settings = experiment.settings(config)
  dtype = jnp.dtype(config.compute.dtype)
  shared = {} if shared is None else shared

  def loaded_once(function, *given):
    if (function, given) not in shared:
      shared[function, given] = function(*given)
    return shared[function, given]

  loaded, clip, encoder = {}, None, None
  if module.uses_clip(settings):
    found = loaded_once(
        load.load_clip,
        config.clip.name,
        config.clip.weights,
        config.cache_dir,
        config.clip.activation,
        config.clip.vision_heads,
    )
    loaded['clip'] = found
    clip = Clip(found.sizes, dtype, config.compute.remat)
    if found.sizes.image_resolution != config.data.crop_pixels:
      raise UserError(
          f'data.crop_pixels={config.data.crop_pixels}, but CLIP '
          f'{config.clip.name or config.clip.weights} sees '
          f'{found.sizes.image_resolution} pixels: use that number.'
      )
  if module.uses_encoder(settings):
    trunk = loaded_once(
        load.load_encoder,
        config.encoder.name,
        config.encoder.weights,
        config.cache_dir,
    )
    loaded['encoder'] = trunk
    encoder = trunks.network(trunk.sizes, dtype)
    key = 'trunk_pixels' if clip else 'crop_pixels'
    encoder.grid(config.data[key] or config.data.crop_pixels, f'data.{key}')
  backbones = base.Backbones(
      clip=clip,
      encoder=encoder,
      num_frames=config.data.num_frames,
      num_support=config.episodes.way * config.episodes.shot,
  )
  method = module.make(settings, backbones, tuple(class_names))
  if config.data.corrupt:
    worse = corruptions.Corrupted(
        method.pixels,
        config.data.corrupt,
        config.seed,
        config.data.crop_pixels,
    )
    method = dataclasses.replace(method, pixels=worse)
  return method, loaded, backbones


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


@dataclasses.dataclass
class Session:
  """Compiled functions and placed frozen weights.

  Attributes:
    model: the method and its host parameters.
    mesh: the devices.
    trainable: flat dict of initial trainable leaves, on the host.
    statistics: likewise of leaves that change without a gradient.
    frozen: flat dict of frozen leaves, on the devices.
    shardings: of the frozen leaves.
    class_names: K names of the training clips, or others to score.
    bank_folder: where features of frozen networks are kept, or None.
  """

  model: Model
  mesh: Mesh
  trainable: dict[str, np.ndarray]
  statistics: dict[str, np.ndarray]
  frozen: dict[str, jax.Array]
  shardings: dict[str, Any]
  class_names: list[str]
  bank_folder: pathlib.Path | None = None

  def __post_init__(self):
    """Prepares functions; they are compiled when they are called."""
    method = self.model.method
    parts = method, self.mesh, self.shardings
    self.eval_step = costs.Measured(steps.make_eval_step(*parts), True)
    self.feature_step = costs.Measured(steps.make_feature_step(*parts), True)
    self._bank = steps.make_class_bank(*parts)
    self._weights, self._banks = None, {}
    # Features of frozen networks, see `evaluation/bank.py`.
    self.banks: dict[Any, Any] = {}

  @functools.cached_property
  def tokens(self) -> np.ndarray:
    """Prompts of the session's classes, [M, K, L]."""
    return self.model.tokens(self.class_names)

  def texts(self, weights: dict[str, jax.Array]) -> jax.Array:
    """Returns tokens, where texts train, or classes, for a training step."""
    if self.model.method.text_trains:
      return devices.put(self.mesh, self.tokens)
    return self.classes(weights)

  def train_step(self, optimizer, schedule, seed: int, parts: int = 1):
    """Returns `steps.make_train_step` of the session."""
    how = self.mesh, self.shardings, seed, parts
    return steps.make_train_step(self.model.method, optimizer, schedule, *how)

  def initial(self) -> dict[str, jax.Array]:
    """Returns what training changes as it is before, on the devices."""
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
    """Returns embeddings [M, K, E] of classes; None = the session's.

    They are computed once, or once per weights if texts train.
    """
    names = tuple(class_names or self.class_names)
    if self.model.method.text_trains and weights is not self._weights:
      self._weights, self._banks = weights, {}
    if names not in self._banks:
      tokens = self.model.tokens(names)
      self._banks[names] = self._bank(weights, self.frozen, tokens)
    return self._banks[names]


def start(
    config: ml_collections.ConfigDict, model: Model, class_names: Sequence[str]
) -> Session:
  """Places the weights and prepares the functions; compiles nothing yet."""
  mesh = devices.make_mesh(config.mesh.data)
  trainable, rest = params.split(model.params, model.method.trainable)
  statistics, frozen = params.split(rest, model.method.statistics)
  frozen = params.in_dtype(frozen, jnp.dtype(config.compute.dtype))
  folder = None
  if config.train.bank_views:
    folder = cache_folder(config.cache_dir) / 'features'
  shardings = devices.frozen_shardings(
      mesh, frozen, config.mesh.shard_frozen
  )
  return Session(
      model=model,
      mesh=mesh,
      trainable=trainable,
      statistics=statistics,
      frozen=jax.device_put(frozen, shardings),
      shardings=shardings,
      class_names=list(class_names),
      bank_folder=folder,
  )
