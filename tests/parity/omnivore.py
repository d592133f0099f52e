"""Cases of kind 'omnivore': the video trunk."""

from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.models.swin3d import sizes
from evclip_jax.models.swin3d.trunk import VideoEncoder
from evclip_jax.weights import swin3d_names
from tests.parity import compare
from tests.parity.draw import Case, CaseError, agree

# Arguments of the original's constructor and what we call them.
_CONFIG = {
    'embed_dim': 'embed',
    'depths': 'depths',
    'num_heads': 'heads',
    'window_size': 'window',
}
_OURS = tuple(_CONFIG.values())


def run(case: Case) -> list[compare.Line]:
  """Runs the case's video through the trunk."""
  encoder, params = build(case, case.manifest)
  every = case.field('sub', int)
  if every < 1:
    raise CaseError(f'the manifest field sub is {every}.')

  @jax.jit
  def features(params, video):
    first = encoder.stage_outputs(params, video)[1]
    return encoder.features(params, video), first

  stage3, first = features(params, case.video('BCTHW'))
  stage3, first = channels_first(stage3), channels_first(first)
  ours = {
      'stage3': stage3[:, ::every],
      'stage1_sample': first[:, ::8, :, ::7, ::7],
      'stage3_mean': stage3.mean((2, 3, 4)),
  }
  return compare.outputs(case.expected, ours)


def build(
    case: Case, section: dict[str, Any]
) -> tuple[VideoEncoder, dict[str, Any]]:
  """A trunk, and params['encoder'] drawn by a section, as of CLIP."""
  converted = swin3d_names.from_original(case.state(section))
  found = converted.sizes
  named = sizes.TABLE.get(f'omnivore_{section.get("arch")}')
  wanted = {} if named is None else {n: getattr(named, n) for n in _OURS}
  config = section.get('config', {})
  wanted |= {our: config[n] for n, our in _CONFIG.items() if n in config}
  for name, value in wanted.items():
    agree(name, value, getattr(found, name))
  return VideoEncoder(found), unflatten_dict(converted.flat, sep='/')


def channels_first(features: jax.Array) -> np.ndarray:
  """[B, T, H, W, C] -> [B, C, T, H, W]."""
  return np.asarray(features).transpose(0, 4, 1, 2, 3)
