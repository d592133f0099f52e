"""Batch norms that train: statistics of the batch, running ones updated.

CLIP's ResNets keep their stored statistics unless a method says otherwise. One
that wants torch's training mode passes a `BatchMoments` as the hook `moments`
and hands `running` of it to the training step as `VideoFeatures.statistics`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.models.clip.hooks import Hooks

# Torch's: the share of a new statistic in the running one.
MOMENTUM = 0.1
# In a ResNet's tree only batch norms have leaves of these names.
STATISTICS = ('clip/visual/.*/mean', 'clip/visual/.*/var')
# The image tower of a ResNet without them.
WEIGHTS = r'clip/visual/.*(?<!/mean)(?<!/var)'


class BatchMoments:
  """Statistics of the pictures of one pass, noted batch norm by batch norm.

  Attributes:
    groups: how many equal groups of consecutive pictures there are, each with
      statistics of its own: 1, or the number of episodes. Sums over a sharded
      axis are over all devices, so the number of devices changes nothing.
    seen: name of a batch norm -> (means, unbiased variances), each [groups, C].
  """

  def __init__(self, groups: int = 1):
    self.groups = groups
    self.seen: dict[str, tuple[jax.Array, jax.Array]] = {}

  @property
  def hooks(self) -> Hooks:
    """For `Clip.images`."""
    return Hooks(moments=self._of_batch)

  def _of_batch(self, name, x, mean, var):
    del mean, var
    x = x.astype(jnp.float32)
    each = x.reshape(self.groups, -1, *x.shape[1:])  # [G, n / G, H, W, C]
    over = (1, 2, 3)
    mean = each.mean(over)
    var = jnp.square(each - mean[:, None, None, None]).mean(over)
    count = each[0].size // x.shape[-1]
    # Torch normalises with the biased variance and keeps the unbiased one.
    self.seen[name] = mean, var * (count / (count - 1))
    if self.groups == 1:
      return mean[0], var[0]
    repeats = len(x) // self.groups
    return tuple(
        jnp.repeat(m, repeats, axis=0)[:, None, None] for m in (mean, var)
    )


def two_passes(
    encode: Callable[[jax.Array, Hooks], jax.Array],
    visual: Mapping[str, Any],
    pixels: jax.Array,
    num_support: int,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Embeddings of episodes whose support and queries are batches of their own.

  Args:
    encode: (pixels, hooks) -> embeddings, of clips [E, v, ...].
    visual: params['clip']['visual'].
    pixels: [E, V, ...], an episode's support first.
    num_support: 1..V - 1, of support clips.

  Returns:
    (what `encode` gives for all V, `running` statistics: they move twice, for
    the support first).
  """
  if not 0 < num_support < pixels.shape[1]:
    raise ValueError(f'{num_support} support clips of {pixels.shape[1]}.')
  out, passes = [], []
  for part in (pixels[:, :num_support], pixels[:, num_support:]):
    passes.append(BatchMoments(groups=len(part)))
    out.append(encode(part, passes[-1].hooks))
  return jnp.concatenate(out, axis=1), running(visual, passes)


def running(
    visual: Mapping[str, Any], passes: Sequence[BatchMoments]
) -> dict[str, jax.Array]:
  """The running statistics after some passes through the tower.

  Args:
    visual: params['clip']['visual'], with the running statistics before.
    passes: in order. With several groups the result is the mean of what each
      group alone would leave behind.

  Returns:
    Path in the whole tree -> new value, without a gradient.

  Source: torch.nn.BatchNorm2d in training mode.
  Differs: none for one group; torch knows no groups.
  """
  out = {}
  for name in passes[0].seen:
    leaf = visual
    for part in name.split('/'):
      leaf = leaf[part]
    for kind, index in (('mean', 0), ('var', 1)):
      value = leaf[kind]
      for one in passes:
        new = one.seen[name][index].mean(axis=0)
        value = (1 - MOMENTUM) * value + MOMENTUM * new
      out[f'clip/visual/{name}/{kind}'] = jax.lax.stop_gradient(value)
  return out
