"""A linear classifier on CLIP's frame features; the networks stay frozen."""

import dataclasses

from evclip_jax.methods import base, heads

RECIPE = {
    'batch_size': 64,
    'data.preprocess': 'ev_clip',
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 1e-3,
    'optimizer.weight_decay': 0.0,
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 1,
    'train.epochs': 50,
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """Holds the method's settings.

  Attributes:
    dropout: rate on the features in training.
    pixels: colour constants, 'clip' (CLIP's own) or 'imagenet'.
  """

  dropout: float = 0.0
  pixels: str = 'clip'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds a linear probe with one output per training class."""
  clip = backbones.clip
  head = heads.LinearHead(clip.sizes.embed_dim, class_names)
  return heads.headed(
      head,
      settings,
      clip,
      init=lambda rng: {'head': head.init(rng)},
      pixels=base.plain_pixels(settings),
      **base.frozen_frames(clip),
  )
