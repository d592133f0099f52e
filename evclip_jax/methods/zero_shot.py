"""Plain CLIP on videos: the mean of the frame embeddings, nothing trained."""

import dataclasses

from evclip_jax.methods import base, losses
from evclip_jax.models.pixels import (
  CONSTANTS,
  fold_time,
  normalise,
  unfold_time,
)


@dataclasses.dataclass(frozen=True)
class Settings:
  """What can be chosen.

  Attributes:
    templates: class texts; '{}' stands for the class name. With several, the
      class embeddings are averaged.
    pixels: colour constants, 'clip' (CLIP's own) or 'imagenet' (those EV-CLIP
      feeds to CLIP, so that both see the same pixels).
  """

  templates: tuple[str, ...] = ('A video of {}.',)
  pixels: str = 'imagenet'


def uses_encoder(settings: Settings) -> bool:
  """Returns False: there is no video trunk."""
  return False


def trains(settings: Settings) -> bool:
  """Returns False: the networks stay as they are."""
  return False


def make(
    settings: Settings,
    backbones: base.Backbones,
    class_names: tuple[str, ...],
) -> base.Method:
  """Builds zero-shot CLIP with mean pooling over frames.

  Source: EV-CLIP, the baseline meant by trainers/zsclip.py,
    MeanPoolZeroshotCLIP.
  Differs: a plain mean of the frame embeddings; the original weighs later
    frames more in spite of its name.
  """
  base.check_choice('pixels', settings.pixels, tuple(CONSTANTS))
  clip = backbones.clip

  def video(params, pixels, rngs, train):
    frames = unfold_time(
        clip.images(params['clip'], fold_time(pixels)), pixels.shape[1]
    )
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def score(params, features, classes, batch):
    scale = clip.logit_scale(params['clip'])
    return base.cosine_score(scale, features.clip, classes)

  def loss(params, features, classes, batch, rngs):
    logits = score(params, features, classes, batch)
    value = losses.cross_entropy(logits, batch['label'], batch['mask'])
    return value, {'cross_entropy': value}

  return base.Method(
      init=lambda rng: {},
      pixels=lambda frames, rng: normalise(
          frames, *CONSTANTS[settings.pixels]
      ),
      video=video,
      class_texts=lambda names: base.fill_templates(settings.templates, names),
      text=lambda params, tokens: clip.text(params['clip'], tokens),
      score=score,
      loss=loss,
      trainable=(),
  )
