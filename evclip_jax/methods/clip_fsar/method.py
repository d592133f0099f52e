"""CLIP-FSAR: few-shot episodes, prototypes modulated by their class's text.

In a small transformer, the frames of a support clip attend to each other and to
the text of their class, those of a query only to each other. A metric over
frames compares queries with prototypes; a second loss classifies the mean frame
of every clip by the texts of all classes. CLIP's image tower may be trained.
"""

import dataclasses

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, batch_moments, heads, losses
from evclip_jax.methods.class_texts import ClassTexts, DescriptionSettings
from evclip_jax.methods.clip_fsar.head import (
  EpisodeHead,
  by_text,
  classes_of_clips,
  video_text_logits,
)
from evclip_jax.methods.clip_fsar.relation import HEADS
from evclip_jax.models.pixels import (
  CONSTANTS,
  change_colours,
  draw_colours,
  luma,
  normalise,
)

EPISODIC = True
SCORING = (
    'metric',
    'otam_softness',
    'directions',
    'prototypes',
    'evaluate',
    'text_exponent',
    'distance_scale',
)
# Config values that the original's recipes share, with the learning rates of
# the smaller data sets. `no_decay` are the norms that the original finds by
# their names, which those of shortcuts and of a ViT do not match.
RECIPE = {
    'data.preprocess': 'clip_fsar',
    'data.shots': 0,
    'optimizer.name': 'adam_l2',
    'optimizer.learning_rate': 1e-5,
    'optimizer.weight_decay': 1e-3,
    'optimizer.no_decay': (
        r'clip/visual/(.*/)?bn\d/(scale|bias)',
        r'method/temporal/.*/norm/(scale|bias)',
    ),
    'optimizer.schedule': 'relative_steps',
    'optimizer.warmup_epochs': 1,
    'optimizer.warmup_learning_rate': 1e-6,
    'optimizer.stair_epochs': (0, 4, 6),
    'optimizer.stair_rates': (1.0, 0.1, 0.01),
}


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds CLIP-FSAR's settings.

  Attributes:
    metric: how queries and prototypes are compared: 'otam', 'bimhm', 'hyrsm'
      (HyRSM's relation module, then Bi-MHM), 'mean' (means over time) or
      'linear' (a classifier fitted to the episode's prototypes; with
      prototypes='none', to all shots). Plain HyRSM has depth=0,
      text_token=False and prototypes='after'.
    otam_softness: lambda of OTAM's soft minimum.
    directions: for otam, bimhm, hyrsm: 'both', or 'one' (from the query's
      frames).
    prototypes: the shots of a class are averaged 'before' the transformer,
      'after' it (and HyRSM's attention within a clip), or not at all ('none':
      each is compared).
    depth: layers of the transformer; 0 = there is none.
    hidden: hidden width of its MLP.
    dropout: rate after the transformer's attention, and after HyRSM's attention
      within a clip.
    mlp_dropout: rate after the transformer's dense layers, and after HyRSM's
      attention across clips.
    text_token: whether support clips attend to the text of their class.
    template: class texts; '{}' stands for the class name.
    loss: 'both', 'few_shot' (no texts of queries) or 'video_text' (no metric).
    video_text_weight: factor of the video-text loss.
    evaluate: the scores: 'few_shot' (negative distances), 'text' (by texts of
      the episode's classes) or 'combined'; the last two are log-probabilities.
    text_exponent: for combined, the exponent of the text's probabilities; the
      few-shot ones have 1 minus it. The product is not normalised.
    distance_scale: for combined, the divisor of distances before the softmax; a
      constant of the original, its number of frames.
    backbone: whether CLIP's image tower is 'trained' or 'frozen'.
    batch_norm: for a ResNet in training: statistics of the 'batch' (of each
      episode's support, then of its queries; running ones are updated), or
      'frozen'.
    pixels: colour constants, 'clip' or 'imagenet' (as EV-CLIP uses for both of
      its networks).
    query_colours: whether to change the colours of training queries (Kinetics).
  """

  metric: str = 'otam'
  otam_softness: float = 0.5
  directions: str = 'both'
  prototypes: str = 'after'
  depth: int = 1
  hidden: int = 2048
  dropout: float = 0.2
  mlp_dropout: float = 0.05
  text_token: bool = True
  template: str = 'a photo of {}'
  loss: str = 'both'
  video_text_weight: float = 1.5
  evaluate: str = 'few_shot'
  text_exponent: float = 0.9
  distance_scale: float = 8.0
  backbone: str = 'trained'
  batch_norm: str = 'batch'
  pixels: str = 'clip'
  query_colours: bool = False


def trains(settings: Settings) -> bool:
  """Returns whether any weight is trained."""
  return bool(_trainable(settings, False))


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds CLIP-FSAR on a CLIP.

  Raises:
    UserError: settings that do not go together, or do not fit the networks.

  Source: CLIP-FSAR, models/base/few_shot.py, CNN_OTAM_CLIPFSAR, and
    runs/train_net_few_shot.py for the losses.
  Differs: the clips of an episode have a fixed order; text and combined
    evaluation return log-probabilities; metrics other than 'otam', and the
    frozen tower, are additions to this method. HyRSM's second loss is the
    video-text one.
  """
  _check(settings, backbones)
  clip = backbones.clip
  resnet = clip.sizes.vision == 'resnet'
  batch_norms = resnet and settings.batch_norm == 'batch'
  head = EpisodeHead(settings)

  @jax.jit
  def init(rng):
    # Split twice, so that a seed gives the same weights as in older versions.
    rng = jax.random.split(jax.random.split(rng)[0])[0]
    own = head.init(rng, backbones.num_frames, clip.sizes.embed_dim)
    return own | {'scale': jnp.ones(1)}

  def pixels(frames, rng):
    if rng is not None and settings.query_colours:
      support, queries = jnp.split(frames, [backbones.num_support], axis=1)
      queries = _changed_colours(queries, rng)
      frames = jnp.concatenate([support.astype(queries.dtype), queries], 1)
    return normalise(frames, *CONSTANTS[settings.pixels])

  def video(params, pixels, rngs, train):
    statistics = {}
    if train and batch_norms:
      # Support and queries are separate batches, support first.
      passes = jnp.split(pixels, [backbones.num_support], axis=1)
      parts, statistics = batch_moments.encode(
          clip, params, passes, groups=len(pixels)
      )
      frames = jnp.concatenate(parts, axis=1)
    else:
      frames = base.encode_frames(clip, params, pixels)
    return base.VideoFeatures(frames.mean(-2), frames, statistics=statistics)

  seen = {'video': video}
  # With new colours in each step, features could not be cached.
  if settings.backbone == 'frozen' and not settings.query_colours:
    seen = base.frozen_frames(clip)

  def score(params, features, classes, batch):
    own, frames = params['method'], features.frames
    if settings.evaluate != 'few_shot':
      read = by_text(own['scale'], frames, classes, batch)
    if settings.evaluate == 'text':
      return read
    logits = head.similarities(own, frames, classes, batch)
    if settings.evaluate == 'few_shot':
      return logits
    seen = jax.nn.log_softmax(logits / settings.distance_scale)
    return settings.text_exponent * read + (1 - settings.text_exponent) * seen

  def loss(params, features, classes, batch, rngs):
    own, frames, mask = params['method'], features.frames, batch['mask']
    parts = {}
    if settings.loss != 'video_text':
      rng = None if rngs is None else rngs['dropout']
      logits = head.similarities(own, frames, classes, batch, rng)
      parts['few_shot'] = _mean_loss(logits, batch['label'], mask)
    if settings.loss != 'few_shot':
      logits = video_text_logits(own['scale'], frames, classes)
      labels = classes_of_clips(batch, logits.shape[1])
      parts['video_text'] = _mean_loss(logits, labels, mask)
    weights = {'few_shot': 1.0, 'video_text': settings.video_text_weight}
    return sum(weights[name] * part for name, part in parts.items()), parts

  return heads.by_texts(
      clip,
      ClassTexts(settings),
      init=init,
      pixels=pixels,
      **seen,
      score=score,
      loss=loss,
      loss_is_a_mean=True,
      trainable=_trainable(settings, resnet),
      statistics=batch_moments.STATISTICS if batch_norms else (),
      episodic=EPISODIC,
  )


def _changed_colours(clips: jax.Array, rng: jax.Array) -> jax.Array:
  """Changes the colours of clips [E, Q, ...]; first makes 30 % of them grey."""
  keys = jax.random.split(rng)
  shape = (*clips.shape[:2], 1)  # the same for all frames
  x = clips.astype(jnp.float32) / 255
  grey = jax.random.bernoulli(keys[0], 0.3, (*shape, 1, 1, 1))
  x = jnp.where(grey, luma(x), x)
  change = draw_colours(keys[1], shape, (0.5, 0.5, 0.5, 0.25))
  return 255 * change_colours(x, *change)


def _mean_loss(logits, labels, mask) -> jax.Array:
  """Averages the cross-entropy over the rows of all episodes with mask 1."""
  rows = jnp.repeat(mask, labels.shape[1])
  flat = logits.reshape(-1, logits.shape[-1])
  return losses.cross_entropy(flat, labels.reshape(-1), rows)


def _trainable(settings: Settings, resnet: bool) -> tuple[str, ...]:
  """Returns patterns of the leaves that the loss reaches."""
  out = []
  if settings.loss != 'few_shot':
    out.append('method/scale')
  if settings.loss != 'video_text' and settings.depth:
    out.append('method/temporal/.*')
  if settings.loss != 'video_text' and settings.metric == 'hyrsm':
    out.append('method/relation/.*')
  if settings.backbone == 'trained':
    out.append(batch_moments.WEIGHTS if resnet else 'clip/visual/.*')
  return tuple(out)


def _check(settings: Settings, backbones: base.Backbones):
  base.check_choices(
      settings,
      metric=('otam', 'bimhm', 'hyrsm', 'mean', 'linear'),
      prototypes=('before', 'after', 'none'),
      directions=('both', 'one'),
      evaluate=('few_shot', 'text', 'combined'),
      loss=('both', 'few_shot', 'video_text'),
      backbone=('trained', 'frozen'),
      batch_norm=('batch', 'frozen'),
      pixels=CONSTANTS,
  )
  sizes = backbones.clip.sizes
  attends = settings.depth or settings.metric == 'hyrsm'
  still = settings.backbone == 'frozen' and settings.batch_norm == 'batch'
  for wrong, message in (
      (settings.depth < 0, 'depth={depth}: use 0 or more.'),
      (settings.text_token and not settings.depth, 'text_token=True needs a '
       'transformer: set depth to 1 or more, or text_token=False.'),
      (attends and sizes.embed_dim % HEADS, f'depth={{depth}}, metric='
       f'{{metric}}: the {HEADS} heads of attention do not divide the width '
       f'{sizes.embed_dim} of clip.name. Use depth=0 and another metric.'),
      (settings.otam_softness <= 0, 'otam_softness={otam_softness}: use more '
       'than 0.'),
      (settings.distance_scale <= 0, 'distance_scale={distance_scale}: use '
       'more than 0.'),
      (settings.video_text_weight <= 0, 'video_text_weight='
       '{video_text_weight}: use more than 0.'),
      (not 0 <= settings.text_exponent <= 1, 'text_exponent={text_exponent}: '
       'use 0 to 1.'),
      (still and sizes.vision == 'resnet', "backbone=frozen, but the ResNet's "
       'batch norms are not: set batch_norm=frozen.'),
  ):
    if wrong:
      values = dataclasses.asdict(settings)
      raise UserError('method.settings.' + message.format(**values))
