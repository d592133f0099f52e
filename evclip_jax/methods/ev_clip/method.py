"""EV-CLIP: a mask over the pixels and a context token, made from the clip.

From the clip's features in a frozen video trunk, one small network makes a soft
mask (the mask prompt), which greys unimportant pixels of every frame before
CLIP sees it; another makes a token (the context prompt) that joins CLIP's frame
features.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from data_pipelines.views.view import squares
from evclip_jax.methods import base, batch_moments, heads, losses
from evclip_jax.methods.class_texts import ClassTexts
from evclip_jax.methods.ev_clip.generators import (
  ACTIVATIONS,
  GRID,
  SIDE,
  ContextGenerator,
  MaskGenerator,
  check_features,
  to_grid,
)
from evclip_jax.methods.learned_words import LearnedWords, WordSettings

# The original's `ucf101_video_vifi/omniS_vit_b16`, and the changes in its
# configs for other backbones (`omniS_vit_l14`, `omniS_vit_b16_16f`).
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
    'variants': (
        {
            'when': {'data.num_frames': 16},
            'set': {
                'batch_size': 32,
                'optimizer.learning_rate': 2e-4,
                'optimizer.warmup_learning_rate': 1e-5,
            },
        },
        # Also with 16 frames, for which the original has no config.
        {
            'when': {'clip.name': 'ViT-L/14'},
            'set': {
                'batch_size': 16,
                'optimizer.learning_rate': 1e-4,
                'optimizer.warmup_learning_rate': 5e-6,
            },
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings(WordSettings):
  """Holds EV-CLIP's settings.

  Attributes:
    prompt: which visual prompts are used: 'both', 'mask' or 'context'.
    text_prompt: 'templates', or 'coop': trained words in the class texts, with
      the settings words, words_place, words_per_class, words_init.
    templates: class texts; '{}' stands for the class name.
    consistency_weight: lambda, the weight of the loss that makes the masked
      frames of a clip look alike; 0 leaves it out.
    encoder_drop_path: whether the frozen trunk has stochastic depth in
      training, an augmentation of its features that the original never turned
      off. No effect on trunks that have none.
    activation: in the projections, 'gelu' or 'relu'.
    bias: whether the projections have biases.
    pixels: colour constants, 'imagenet' (the original, for CLIP too) or 'clip'.
    clip_batch_norm: for a CLIP ResNet: 'frozen', or 'batch' (the original):
      training uses the batch's statistics and updates the running ones.
  """

  prompt: str = 'both'
  text_prompt: str = 'templates'
  templates: tuple[str, ...] = ('A video of {}.',)
  consistency_weight: float = 0.0
  encoder_drop_path: bool = True
  activation: str = 'gelu'
  bias: bool = False
  pixels: str = 'imagenet'
  clip_batch_norm: str = 'frozen'


class Features(base.VideoFeatures):
  """Adds the context token to `VideoFeatures`.

  Attributes:
    context: [B, 1, E], averaged with the frames' features, or None.
  """

  context: jax.Array | None = None


def uses_encoder(settings: Settings) -> bool:
  """Returns True: masks and tokens are made from the trunk's features."""
  return True


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds EV-CLIP on a CLIP and a video trunk.

  Raises:
    UserError: a setting or a trunk that does not fit.

  Source: EV-CLIP, trainers/evoclip.py, CustomCLIP, and
    trainers/prompt_generator.py, EVoPrompt; trainers/coop.py for text_prompt.
  Differs: the class embeddings are computed once; evaluation returns logits
    whatever the loss; CLIP ResNets keep their BatchNorm statistics unless
    clip_batch_norm='batch'. With a trunk other than the original's, features
    are area means on 7 x 7 cells with the trunk's number of time steps, from
    frames (the part that CLIP sees) of the trunk's size and range, without
    stochastic depth if it has none; there are no published numbers, and masks
    of the original's checkpoints do not fit. With train.bank_views the trunk
    drops paths once per view, not in every step.
  """
  _check(settings, backbones)
  clip, encoder = backbones.clip, backbones.encoder
  side = clip.sizes.image_resolution
  shared = settings.activation, settings.bias, clip.dtype
  generators = {
      'mask': MaskGenerator(*shared),
      'context': ContextGenerator(clip.sizes.embed_dim, *shared),
  }
  if settings.prompt != 'both':
    generators = {settings.prompt: generators[settings.prompt]}
  time_steps = 1
  if 'mask' in generators:
    time_steps = encoder.steps(backbones.num_frames)
  drifts = settings.clip_batch_norm == 'batch'
  words = None
  if settings.text_prompt == 'coop':
    words = LearnedWords(settings, class_names)

  def init(rng):
    # The shapes of parameters depend on these sizes only.
    z = jnp.zeros((1, time_steps, GRID, GRID, encoder.sizes.channels))
    # A program for each, which the compilation cache shares with other runs.
    own = {
        name: jax.jit(module.init)(jax.random.fold_in(rng, i), z)['params']
        for i, (name, module) in enumerate(generators.items())
    }
    if words:
      key = jax.random.fold_in(rng, len(generators))
      own['words'] = words.init(key, clip.sizes.text_width)
    return own

  def generate(params, name, z):
    return generators[name].apply({'params': params['method'][name]}, z)

  def look(params, pixels, rngs, train):
    drop = train and settings.encoder_drop_path and rngs is not None
    drop = drop and encoder.drops_paths
    z = base.trunk_features(
        encoder,
        params['encoder'],
        squares(pixels, side)[1],
        settings.pixels,
        rngs['drop_path'] if drop else None,
    )
    return to_grid(z)

  def frozen(params, pixels, rngs, train):
    z = look(params, pixels, rngs, train)
    return {
        'trunk': z.mean((1, 2, 3), keepdims=True),  # only this mean is used
        'frames': encode_frames(params, pixels, False)[0],
    }

  def video(params, pixels, rngs, train):
    if isinstance(pixels, dict):
      context = generate(params, 'context', pixels['trunk'])
      return together(pixels['frames'], context)
    z = look(params, pixels, rngs, train)
    maps = {}
    if 'mask' in generators:
      pixels = squares(pixels, side)[0]
      if pixels.shape[2:4] != (SIDE, SIDE):
        raise UserError(
            f'data.crop_pixels: the mask generator makes masks of {SIDE} '
            f'pixels, but the clips have {pixels.shape[2]}x{pixels.shape[3]}.'
        )
      maps['mask'] = mask = generate(params, 'mask', z)  # [B, H, W]
      # On normalised pixels: masked pixels turn into the mean colour.
      pixels = pixels * mask[:, None, :, :, None]
    frames, statistics = encode_frames(params, pixels, train)
    if 'context' not in generators:
      return Features(frames.mean(axis=1), frames, maps, statistics)
    context = generate(params, 'context', z)
    return together(frames, context, maps, statistics)

  def together(frames, context, *more):
    tokens = jnp.concatenate([context, frames], axis=1)  # [B, 1 + T, E]
    return Features(tokens.mean(axis=1), frames, *more, context=context)

  def encode_frames(params, pixels, train):
    if not (train and drifts):
      return base.encode_frames(clip, params, pixels), {}
    (frames,), statistics = batch_moments.encode(clip, params, [pixels])
    return frames, statistics

  def loss(*given):
    _, features, _, batch, _ = given
    total, parts = plain.loss(*given)
    parts['consistency'] = losses.consistency(features.frames, batch['mask'])
    if settings.consistency_weight:
      total += settings.consistency_weight * parts['consistency']
    return total, parts

  def fit(own):
    if ('words' in own) != (words is not None):
      kind = 'coop' if 'words' in own else 'templates'
      raise UserError(
          f'method.weights {"has" if "words" in own else "lacks"} trained '
          f'words for class texts: set method.settings.text_prompt={kind}.'
      )
    return own

  plain = heads.by_texts(
      clip,
      words or ClassTexts(settings),
      functools.partial(words.encode, clip) if words else None,
      init=init,
      pixels=base.plain_pixels(settings),
      video=video,
      start=words.start if words else None,
      fit=fit,
      texts_in_parts=not settings.words_per_class,
      statistics=batch_moments.STATISTICS if drifts else (),
      differs=encoder.differs,
      frozen=None if drifts or 'mask' in generators else frozen,
  )
  return dataclasses.replace(plain, loss=loss, loss_is_a_mean=False)


def _check(settings: Settings, backbones: base.Backbones):
  base.check_choices(
      settings,
      prompt=('both', 'mask', 'context'),
      text_prompt=('templates', 'coop'),
      activation=ACTIVATIONS,
      clip_batch_norm=('frozen', 'batch'),
  )
  unused = ['words', 'words_place', 'words_per_class', 'words_init']
  if settings.text_prompt == 'coop':
    unused = ['templates']
  for key in unused:
    if getattr(settings, key) != getattr(Settings, key):
      raise UserError(
          f'method.settings.{key} has no effect with text_prompt='
          f'{settings.text_prompt}: leave it out, or change text_prompt.'
      )
  vision = backbones.clip.sizes.vision
  if settings.clip_batch_norm == 'batch' and vision == 'vit':
    raise UserError(
        'method.settings.clip_batch_norm=batch: the ViT of clip.name has no '
        'batch norms. Use frozen.'
    )
  if settings.prompt != 'context':
    check_features(backbones.encoder.sizes.channels)
