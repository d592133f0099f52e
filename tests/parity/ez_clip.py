"""Cases of kind 'ez_clip': outputs, losses, gradients and training."""

import contextlib
import re
from collections.abc import Mapping
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.methods.ez_clip import checkpoint, towers
from evclip_jax.methods.ez_clip import method as ez_clip
from evclip_jax.models.pixels import unfold_time
from evclip_jax.training.params import split
from evclip_jax.weights import clip_names
from evclip_jax.weights.table import Converted
from tests.parity import clip as clip_case
from tests.parity import compare, ev_clip, training
from tests.parity.draw import Case, CaseError, agree

# Bytes from which on clips go through the image tower one by one.
_MEMORY = 4 * 2**30


def one_by_one(method: base.Method):
  """Returns `method.video` that takes clips one after the other."""

  def video(params, pixels, rngs, train):
    @jax.checkpoint
    def one(clip):
      return method.video(params, clip[None], rngs, train)

    features = jax.lax.map(one, pixels)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), features)

  return video


@contextlib.contextmanager
def clips_mixed_up():
  """Makes 'adapter' give clip b and frame t the results of row t * B + b.

  So does the original, clip/model.py, T_Adapter, whose batches of several clips
  are therefore not what this project computes.
  """

  def mixed(x, num_frames, *args):
    y = attend_over_time(x, num_frames, *args)
    return unfold_time(y, num_frames).swapaxes(0, 1).reshape(y.shape)

  attend_over_time = towers.attend_over_time
  with mock.patch.object(towers, 'attend_over_time', mixed):
    yield


@clips_mixed_up()
def run(case: Case) -> list[compare.Line]:
  """One gradient and an optimizer trajectory through the real method."""
  pixels = case.video('BTCHW')
  method, tree, video = build(case, pixels.shape)
  vocab_size = len(tree['clip']['text']['token_embedding'])
  tokens = case.integers('tokens', vocab_size)
  labels = case.integers('labels', 2**20)
  if labels.shape != pixels.shape[:1]:
    raise CaseError(f'{labels.shape} labels, videos are {pixels.shape}.')
  labels, classes, per_clip = by_class(labels, tokens)
  texts = _as_given if per_clip else ez_clip._texts_of_clips
  steps = training.Steps(
      method, tree, pixels, labels, tokens, jnp.asarray(classes), video
  )
  with mock.patch.object(ez_clip, '_texts_of_clips', texts):
    found, grads = first = steps.gradient(steps.trainable)
    losses = training.trajectory(case, steps.trainable, steps.gradient, first)
  ours = {
      'frame_features': found['features'].frames,
      'text_features': found['text_features'],
      'logits': found['logits'],
      'loss_image': found['video_to_text'],
      'loss_text': found['text_to_video'],
      'total': found['total'],
      'losses': losses,
  }
  if 'motion' in found:
    ours['loss_motion'] = found['motion']
  own = {p.removeprefix('method/'): np.asarray(g) for p, g in grads.items()}
  lines = compare.outputs(case.expected, ours, given=('tokens', 'labels'))
  return lines + compare.gradients(
      case.field('grads', dict), checkpoint.to_original(own)
  )


def build(case: Case, video: tuple[int, ...]):
  """As of EV-CLIP, with the method's `video`, perhaps one by one."""
  state = case.state()
  converted = checkpoint.from_original(state)
  sizes, num_frames = converted.sizes, case.field('frames', int)
  agree('frames', num_frames, video[1])
  agree('frames', num_frames, sizes.num_frames or num_frames)
  section = {
      **case.manifest,
      'params': {
          name: spec
          for name, spec in case.field('params', dict).items()
          if not is_own(name)
      },
  }
  clip, _ = clip_case.build(case, section)
  params = {
      'clip': unflatten_dict(clip_from_original(state).flat, sep='/'),
      'method': unflatten_dict(converted.flat, sep='/'),
  }
  settings = ez_clip.Settings(
      temporal=sizes.temporal,
      temporal_embedding=sizes.temporal_embedding,
      motion_weight=float('loss_motion' in case.expected),
      # CLIP's own: the case's logits are those of training.
      score_scale=0.0,
  )
  method = ez_clip.make(settings, base.Backbones(clip, None, num_frames), ())
  trainable, _ = split(params, method.trainable)
  names = checkpoint.to_original(
      {path.removeprefix('method/'): x for path, x in trainable.items()}
  )
  wanted = set(case.manifest.get('trainable', names))
  if wanted != set(names):
    raise CaseError(
        'not the same tensors train: '
        f'{sorted(wanted.symmetric_difference(names))[:4]}.'
    )
  large = ev_clip.memory(clip.sizes, video[0] * num_frames) > _MEMORY
  single = large and sizes.temporal != 'adapter'
  return method, params, one_by_one(method) if single else method.video


def is_own(name: str) -> bool:
  """Returns whether a tensor is what EZ-CLIP adds to CLIP."""
  return any(re.fullmatch(rule.original, name) for rule in checkpoint.RULES)


def clip_from_original(tensors: Mapping[str, np.ndarray]) -> Converted:
  """Converts the frozen CLIP of a checkpoint, all of which must be there."""
  return clip_names.from_original(
      {name: tensor for name, tensor in tensors.items() if not is_own(name)}
  )


def by_class(
    labels: np.ndarray, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
  """Labels [B] from 0 without gaps, and the tokens [1, K, L] of these classes.

  If clips of one class have different texts, as with the original's random
  templates, the tokens stay [1, B, L] and the third result is True.
  """
  if len(tokens) != len(labels):
    raise CaseError(f'{len(tokens)} texts for {len(labels)} clips.')
  _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
  per_clip = not np.array_equal(tokens[first][labels], tokens)
  classes = tokens if per_clip else tokens[first]
  return labels.astype(np.int32), classes[None], per_clip


def _as_given(encode, tokens, label, rngs) -> jax.Array:
  """In place of the method's choice: a text for each clip."""
  return encode(tokens[0])
