"""Plain CLIP on videos: the mean of the frame embeddings, nothing trained."""

import dataclasses

from evclip_jax.methods import base, heads
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds the method's settings.

  Attributes:
    templates: class texts; '{}' stands for the class name. With several, the
      class embeddings are averaged.
    pixels: colour constants, 'clip' (CLIP's own) or 'imagenet' (as in EV-CLIP,
      so that both see the same pixels).
  """

  templates: tuple[str, ...] = ('A video of {}.',)
  pixels: str = 'imagenet'


def trains(settings: Settings) -> bool:
  """Returns False: nothing is trained."""
  return False


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds zero-shot CLIP with mean pooling over frames.

  Source: EV-CLIP, trainers/zsclip.py, MeanPoolZeroshotCLIP.
  Differs: a plain mean of the frame embeddings; the original, in spite of its
    name, gives later frames more weight.
  """
  return heads.by_texts(
      backbones.clip,
      ClassTexts(settings),
      init=lambda rng: {},
      pixels=base.plain_pixels(settings),
      **base.frozen_frames(backbones.clip),
      trainable=(),
  )
