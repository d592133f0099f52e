"""Cases of EV-CLIP, with CoOp's text prompts or without."""

import functools
import math
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import base
from evclip_jax.methods.ev_clip import checkpoint
from evclip_jax.methods.ev_clip import method as ev_clip
from evclip_jax.models.clip.model import Clip
from evclip_jax.models.clip.sizes import ClipSizes
from tests.parity import clip as clip_case
from tests.parity import compare, omnivore, training
from tests.parity.draw import Case, CaseError, agree, field

KINDS = ('ev_clip', 'ev_clip_coop')
# Bytes from which on the frames go through CLIP in parts, and their number.
_MEMORY = 8 * 2**30
_PART = 4


class InParts(Clip):
  """A CLIP that sees a few pictures at a time, forwards and backwards.

  XLA gives up rematerialisation on CPUs, but a loop is a loop.
  """

  def images(self, params_clip, images, hooks=None):
    encode = jax.checkpoint(functools.partial(super().images, params_clip))
    parts = images.reshape(-1, math.gcd(_PART, len(images)), *images.shape[1:])
    features = jax.lax.map(encode, parts)
    return features.reshape(len(images), -1)


def run(case: Case) -> list[compare.Line]:
  """One gradient and an optimizer trajectory through the real method."""
  video = case.video('BCTHW')
  method, tree = build(case, video.shape)
  vocab_size = len(tree['clip']['text']['token_embedding'])
  tokens = case.integers('tokens', vocab_size)
  labels = case.integers('labels', len(tokens))
  if labels.shape != video.shape[:1]:
    raise CaseError(f'{labels.shape} labels, videos are {video.shape}.')
  steps = training.Steps(method, tree, video, labels, tokens)
  found, grads = first = steps.gradient(steps.trainable)
  ours = outputs(found)
  if method.text_trains:
    ours['text_features'] = found['text_features']
  if not case.manifest['lam'] and 'consistency' not in case.expected:
    del ours['consistency']
  ours['losses'] = training.trajectory(
      case, steps.trainable, steps.gradient, first
  )
  own = {p.removeprefix('method/'): np.asarray(g) for p, g in grads.items()}
  lines = compare.outputs(case.expected, ours, given=('tokens', 'labels'))
  return lines + compare.gradients(
      case.field('grads', dict), checkpoint.to_original(own)
  )


def build(case: Case, video: tuple[int, ...]):
  """The real method, and drawn weights through the real converters.

  `video` is the shape [B, T, H, W, 3] of the clips.
  """
  section = case.field('prompts', dict)
  clip, clip_params = clip_case.build(case, case.field('clip', dict))
  encoder, encoder_params = omnivore.build(case, case.field('omnivore', dict))
  state, coop = case.state(section), {}
  if case.field('kind', str) == 'ev_clip_coop':
    state |= case.state(case.field('coop', dict))
    coop = {'text_prompt': 'coop'} | word_settings(case)
  converted = checkpoint.from_original(state)
  sizes = converted.sizes
  num_frames = field(section, 'frames', int)
  for name, value, found in (
      ('kind', field(section, 'kind', str).lower(), sizes.prompt),
      ('z_dim', field(section, 'z_dim', int), sizes.channels),
      ('frames', num_frames, sizes.num_frames or num_frames),
      ('frames', num_frames, video[1]),
      ('bias', field(section, 'bias', bool), sizes.bias),
  ):
    agree(name, value, found)
  settings = ev_clip.Settings(
      prompt=sizes.prompt,
      consistency_weight=float(case.field('lam', (int, float))),
      encoder_drop_path=False,
      activation=field(section, 'act', str),
      bias=sizes.bias,
      **coop,
  )
  if memory(clip.sizes, video[0] * num_frames) > _MEMORY:
    clip = InParts(clip.sizes)
  backbones = base.Backbones(clip, encoder, num_frames)
  params = {
      'clip': clip_params,
      'encoder': encoder_params,
      'method': unflatten_dict(converted.flat, sep='/'),
  }
  names = coop and case.field('coop', dict).get('class_names', ())
  method = ev_clip.make(settings, backbones, tuple(names))
  return method, params


def word_settings(case: Case) -> dict[str, Any]:
  """Returns settings of CoOp's text prompts by the section 'coop'."""
  own = case.field('coop', dict)
  # Words to begin with may be another number than n_ctx says.
  (words,) = case.state(own).values()
  return {
      'words': words.shape[-2],
      'words_place': field(own, 'class_token_position', str),
      'words_per_class': words.ndim == 3,
  }


def outputs(found: dict[str, Any]) -> dict[str, np.ndarray]:
  """What the method gave, cut as the case's arrays are."""
  features = found['features']
  ours = {
      'logits': found['logits'],
      'frame_features': features.frames[:, :, ::4],
      'ce': found['cross_entropy'],
      'consistency': found['consistency'],
      'total': found['total'],
  }
  if 'mask' in features.maps:
    mask = np.asarray(features.maps['mask'])
    ours |= {'mask': mask[:, ::8, ::8], 'mask_mean': mask.mean((1, 2))}
  if features.context is not None:
    ours['context'] = features.context
  return ours


def memory(sizes: ClipSizes, num_images: int) -> int:
  """Bytes that a backward pass through the image tower keeps, roughly."""
  if sizes.vision == 'resnet':
    return num_images * 100 * 2**20
  tokens = (sizes.image_resolution // sizes.vision_patch) ** 2 + 1
  block = 20 * tokens * sizes.vision_width + 4 * sizes.vision_heads * tokens**2
  return 4 * num_images * sizes.vision_layers * block
