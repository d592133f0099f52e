"""Runs CLIP's batch norms in training mode, and updates running statistics.

By default CLIP's ResNets use their stored statistics. A method that needs
torch's training mode calls `encode` and passes the new statistics to the
training step as `VideoFeatures.statistics`.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods import base
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip

# Torch's default: the weight of a new statistic in the running one.
MOMENTUM = 0.1
# In a ResNet's tree only batch norms have leaves of these names.
STATISTICS = ('clip/visual/.*/mean', 'clip/visual/.*/var')
# All other leaves of a ResNet's image tower.
WEIGHTS = r'clip/visual/.*(?<!/mean)(?<!/var)'


def encode(
    clip: Clip,
    params: dict[str, Any],
    passes: Sequence[jax.Array],
    groups: int = 1,
) -> tuple[list[jax.Array], dict[str, jax.Array]]:
  """Encodes frames in several passes, each with the statistics of its batch.

  Args:
    clip: CLIP, with a ResNet.
    params: the whole tree, with the old running statistics.
    passes: frames [..., H, W, 3] of each pass, in order.
    groups: number of equal groups of consecutive frames that have their own
      statistics: 1, or the number of episodes. Statistics are over all devices,
      so they do not depend on the number of devices.

  Returns:
    Embeddings [..., E] of each pass, and the new running statistics: path in
    the whole tree -> value, without a gradient. With several groups, these are
    the mean of what each group alone would give.

  Source: torch.nn.BatchNorm2d in training mode.
  Differs: none for one group; torch knows no groups.
  """
  out, after = [], {}
  for frames in passes:
    seen: dict[str, tuple[jax.Array, jax.Array]] = {}
    hooks = Hooks(moments=functools.partial(_measure, groups, seen))
    out.append(base.encode_frames(clip, params, frames, hooks))
    for name, found in seen.items():
      leaf = params['clip']['visual']
      for part in name.split('/'):
        leaf = leaf[part]
      for kind, new in zip(('mean', 'var'), found, strict=True):
        path = f'clip/visual/{name}/{kind}'
        old = (1 - MOMENTUM) * after.get(path, leaf[kind])
        value = old + MOMENTUM * new.mean(axis=0)
        after[path] = jax.lax.stop_gradient(value)
  return out, after


def _measure(groups: int, seen: dict, name: str, x: jax.Array, mean, var):
  """Gives a batch norm the statistics of its batch; records [groups, C]."""
  del mean, var
  x = x.astype(jnp.float32)
  each = x.reshape(groups, -1, *x.shape[1:])  # [G, n / G, H, W, C]
  over = (1, 2, 3)
  mean = each.mean(over)
  var = jnp.square(each - mean[:, None, None, None]).mean(over)
  count = each[0].size // x.shape[-1]
  # Torch normalises with the biased variance but records the unbiased one.
  seen[name] = mean, var * (count / (count - 1))
  if groups == 1:
    return mean[0], var[0]
  repeats = len(x) // groups
  return tuple(
      jnp.repeat(m, repeats, axis=0)[:, None, None] for m in (mean, var)
  )
