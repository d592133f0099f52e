"""Batch norms that train: statistics of the batch, running ones updated.

CLIP's ResNets keep their stored statistics unless a method says otherwise. One
that wants torch's training mode encodes by `encode` and hands the statistics to
the training step as `VideoFeatures.statistics`.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods import base
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.model import Clip

# Torch's: the share of a new statistic in the running one.
MOMENTUM = 0.1
# In a ResNet's tree only batch norms have leaves of these names.
STATISTICS = ('clip/visual/.*/mean', 'clip/visual/.*/var')
# The image tower of a ResNet without them.
WEIGHTS = r'clip/visual/.*(?<!/mean)(?<!/var)'


def encode(
    clip: Clip,
    params: dict[str, Any],
    passes: Sequence[jax.Array],
    groups: int = 1,
) -> tuple[list[jax.Array], dict[str, jax.Array]]:
  """Encodes frames pass by pass, each with the statistics of its own batch.

  Args:
    clip: CLIP, with a ResNet.
    params: the whole tree, with the running statistics before.
    passes: frames [..., H, W, 3] of each, in order.
    groups: how many equal groups of consecutive frames have statistics of their
      own: 1, or the number of episodes. Sums over a sharded axis are over all
      devices, so the number of devices changes nothing.

  Returns:
    (embeddings [..., E] of each pass, running statistics behind all of them:
    path in the whole tree -> value, without a gradient). With several groups it
    is the mean of what each group alone would leave behind.

  Source: torch.nn.BatchNorm2d in training mode.
  Differs: none for one group; torch knows no groups.
  """
  out, after = [], {}
  for frames in passes:
    seen: dict[str, tuple[jax.Array, jax.Array]] = {}
    hooks = Hooks(moments=functools.partial(_of_batch, groups, seen))
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


def _of_batch(groups: int, seen: dict, name: str, x: jax.Array, mean, var):
  """Gives a batch norm its batch's statistics; notes [groups, C] of each."""
  del mean, var
  x = x.astype(jnp.float32)
  each = x.reshape(groups, -1, *x.shape[1:])  # [G, n / G, H, W, C]
  over = (1, 2, 3)
  mean = each.mean(over)
  var = jnp.square(each - mean[:, None, None, None]).mean(over)
  count = each[0].size // x.shape[-1]
  # Torch normalises with the biased variance and keeps the unbiased one.
  seen[name] = mean, var * (count / (count - 1))
  if groups == 1:
    return mean[0], var[0]
  repeats = len(x) // groups
  return tuple(
      jnp.repeat(m, repeats, axis=0)[:, None, None] for m in (mean, var)
  )
