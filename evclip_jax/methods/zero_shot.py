"""Plain CLIP on videos: the mean of the frame embeddings, nothing trained."""

import dataclasses

from evclip_jax.methods import base, heads
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """What can be chosen.

  Attributes:
    templates: class texts; '{}' stands for the class name. With several, the
      class embeddings are averaged.
    pixels: colour constants, 'clip' (CLIP's own) or 'imagenet' (those EV-CLIP
      feeds to CLIP, so that both see the same pixels).
  """

  templates: tuple[str, ...] = ('A video of {}.',)
  pixels: str = 'imagenet'


def trains(settings: Settings) -> bool:
  """Returns False: the networks stay as they are."""
  return False


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds zero-shot CLIP with mean pooling over frames.

  Source: EV-CLIP, the baseline meant by trainers/zsclip.py,
    MeanPoolZeroshotCLIP.
  Differs: a plain mean of the frame embeddings; the original weighs later
    frames more in spite of its name.
  """
  return heads.by_texts(
      backbones.clip,
      ClassTexts(settings),
      init=lambda rng: {},
      pixels=base.plain_pixels(settings),
      **base.frozen_frames(backbones.clip),
      trainable=(),
  )
