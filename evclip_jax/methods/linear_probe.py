"""A linear classifier on CLIP's frame features; the networks stay frozen."""

import dataclasses

import jax

from evclip_jax.methods import base, losses
from evclip_jax.models.pixels import (
  CONSTANTS,
  fold_time,
  normalise,
  unfold_time,
)

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
  """What can be chosen.

  Attributes:
    pixels: colour constants, 'clip' (CLIP's own) or 'imagenet'.
  """

  pixels: str = 'clip'


def uses_encoder(settings: Settings) -> bool:
  """Returns False: there is no video trunk."""
  return False


def make(
    settings: Settings,
    backbones: base.Backbones,
    class_names: tuple[str, ...],
) -> base.Method:
  """Builds a linear probe: as many outputs as classes of training."""
  base.check_choice('pixels', settings.pixels, tuple(CONSTANTS))
  clip = backbones.clip
  head = base.LinearHead(clip.sizes.embed_dim, class_names)

  def video(params, pixels, rngs, train):
    images = clip.images(params['clip'], fold_time(pixels))
    frames = unfold_time(jax.lax.stop_gradient(images), pixels.shape[1])
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def score(params, features, classes, batch):
    return head(params['method']['head'], features.clip)

  def loss(params, features, classes, batch, rngs):
    logits = score(params, features, classes, batch)
    value = losses.cross_entropy(logits, batch['label'], batch['mask'])
    return value, {'cross_entropy': value}

  return base.Method(
      init=lambda rng: {'head': head.init(rng)},
      pixels=lambda frames, rng: normalise(
          frames, *CONSTANTS[settings.pixels]
      ),
      video=video,
      class_texts=head.class_texts,
      text=head.text,
      score=score,
      loss=loss,
      loss_is_a_mean=True,
  )
