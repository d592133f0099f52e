"""ViFi-CLIP: all of CLIP fine-tuned on videos, with the mean over frames."""

import dataclasses

from evclip_jax.methods import base, heads, mixing
from evclip_jax.methods.class_texts import ClassTexts
from evclip_jax.methods.original_checkpoint import Checkpoint, ClipPart

# The original's few-shot training on HMDB51, UCF101 and SSv2.
RECIPE = {
    'batch_size': 64,
    'data.preprocess': 'ez_clip',
    'data.num_frames': 32,
    'data.train_temporal': 'random',
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 2e-6,
    'optimizer.weight_decay': 1e-3,
    'optimizer.b2': 0.98,
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 5,
    'train.epochs': 50,
}
# The token embedding is not in these checkpoints: it is CLIP's own.
CLIP_PART = ClipPart(
    'image_encoder.', 'text_encoder.', without=('text/token_embedding',)
)
CHECKPOINT = Checkpoint(
    'vifi-clip',
    'a ViFi-CLIP checkpoint',
    sign=r'(image|text)_encoder\..*',
    unless=r'.*\.(ctx|token_prefix|VPT(_shallow)?)|.*dec\..*',
    ignore=(r'prompt_learner\.complete_text_embeddings',),
    clip=CLIP_PART,
    outer='module.',
)
_TEXT = r'clip/text/(?!token_embedding).*'
_TRAINABLE = {
    'both': ('clip/visual/.*', _TEXT, 'clip/logit_scale'),
    'image': ('clip/visual/.*',),
    'text': (_TEXT,),
}


@dataclasses.dataclass(frozen=True)
class Settings(mixing.MixingSettings):
  """Holds ViFi-CLIP's settings.

  Attributes:
    train: what is fine-tuned: 'both' towers and the logit scale, 'image' or
      'text'; never the token embedding.
    template: class texts; '{}' stands for the class name.
  """

  train: str = 'both'
  template: str = 'a photo of a {}.'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds ViFi-CLIP on a CLIP with a vision transformer.

  Raises:
    UserError: a setting or a network that does not fit.

  Source: ViFi-CLIP, trainers/vificlip.py, ViFiCLIP without visual
    and text prompts.
  Differs: weights are not rounded to half precision; the learning rate's cosine
    begins after the warm-up and ends at 0; frames and crops are EZ-CLIP's,
    which are similar.
  """
  base.check_choices(settings, train=_TRAINABLE)
  clip = backbones.clip
  base.check_vit(clip, 'vifi_clip')

  def video(params, pixels, rngs, train):
    frames = base.encode_frames(clip, params, pixels)
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def text(params, tokens):
    return clip.text(params['clip'], tokens)

  pixels, targets = mixing.augmentation(settings, clip.sizes.image_resolution)
  return heads.by_texts(
      clip,
      ClassTexts(settings),
      text if settings.train != 'image' else None,
      init=lambda rng: {},
      pixels=pixels,
      targets=targets,
      video=video,
      trainable=_TRAINABLE[settings.train],
  )
