"""EZ-CLIP (later called T2L): temporal prompts and adapters in a frozen CLIP.

In every block of the image tower each frame gets an additional token: a trained
vector plus the mean of the frame's tokens, after attention over the frames with
the block's own weights. Adapters follow the attention of every block of both
towers, so class embeddings depend on trained weights.
"""

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, heads, losses
from evclip_jax.methods.adapters import DROP_UNITS
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings
from evclip_jax.methods.ez_clip.towers import (
  PROMPTED,
  TEMPORAL,
  AdaptedTowers,
  resize_prompts,
)
from evclip_jax.models.pixels import (
  CONSTANTS,
  JITTERS,
  normalise,
  random_colours,
  unfold_time,
)

_TEMPLATES = (
    'a photo of action {}',
    'a picture of action {}',
    'Human action of {}',
    '{}, an action',
    '{} this is an action',
    '{}, a video of action',
    'Playing action of {}',
    '{}',
    'Playing a kind of action, {}',
    'Doing a kind of action, {}',
    'Look, the human is {}',
    'Can you recognize the action of {}?',
    'Video classification of {}',
    'A video of {}',
    'The man is {}',
    'The woman is {}',
)
# Config values that the original's recipes share.
RECIPE = {
    'data.preprocess': 'ez_clip',
    'optimizer.learning_rate': 1e-4,
    'optimizer.weight_decay': 0.2,
    'optimizer.b2': 0.98,
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 5,
    'train.epochs': 100,
}
SCORING = ('average', 'score_scale')
_RATES = ('drop_path', 'attention_dropout', 'prompt_dropout')
# Keeps the random keys of templates apart from those of the towers.
_TEMPLATE_STREAM = 2


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds EZ-CLIP's settings.

  Attributes:
    temporal: how frames see each other: 'deep' (temporal prompts in every
      block), 'shallow' (in the first), 'adapter' (attention over the frames,
      then an adapter; no temporal prompts) or 'none'.
    templates: class texts without descriptions; '{}' stands for the class
      name. Training draws one per clip.
    average: whether to average class 'probabilities' (the original) or
      normalised 'embeddings' over templates.
    score_scale: factor of cosines in evaluation; 0 = CLIP's own logit scale,
      which training uses.
    motion_weight: weight of the motion loss; 0 leaves it out.
    drop_path: highest rate of drop path; rates grow from 0 with the layer.
    drop_unit: what drop path drops: a 'token' (the same position in all clips,
      the original) or a 'sample' (clip or text).
    attention_dropout: highest rate of dropout of attention probabilities; rates
      grow from 0 with the layer.
    prompt_dropout: rate of dropout of the temporal prompts' elements.
    temporal_embedding: whether frozen vectors per frame are added to the image
      tower's input. The original has them, but as zeros.
    resize_prompts: whether to interpolate temporal prompts and embedding of
      `method.weights` if they are for another number of frames.
    pixels: colour constants, 'clip' or 'imagenet'.
    jitter: colour jitter of training clips, drawn for each 'frame' (the
      original; clips flicker) or 'clip'; or 'none'.
  """

  temporal: str = 'deep'
  descriptions_per_class: str = 'last'
  templates: tuple[str, ...] = _TEMPLATES
  average: str = 'probabilities'
  score_scale: float = 100.0
  motion_weight: float = 1.0
  drop_path: float = 0.1
  drop_unit: str = 'token'
  attention_dropout: float = 0.1
  prompt_dropout: float = 0.1
  temporal_embedding: bool = False
  resize_prompts: bool = False
  pixels: str = 'clip'
  jitter: str = 'frame'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds EZ-CLIP on a CLIP with a vision transformer.

  Raises:
    UserError: a setting or a network that does not fit.

  Source: EZ-CLIP, clip/model.py, and train.py.
  Differs: parameters stay float32; if texts are fewer than clips, each is
    encoded once per step; attention over time ('adapter') stays within a clip;
    templates and `name_first` use readable class names ('Apply Eye Makeup'),
    the original those of its lists ('ApplyEyeMakeup'); attention maps show the
    class token's row, not the mean over all rows; colours are changed in
    floats, on the device.
  """
  _check(settings, backbones)
  clip, num_frames = backbones.clip, backbones.num_frames
  towers = AdaptedTowers(clip.sizes, num_frames, settings, clip.dtype)

  def pixels(frames, rng):
    if rng is not None:
      frames = random_colours(frames, rng, settings.jitter)
    return normalise(frames, *CONSTANTS[settings.pixels])

  def frames_of(params, pixels, rngs=None, **kwargs):
    hooks = towers.image_hooks(params['method'], rngs, **kwargs)
    return base.encode_frames(clip, params, pixels, hooks)

  def video(params, pixels, rngs, train):
    frames = frames_of(params, pixels, rngs if train else None)
    return base.VideoFeatures(frames.mean(axis=1), frames)

  def text(params, tokens, rngs=None):
    hooks = towers.text_hooks(params['method'], rngs)
    return clip.text(params['clip'], tokens, hooks)

  def score(params, features, classes, batch):
    scale = settings.score_scale or clip.logit_scale(params['clip'])
    if settings.average == 'embeddings' or len(classes) == 1:
      return heads.cosine_score(scale, features.clip, classes)
    return _mean_probability(scale, features.clip, classes)

  def loss(params, features, tokens, batch, rngs):
    label, mask = batch['label'], batch['mask']
    own = _texts_of_clips(
        lambda rows: text(params, rows, rngs), tokens, label, rngs
    )
    scale = clip.logit_scale(params['clip'])
    logits = heads.cosine_score(scale, features.clip, own[None])  # [B, B]
    parts = {
        'video_to_text': losses.soft_contrastive(logits, label, mask),
        'text_to_video': losses.soft_contrastive(logits.T, label, mask),
    }
    total = (parts['video_to_text'] + parts['text_to_video']) / 2
    if settings.motion_weight:
      parts['motion'] = losses.motion(features.frames, mask)
      total += settings.motion_weight * parts['motion']
    return total, parts

  def looks(params, pixels):
    side = clip.sizes.image_resolution // clip.sizes.vision_patch
    out = {}
    for name, prompted in towers.views():
      seen = {}
      frames_of(params, pixels, prompted=prompted, see=seen.__setitem__)
      weights = seen[clip.sizes.vision_layers - 1].mean(1)  # [B*T, N+1, N+1]
      # The class token's attention to patches, not to itself or the prompt.
      patches = weights[:, 0, 1 : 1 + side**2].reshape(-1, side, side)
      out[name] = unfold_time(patches, num_frames)
    return out

  return heads.by_texts(
      clip,
      ClassTexts(settings),
      text,
      init=jax.jit(towers.init),
      pixels=pixels,
      video=video,
      score=score,
      loss=loss,
      trainable=(r'method/(?!temporal_embedding).*',),
      fit=lambda own: _fit(settings, num_frames, own),
      looks=looks,
  )


def _texts_of_clips(encode, tokens, label, rngs) -> jax.Array:
  """Embeds one text per clip, [B, E], with a template drawn by `rngs`."""
  templates, num_classes, length = tokens.shape
  rows = label
  if templates > 1 and rngs is not None:
    key = jax.random.fold_in(rngs['dropout'], _TEMPLATE_STREAM)
    drawn = jax.random.randint(key, label.shape, 0, templates)
    rows = drawn * num_classes + label
  flat = jnp.asarray(tokens).reshape(templates * num_classes, length)
  if len(flat) <= len(label):
    return encode(flat)[rows]
  return encode(flat[rows])


def _mean_probability(scale, video, classes) -> jax.Array:
  """Returns the log of the mean of probabilities over templates, [B, K]."""
  bank = heads.normalise_rows(classes)
  cosines = jnp.einsum('be,mke->mbk', heads.normalise_rows(video), bank)
  each = jax.nn.log_softmax(scale * cosines)
  return jax.nn.logsumexp(each, axis=0) - jnp.log(len(bank))


def _fit(settings: Settings, num_frames: int, own: dict) -> dict:
  """Adapts trained leaves, a flat dict, to the number of frames."""
  out = dict(own)
  for name, key, uses in (
      ('temporal_prompts', 'temporal', PROMPTED),
      ('temporal_embedding', 'temporal_embedding', (True,)),
  ):
    if name not in own:
      continue
    there, value = own[name], getattr(settings, key)
    if there.ndim != 3:
      raise UserError(
          f'method.weights has {name} of shape {there.shape}; wanted three '
          'axes: layers, frames, width. It is not a file of ez_clip.'
      )
    if there.shape[1] != num_frames and not settings.resize_prompts:
      raise UserError(
          f'method.weights has {name} for {there.shape[1]} frames, but '
          f'data.num_frames={num_frames}.\n  Set it to {there.shape[1]}, or '
          'method.settings.resize_prompts=True to interpolate them.'
      )
    if value not in uses:
      raise UserError(
          f'method.weights has {name}, which method.settings.{key}={value} '
          'does not use. Set it to what the file was trained with.'
      )
    out[name] = resize_prompts(there, num_frames)
  return out


def _check(settings: Settings, backbones: base.Backbones):
  base.check_choices(
      settings,
      temporal=TEMPORAL,
      average=('probabilities', 'embeddings'),
      drop_unit=DROP_UNITS,
      pixels=CONSTANTS,
      jitter=JITTERS,
  )
  for key in ('score_scale', 'motion_weight', *_RATES):
    value = getattr(settings, key)
    if not 0 <= value < (1 if key in _RATES else float('inf')):
      below = ', below 1' * (key in _RATES)
      raise UserError(f'method.settings.{key}={value}: use 0 or more{below}.')
  base.check_vit(backbones.clip, 'ez_clip')
  if settings.motion_weight and backbones.num_frames < 2:
    raise UserError(
        f'data.num_frames={backbones.num_frames}: the motion loss compares '
        'frames. Use 2 or more, or method.settings.motion_weight=0.'
    )
