"""CoOp on videos: a frozen CLIP, mean over frames, trained words in texts."""

import dataclasses
import functools

from evclip_jax.methods import base, heads
from evclip_jax.methods.ev_clip import method as ev_clip
from evclip_jax.methods.learned_words import LearnedWords, WordSettings
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.weights.table import Rule

# EV-CLIP's recipe, with which its repository trains CoOp too.
RECIPE = {
    key: value
    for key, value in ev_clip.RECIPE.items()
    if key not in ('variants', 'train.eval_every_epochs')
}
CHECKPOINT = Checkpoint(
    'coop',
    'a CoOp checkpoint',
    sign='ctx|token_prefix',
    unless=r'image_prompt_learner\.dec\..*',
    # In EV-CLIP's repository; CoOp's own trainer has no prefix.
    outer='text_prompt_learner.',
    rules=(Rule('ctx', 'method/words'),),
    needs=('method/words',),
    # Frozen networks, and buffers made from the file's class names.
    ignore=(
        'token_(prefix|suffix)',
        r'(image|text)_encoder\..*',
        r'image_prompt_learner\..*',
        r'logit_scale',
    ),
)


@dataclasses.dataclass(frozen=True)
class Settings(WordSettings):
  """Holds CoOp's settings.

  Attributes:
    pixels: colour constants, 'imagenet' (the original) or 'clip'.
  """

  pixels: str = 'imagenet'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds CoOp on a CLIP.

  Raises:
    UserError: an invalid setting.

  Source: EV-CLIP, trainers/coop.py and trainers/evoclip.py with EVO off.
  Differs: see `LearnedWords`.
  """
  clip = backbones.clip
  words = LearnedWords(settings, class_names)
  return heads.by_texts(
      clip,
      words,
      functools.partial(words.encode, clip),
      init=lambda rng: {'words': words.init(rng, clip.sizes.text_width)},
      pixels=base.plain_pixels(settings),
      **base.frozen_frames(clip),
      start=words.start,
      texts_in_parts=not settings.words_per_class,
  )
