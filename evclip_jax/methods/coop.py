"""CoOp on videos: frozen CLIP, mean over frames, trained words in the texts."""

import dataclasses

import jax
import numpy as np

from evclip_jax.methods import base, losses
from evclip_jax.methods.learned_words import LearnedWords
from evclip_jax.models.pixels import (
  CONSTANTS,
  fold_time,
  normalise,
  unfold_time,
)
from evclip_jax.weights.table import Converted, Rule, convert, to_original

# EV-CLIP's, which its repository trains CoOp with too.
RECIPE = {
    'batch_size': 64,
    'data.preprocess': 'ev_clip',
    'data.num_frames': 8,
    'data.window_frames': 32,
    'data.train_temporal': 'center',
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 4e-4,
    'optimizer.weight_decay': 0.05,
    'optimizer.schedule': 'delayed_cosine',
    'optimizer.warmup_epochs': 1,
    'optimizer.warmup_learning_rate': 2e-5,
    'train.epochs': 500,
    'train.eval_every_epochs': 5,
}
KIND, LABEL, PART, VERSION = 'coop', 'a CoOp checkpoint', 'method', 1
_CTX = 'ctx'
_OUTER = r'(text_)?prompt_learner\.'


@dataclasses.dataclass(frozen=True)
class Settings:
  """What can be chosen.

  Attributes:
    words: trained vectors in a text.
    words_place: where the name stands: 'end', 'middle' or 'front'.
    words_per_class: whether each class of training has vectors of its own; then
      other classes cannot be scored.
    pixels: colour constants, 'imagenet' (the original) or 'clip'.
  """

  words: int = 16
  words_place: str = 'end'
  words_per_class: bool = False
  pixels: str = 'imagenet'


def uses_encoder(settings: Settings) -> bool:
  """Returns False: there is no video trunk."""
  return False


def make(
    settings: Settings,
    backbones: base.Backbones,
    class_names: tuple[str, ...],
) -> base.Method:
  """Builds CoOp on a CLIP.

  Raises:
    UserError: a setting that cannot be.

  Source: EV-CLIP, trainers/coop.py and trainers/evoclip.py with EVO off.
  Differs: the class texts never come from a checkpoint; see `LearnedWords`.
  """
  base.check_choice('pixels', settings.pixels, tuple(CONSTANTS))
  own_classes = class_names if settings.words_per_class else ()
  words = LearnedWords(settings.words, settings.words_place, own_classes)
  words.check('words')
  clip = backbones.clip

  def video(params, pixels, rngs, train):
    images = clip.images(params['clip'], fold_time(pixels))
    frames = unfold_time(jax.lax.stop_gradient(images), pixels.shape[1])
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def text(params, tokens):
    own, frozen = params['method'][_CTX], params['clip']
    hooks = words.hooks(frozen['text'], own, tokens[0])
    return clip.text(frozen, tokens, hooks)

  def score(params, features, classes, batch):
    scale = clip.logit_scale(params['clip'])
    return base.cosine_score(scale, features.clip, classes)

  def loss(params, features, tokens, batch, rngs):
    logits = score(params, features, text(params, tokens), batch)
    value = losses.cross_entropy(logits, batch['label'], batch['mask'])
    return value, {'cross_entropy': value}

  return base.Method(
      init=lambda rng: {_CTX: words.init(rng, clip.sizes.text_width)},
      pixels=lambda frames, rng: normalise(
          frames, *CONSTANTS[settings.pixels]
      ),
      video=video,
      class_texts=words.class_texts,
      text=text,
      text_trains=True,
      texts_in_parts=not settings.words_per_class,
      score=score,
      loss=loss,
      loss_is_a_mean=True,
  )


RULES = (Rule(_OUTER + _CTX, _CTX),)
# Frozen networks, and buffers made of the class names of the file.
IGNORE = (
    _OUTER + r'token_(prefix|suffix)',
    r'(image|text)_encoder\..*',
    r'image_prompt_learner\..*',
    r'logit_scale',
)


def recognise(tensors) -> bool:
  """Returns whether there are trained words and no generators of EV-CLIP's."""
  names = [name.removeprefix('text_') for name in tensors]
  return 'prompt_learner.ctx' in names and not any(
      name.startswith(('image_prompt_learner.dec.', 'module.'))
      for name in names
  )


def from_original(tensors) -> Converted:
  """Converts a checkpoint of CoOp's own trainer or of EV-CLIP's."""
  (shape,) = (np.shape(x) for n, x in tensors.items() if n.endswith('.ctx'))
  return convert(tensors, RULES, IGNORE, {_CTX: shape}, None)


def to_checkpoint(flat, notes, clip):
  """Writes the words under the name of EV-CLIP's repository."""
  del notes
  base.refuse_clip(clip, 'CoOp')
  rules = (Rule(r'text_prompt_learner\.ctx', 'method/ctx'),)
  return to_original(flat, rules)
