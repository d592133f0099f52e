"""IVLP: trained visual and text prompts in the first blocks of CLIP."""

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, heads, mixing, vifi_clip
from evclip_jax.methods.learned_words import STD, LearnedWords
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.weights.table import Rule

# The original's few-shot training, which starts from a ViFi-CLIP trained on
# Kinetics-400 (clip.weights).
RECIPE = vifi_clip.RECIPE | {'optimizer.learning_rate': 8e-3}
_BLOCK = r'transformer\.resblocks\.([1-9]\d*)\.VPT_shallow'
CHECKPOINT = Checkpoint(
    'ivlp',
    'an IVLP checkpoint',
    sign=r'prompt_learner\.ctx|.*\.VPT(_shallow)?',
    rules=(
        Rule(r'prompt_learner\.ctx', 'method/words'),
        Rule(r'image_encoder\.VPT', 'method/image/prompts.0'),
        Rule(r'image_encoder\.' + _BLOCK, r'method/image/prompts.\1'),
        Rule(r'text_encoder\.' + _BLOCK, r'method/text/prompts.\1'),
    ),
    # Buffers made from the file's class names.
    ignore=(r'prompt_learner\.token_(prefix|suffix)',),
    clip=vifi_clip.CLIP_PART,
    needs=('method/words',),
    outer='module.',
)


@dataclasses.dataclass(frozen=True)
class Settings(mixing.MixingSettings):
  """Holds IVLP's settings.

  Attributes:
    vision_prompts: trained tokens (visual prompts) per frame in the image
      tower.
    vision_depth: how many blocks of the image tower have their own visual
      prompts; 0 = none.
    words: trained vectors (text prompts) in a text.
    text_depth: how many blocks of the text tower have their own text prompts,
      at least 1.
  """

  vision_prompts: int = 10
  vision_depth: int = 12
  words: int = 10
  text_depth: int = 12


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds IVLP on a CLIP with a vision transformer.

  Depths beyond that of a tower are cut to it.

  Raises:
    UserError: a setting or a network that does not fit.

  Source: ViFi-CLIP, clip/model.py, ResidualAttentionBlock_IVLP, and
    trainers/vificlip.py, VLPromptLearner.
  Differs: prompts are not rounded to half precision, and text prompts are not
    initialised with words; see vifi_clip for the recipe.
  """
  clip = backbones.clip
  base.check_vit(clip, 'ivlp')
  if min(settings.vision_depth, settings.text_depth - 1) < 0:
    raise UserError(
        f'method.settings.vision_depth={settings.vision_depth}, text_depth='
        f'{settings.text_depth}: use 0 or more, and 1 or more.'
    )
  if settings.vision_depth and settings.vision_prompts < 1:
    raise UserError(
        f'method.settings.vision_prompts={settings.vision_prompts}: use 1 or '
        'more, or vision_depth=0 for none.'
    )
  words = LearnedWords(settings, class_names)
  image_depth = min(settings.vision_depth, clip.sizes.vision_layers)
  text_depth = min(settings.text_depth, clip.sizes.text_layers)

  def init(rng):
    keys = jax.random.split(rng, 3)
    first = words.init(keys[0], clip.sizes.text_width)

    def draw(key, depths, shape):
      return {
          f'prompts.{layer}': STD
          * jax.random.normal(jax.random.fold_in(key, layer), shape)
          for layer in depths
      }

    shape = (settings.vision_prompts, clip.sizes.vision_width)
    own = {'words': first}
    own['image'] = draw(keys[1], range(image_depth), shape)
    own['text'] = draw(keys[2], range(1, text_depth), first.shape)
    return {name: branch for name, branch in own.items() if len(branch)}

  def video(params, pixels, rngs, train):
    prompts = params['method'].get('image', {})
    hooks = _image_hooks(prompts) if prompts else None
    frames = base.encode_frames(clip, params, pixels, hooks)
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def text(params, tokens):
    deeper = params['method'].get('text', {})

    def before_attn(layer, x, attend):
      prompts = deeper.get(f'prompts.{layer}')
      return x if prompts is None else _replace(x, prompts, 1)

    return words.encode(clip, params, tokens, before_attn=before_attn)

  pixels, targets = mixing.augmentation(settings, clip.sizes.image_resolution)
  return heads.by_texts(
      clip, words, text, init=init, pixels=pixels, targets=targets, video=video
  )


def _image_hooks(prompts: base.Params) -> Hooks:
  """Builds hooks that append visual prompts and replace them in deep blocks."""
  first = prompts['prompts.0']

  def embed(x):
    added = jnp.broadcast_to(first, (x.shape[0], *first.shape)).astype(x.dtype)
    return jnp.concatenate([x, added], axis=1)

  def before_attn(layer, x, attend):
    own = prompts.get(f'prompts.{layer}') if layer else None
    return x if own is None else _replace(x, own, x.shape[1] - len(own))

  return Hooks(embed=embed, before_attn=before_attn)


def _replace(x: jax.Array, rows: jax.Array, start: int) -> jax.Array:
  """Writes rows [n, D] into all sequences [B, N, D] from a position on."""
  return x.at[:, start : start + len(rows)].set(rows.astype(x.dtype))
