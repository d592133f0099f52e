"""Cases of kind 'clip_fsar': the head on given frame features."""

import dataclasses
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.methods.clip_fsar import alignment, checkpoint
from evclip_jax.methods.clip_fsar import method as clip_fsar
from evclip_jax.methods.clip_fsar.head import video_text_logits
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import vit
from evclip_jax.training.params import merge, split
from tests.parity import compare, training
from tests.parity.draw import Case, CaseError, agree

# How strongly the clips of a class share a direction; the cases' own rule.
_SHARED = 0.7
_SIDES = ('support', 'query')
_GIVEN = ('support_labels', 'query_labels', 'support_class', 'query_class')
# What a case may leave out.
_EXTRA = ('otam_forward', 'otam_both', 'class_logits')
# The original's flags and what they are when absent.
_FLAGS = {
    'USE_CLASSIFICATION': False,
    'USE_CLASSIFICATION_ONLY': False,
    'USE_CLASSIFICATION_VALUE': None,
    'MERGE_BEFORE': False,
    'EVAL_TEXT': False,
    'COMBINE': False,
    'TEXT_COFF': None,
    'SINGLE_DIRECT': False,
    'TRANSFORMER_DEPTH': None,
}


@dataclasses.dataclass(frozen=True)
class Episode:
  """The clips of a case in this project's order, and the way back.

  Attributes:
    frames: [1, V, T, D].
    batch: the other fields of an episode.
    order: positions in the case's support clips, class by class.
  """

  frames: np.ndarray
  batch: dict[str, np.ndarray]
  order: np.ndarray


def run(case: Case) -> list[compare.Line]:
  """Outputs, one gradient and an optimizer trajectory of the real method."""
  inputs = case.inputs()
  for name in ('text_train', 'text_test', 'dirs', 'support', 'query'):
    if name not in inputs:
      raise CaseError(f'the case has no input {name!r}.')
  train, test = inputs['text_train'][None], inputs['text_test'][None]
  episode = build_episode(case, inputs)
  features = base.VideoFeatures(episode.frames.mean(2), episode.frames)
  settings, params = build(case, inputs)
  method = make(settings, case, inputs)
  few_shot = make(
      dataclasses.replace(settings, evaluate='few_shot'), case, inputs
  )
  trainable, frozen = split(params, method.trainable)
  batch = episode.batch

  @jax.jit
  def outputs(trainable):
    params = merge(frozen, trainable)
    queries, support = episode_features(episode, inputs)
    matrix = alignment.frame_distances(queries, support)
    forward = alignment.otam(matrix, settings.otam_softness)[0, :, :, 0]
    back = alignment.otam(matrix.swapaxes(-1, -2), settings.otam_softness)
    return {
        'otam_forward': forward,
        'otam_both': forward + back[0, :, :, 0],
        'eval_logits': method.score(params, features, test, batch)[0],
        'train_logits': few_shot.score(params, features, train, batch)[0],
        'class_logits': video_text_logits(
            params['method']['scale'], features.frames, train
        )[0],
    }

  @jax.jit
  def gradient(trainable):
    def objective(trainable):
      return method.loss(merge(frozen, trainable), features, train, batch, None)

    run = jax.value_and_grad(objective, has_aux=True)
    (total, parts), grads = run(trainable)
    return parts | {'total': total}, grads

  ours = {k: np.asarray(x) for k, x in outputs(trainable).items()}
  if settings.evaluate != 'few_shot':
    ours['eval_logits'] = np.exp(ours['eval_logits'])
  support = len(episode.order)
  logits = ours['class_logits']
  ours['class_logits'] = np.concatenate(
      [logits[np.argsort(episode.order)], logits[support:]]
  )
  first = gradient(trainable)
  found, grads = first
  ours['total'] = found['total']
  for name, part in (('fewshot', 'few_shot'), ('contrast', 'video_text')):
    if part in found:
      ours[f'loss_{name}'] = found[part]
  ours['losses'] = training.trajectory(case, trainable, gradient, first)
  for name in _EXTRA:
    if name not in case.expected:
      del ours[name]
  lines = compare.outputs(case.expected, ours, given=_GIVEN)
  named = checkpoint.CHECKPOINT.to_original(jax.device_get(grads))
  return lines + compare.gradients(
      case.field('grads', dict),
      {name.removeprefix('head.'): grad for name, grad in named.items()},
  )


def build(
    case: Case, inputs: dict[str, np.ndarray]
) -> tuple[clip_fsar.Settings, dict[str, Any]]:
  """Settings by the case's flags, weights through the real converter."""
  flags = case.field('flags', dict)
  if unknown := flags.keys() - _FLAGS.keys():
    raise CaseError(f'flags this project does not know: {sorted(unknown)}.')
  flags = _FLAGS | flags
  converted = checkpoint.CHECKPOINT.from_original(case.state())
  sizes = converted.sizes
  for name, found in (
      ('dim', sizes.embed_dim),
      ('depth', sizes.depth),
      ('frames', inputs['support'].shape[1]),
  ):
    agree(name, case.field(name, int), found)
  agree('depth', flags['TRANSFORMER_DEPTH'] or sizes.depth, sizes.depth)
  loss = 'both' if flags['USE_CLASSIFICATION'] else 'few_shot'
  if flags['USE_CLASSIFICATION_ONLY']:
    loss = 'video_text'
  evaluate = 'combined' if flags['COMBINE'] else 'few_shot'
  if flags['EVAL_TEXT']:
    evaluate = 'text'
  given = {
      'video_text_weight': case.manifest.get('class_weight'),
      'text_exponent': flags['TEXT_COFF'],
  }
  settings = clip_fsar.Settings(
      depth=sizes.depth,
      hidden=sizes.hidden,
      prototypes='before' if flags['MERGE_BEFORE'] else 'after',
      directions='one' if flags['SINGLE_DIRECT'] else 'both',
      loss=loss,
      evaluate=evaluate,
      backbone='frozen',
      # The original takes 0 for "not set" as well.
      **{name: float(value) for name, value in given.items() if value},
  )
  return settings, unflatten_dict(converted.flat, sep='/')


def make(
    settings: clip_fsar.Settings, case: Case, inputs: dict[str, np.ndarray]
) -> base.Method:
  """The method; of CLIP, only the width of its embeddings matters."""
  sizes = vit(64, 1, 32, case.field('dim', int), 64, text_layers=1)
  frames = inputs['support'].shape[1]
  return clip_fsar.make(settings, base.Backbones(Clip(sizes), None, frames), ())


def build_episode(case: Case, inputs: dict[str, np.ndarray]) -> Episode:
  """The case's clips as one episode."""
  way = case.field('way', int)
  labels = {side: case.integers(f'{side}_labels', way) for side in _SIDES}
  rows = min(len(inputs['text_train']), len(inputs['text_test']))
  real = {side: case.integers(f'{side}_class', rows) for side in _SIDES}
  counts = np.bincount(labels['support'], minlength=way)
  if not (counts == case.field('shot', int)).all():
    raise CaseError(f'support clips per class {counts}, wanted equally many.')
  for side in labels:
    if labels[side].shape != inputs[side].shape[:1]:
      raise CaseError(
          f'{labels[side].shape} {side} labels, clips {inputs[side].shape}.'
      )
  order = np.argsort(labels['support'], kind='stable')
  classes = real['support'][order][:: counts[0]]
  for side in labels:
    if not np.array_equal(classes[labels[side]], real[side]):
      raise CaseError(f'{side}_class does not follow from {side}_labels.')
  clips = {
      side: inputs[side] + np.float32(_SHARED) * inputs['dirs'][labels[side]]
      for side in labels
  }
  frames = np.concatenate([clips['support'][order], clips['query']])
  batch = {
      'label': labels['query'][None],
      'way': classes[None].astype(np.int32),
      'mask': np.ones(1, np.float32),
  }
  return Episode(frames[None].astype(np.float32), batch, order)


def episode_features(episode: Episode, inputs: dict[str, np.ndarray]):
  """Queries [1, Q, T, D] and every support clip, in the case's order."""
  count = len(episode.order)
  support = episode.frames[:, :count][:, np.argsort(episode.order)]
  return episode.frames[:, count:], support[:, :, None]
