"""From a config to a method with its pretrained weights.

The one file above the methods that loads concrete networks.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.config import experiment
from evclip_jax.methods import base, trained
from evclip_jax.models.clip import tokenizer as tokenizer_lib
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.training import state
from evclip_jax.weights import encoder_load
from evclip_jax.weights import load as clip_load


@dataclasses.dataclass(frozen=True)
class Model:
  """A method, its parameters on the host and its tokenizer.

  Attributes:
    method: the pure functions.
    settings: what they were made with, a `Settings` of the method's file.
    backbones: handles of the pretrained networks, with their sizes.
    params: {'clip', 'encoder', 'method'}, nested dicts of numpy float32.
    tokenizer: texts -> ids.
    hashes: network name -> hash of its frozen weights.
    sources: network name -> where the weights came from.
  """

  method: base.Method
  settings: Any
  backbones: base.Backbones
  params: dict[str, Any]
  tokenizer: tokenizer_lib.Tokenizer
  hashes: dict[str, str]
  sources: dict[str, str]

  def tokens(self, class_names: list[str]) -> np.ndarray:
    """Returns the class texts as ids [M, K, L] int32."""
    lists = self.method.class_texts(class_names)
    return np.stack([self.tokenizer.encode(texts) for texts in lists])


def build(
    config: ml_collections.ConfigDict, class_names: Sequence[str]
) -> Model:
  """Loads the networks a config names and makes its method.

  Args:
    config: a locked config.
    class_names: of training, in label order.

  Raises:
    UserError: weights that are missing, broken, or of another architecture.
  """
  module = base.load(config.method.name)
  settings = experiment.settings(config)
  dtype = jnp.dtype(config.compute.dtype)

  clip = clip_load.load_clip(
      config.clip.name, config.clip.weights, config.cache_dir
  )
  params = {'clip': clip.params}
  loaded = {'clip': clip}
  encoder = None
  if module.uses_encoder(settings):
    trunk = encoder_load.load_encoder(
        config.encoder.name, config.encoder.weights, config.cache_dir
    )
    params['encoder'] = trunk.params
    loaded['encoder'] = trunk
    encoder = VideoEncoder(trunk.sizes, dtype)
  if clip.sizes.image_resolution != config.data.crop_pixels:
    raise UserError(
        f'data.crop_pixels={config.data.crop_pixels}, but clip.name='
        f'{config.clip.name} sees {clip.sizes.image_resolution} pixels.'
    )
  backbones = base.Backbones(
      clip=Clip(clip.sizes, dtype, config.compute.remat),
      encoder=encoder,
      num_frames=config.data.num_frames,
      num_support=config.episodes.way * config.episodes.shot,
  )
  method = module.make(settings, backbones, tuple(class_names))
  own = method.init(state.init_rng(config.seed))
  if own:
    params['method'] = jax.tree.map(np.asarray, own)
  if config.method.weights:
    params = trained.load(
        config.method.weights,
        config.method.name,
        params,
        (*method.trainable, *method.statistics),
        method.fit,
    )
  return Model(
      method=method,
      settings=settings,
      backbones=backbones,
      params=params,
      tokenizer=clip_load.load_tokenizer(
          config.clip.vocab, config.cache_dir, clip.source, clip.sizes
      ),
      hashes={name: x.hash for name, x in loaded.items()},
      sources={name: x.source for name, x in loaded.items()},
  )
