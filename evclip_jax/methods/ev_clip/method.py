"""EV-CLIP: a mask over the pixels and a context token, both made by the clip.

A frozen video trunk looks at the whole clip. From its features one small
network makes a soft mask (the mask prompt), which dims what does not matter in
every frame before CLIP sees it; another makes a token (the context prompt) that
joins CLIP's frame features.
"""

import dataclasses

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

# `ucf101_video_vifi/omniS_vit_b16` of the original, and what its rows for other
# backbones (`omniS_vit_l14`, `omniS_vit_b16_16f`) change.
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
        # Also with 16 frames, for which the original has no row.
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
  """What can be chosen.

  Attributes:
    prompt: which prompts the clip makes: 'both', 'mask' or 'context'.
    text_prompt: 'templates', or 'coop': trained words in the class texts, which
      the settings words, words_place, words_per_class, words_init are of.
    templates: class texts; '{}' stands for the class name.
    consistency_weight: lambda, how much the frames of a clip should look alike
      behind the mask; 0 leaves the term out.
    encoder_drop_path: stochastic depth of the frozen trunk while training, an
      augmentation of its features; the original never turned it off. Nothing
      with a trunk that has none.
    activation: inside the projections, 'gelu' or 'relu'.
    bias: whether the projections have biases.
    pixels: colour constants, 'imagenet' (the original, for CLIP too) or 'clip'.
    clip_batch_norm: of a CLIP ResNet: 'frozen', or 'batch' for training with
      the statistics of the batch, which its running ones follow (the original).
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
  """`VideoFeatures` and what is particular to this method.

  Attributes:
    context: [B, 1, E], the token that joins the frames' in the mean, or None.
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
    clip_batch_norm says otherwise. On another trunk than the original's: the
    area means of its features on 7 x 7 cells, its own number of time steps,
    frames of its own size and range (of the part of the frame that CLIP sees),
    no stochastic depth where it has none; no published numbers, and checkpoints
    of the original's masks do not fit. With train.bank_views the trunk drops
    paths once per view, not in every step.
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
    # The shapes of parameters depend on no more of the features than this.
    z = jnp.zeros((1, time_steps, GRID, GRID, encoder.sizes.channels))
    # One program for each, which another run with it finds compiled.
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
        'trunk': z.mean((1, 2, 3), keepdims=True),  # all that is read of it
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
      # On normalised pixels: what is masked turns into the mean colour.
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

  def text(params, tokens):
    return words.encode(clip, params, tokens)

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
          f'words of class texts: set method.settings.text_prompt={kind}.'
      )
    return own

  plain = heads.by_texts(
      clip,
      words or ClassTexts(settings),
      text if words else None,
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
          f'{settings.text_prompt}: leave it out, or set text_prompt.'
      )
  is_vit = backbones.clip.sizes.vision == 'vit'
  if settings.clip_batch_norm == 'batch' and is_vit:
    raise UserError(
        'method.settings.clip_batch_norm=batch: the ViT of clip.name has no '
        'batch norms. Use frozen.'
    )
  if settings.prompt != 'context':
    check_features(backbones.encoder.sizes.channels)
