"""An attention pooler and a linear head on a frozen video trunk; no CLIP."""

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, heads
from evclip_jax.models.videoprism.layers import AttentionPooler

RECIPE = {
    'encoder.name': 'videoprism_base',
    'encoder.weights': '',
    'batch_size': 16,
    'data.preprocess': 'ev_clip',
    'data.num_frames': 16,
    'data.resize_height': 288,
    'data.resize_width': 384,
    'data.crop_pixels': 288,
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 1e-3,
    'optimizer.weight_decay': 0.05,
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 1,
    'train.epochs': 50,
    'variants': (
        {
            'when': {'encoder.name': 'videoprism_large'},
            'set': {'data.num_frames': 8},
        },
    ),
}
_CONSTANTS = 'imagenet'


@dataclasses.dataclass(frozen=True)
class Settings:
  """Holds the method's settings.

  Attributes:
    pooler: 'attention' (one learned query over all tokens of a clip) or 'mean',
      a linear probe.
    heads: number of attention heads; 0 = one per 64 channels.
    dropout: rate on the pooled features in training.
  """

  pooler: str = 'attention'
  heads: int = 0
  dropout: float = 0.0


def uses_clip(settings: Settings) -> bool:
  """Returns False: class names are not read."""
  return False


def uses_encoder(settings: Settings) -> bool:
  """Returns True: the head sees the trunk's features."""
  return True


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds a head with one output per training class.

  Raises:
    UserError: a setting that is invalid or does not fit the trunk.

  Source: VideoPrism, its classifier with `atten_pooler`.
  Differs: any trunk, 'mean' and dropout are additions.
  """
  base.check_choices(settings, pooler=('attention', 'mean'))
  trunk = backbones.encoder
  width = trunk.sizes.channels
  number = settings.heads or max(width // 64, 1)
  if number < 1 or width % number:
    raise UserError(
        f'method.settings.heads={settings.heads}: wanted a number that divides '
        f'the {width} channels of encoder.name.'
    )
  head = heads.LinearHead(width, class_names)
  pooler = AttentionPooler(number, width, trunk.dtype)

  def init(rng):
    own = {'head': head.init(jax.random.fold_in(rng, 0))}
    if settings.pooler == 'attention':
      tokens = jnp.zeros((1, 1, width))
      key = jax.random.fold_in(rng, 1)
      own['pooler'] = jax.jit(pooler.init)(key, tokens)['params']
    return own

  def frozen(params, pixels, rngs, train):
    z = base.trunk_features(trunk, params['encoder'], pixels, _CONSTANTS)
    if settings.pooler == 'mean':
      z = z.mean((2, 3), keepdims=True)
    return {'tokens': z}

  def video(params, pixels, rngs, train):
    if not isinstance(pixels, dict):
      pixels = frozen(params, pixels, rngs, train)
    z = pixels['tokens']
    frames = z.mean((2, 3))
    if settings.pooler == 'mean':
      return base.VideoFeatures(frames.mean(1), frames)
    own = {'params': params['method']['pooler']}
    pooled = pooler.apply(own, z.reshape(z.shape[0], -1, width))
    return base.VideoFeatures(pooled, frames)

  return heads.headed(
      head,
      settings,
      None,
      init=init,
      pixels=base.pixels_of(_CONSTANTS),
      video=video,
      frozen=frozen,
      dead=('method/pooler/key/bias',),
  )
