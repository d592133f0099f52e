"""Mixes clips and makes soft targets: CutMix, Mixup, label smoothing."""

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base
from evclip_jax.methods.class_texts import DescriptionSettings
from evclip_jax.models.pixels import (
  CONSTANTS,
  JITTERS,
  normalise,
  random_colours,
)


@dataclasses.dataclass(frozen=True)
class MixingSettings(DescriptionSettings):
  """Holds the settings of ViFi-CLIP's augmentation.

  Attributes:
    mixing: whether CutMix or Mixup mixes training clips.
    smoothing: label smoothing, the share of the target spread over all classes.
    jitter: colour jitter of training clips, drawn for each 'frame' (the
      original) or 'clip'; or 'none'.
    pixels: colour constants, 'imagenet' (the original) or 'clip'.
  """

  mixing: bool = True
  smoothing: float = 0.1
  jitter: str = 'frame'
  pixels: str = 'imagenet'


def augmentation(settings: MixingSettings, side: int):
  """Builds `Method.pixels` and `Method.targets` of ViFi-CLIP's recipe.

  Args:
    settings: the method's settings.
    side: of the clips, in pixels.

  Raises:
    UserError: invalid settings.
  """
  base.check_choices(settings, pixels=CONSTANTS, jitter=JITTERS)
  if not 0 <= settings.smoothing < 1:
    raise UserError(
        f'method.settings.smoothing={settings.smoothing}: use 0 or more, '
        'below 1.'
    )

  def pixels(frames, rng):
    if rng is None:
      return normalise(frames, *CONSTANTS[settings.pixels])
    colours, mixed = jax.random.split(rng)
    frames = random_colours(frames, colours, settings.jitter)
    frames = normalise(frames, *CONSTANTS[settings.pixels])
    return mix(frames, mixed) if settings.mixing else frames

  def targets(labels, num_classes, rng):
    mixed = jax.random.split(rng)[1] if settings.mixing else None
    return soft_targets(labels, num_classes, mixed, settings.smoothing, side)

  plain = not settings.mixing and not settings.smoothing
  return pixels, None if plain else targets


def mix(clips: jax.Array, rng: jax.Array) -> jax.Array:
  """Mixes every clip with another one of the batch, by CutMix or by Mixup.

  A fair coin chooses between them for the whole batch. CutMix pastes the same
  box of the partner into all frames; Mixup blends whole clips.

  Args:
    clips: [B, T, H, W, 3].
    rng: the key; `soft_targets` needs the same one.

  Source: ViFi-CLIP, datasets/blending.py, CutmixMixupBlending.
  Differs: partners come from the global batch.
  """
  order, share, cut, box = _draw(rng, len(clips), clips.shape[2:4])
  partners = clips[order]
  blended = share * clips + (1 - share) * partners
  pasted = jnp.where(box[:, :, None], partners, clips)
  return jnp.where(cut, pasted, blended)


def soft_targets(
    labels: jax.Array,
    num_classes: int,
    rng: jax.Array | None,
    smoothing: float,
    pixels: int,
) -> jax.Array:
  """Returns the targets of clips that `mix` has mixed, float32 [B, K].

  Args:
    labels: int [B].
    num_classes: K.
    rng: the key that `mix` got; None = nothing was mixed.
    smoothing: s; the right class gets 1 - s + s / K, all others s / K.
    pixels: height and width of the clips.
  """
  hot = jax.nn.one_hot(labels, num_classes)
  hot = (1 - smoothing) * hot + smoothing / num_classes
  if rng is None:
    return hot
  order, share, cut, box = _draw(rng, len(labels), (pixels, pixels))
  kept = jnp.where(cut, 1 - box.mean(), share)
  return kept * hot + (1 - kept) * hot[order]


def _draw(rng: jax.Array, rows: int, size: tuple[int, int]):
  """Returns (partners, Mixup's share, whether to cut, CutMix's box [H, W])."""
  keys = jax.random.split(rng, 5)
  order = jax.random.permutation(keys[0], rows)
  share = jax.random.beta(keys[1], 0.8, 0.8)
  cut = jax.random.bernoulli(keys[2])
  # CutMix's share is Beta(1, 1), uniform; the box has the rest of the pixels.
  side = jnp.sqrt(1 - jax.random.uniform(keys[3]))
  inside = []
  for key, length in zip(jax.random.split(keys[4]), size, strict=True):
    half = jnp.floor(length * side).astype(jnp.int32) // 2
    centre = jax.random.randint(key, (), 0, length)
    place = jnp.arange(length)
    inside.append((place >= centre - half) & (place < centre + half))
  return order, share, cut, inside[0][:, None] & inside[1][None]
