"""Adapters in the blocks of a frozen CLIP, and what is dropped in training."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models.clip.hooks import Attend, Hooks, Reweigh
from evclip_jax.models.pixels import unfold_time
from evclip_jax.models.torch_like import gelu, linear

# What one Bernoulli of a drop path decides on.
DROP_UNITS = ('token', 'sample')
# Width of an adapter's bottleneck as a share of the width around it.
_SHARE = 0.25
# Random choices within one block; each has keys of its own.
_PLACES = (
    'prompt',
    'time path',
    'time attention',
    'attention path',
    'attention',
    'mlp path',
)


class Adapter(nn.Module):
  """Adds W2 gelu(W1 x + b1) + b2 to x, which is 0 at first.

  Attributes:
    skip: whether x is added.
    dtype: of the computation.
    std: of AIM's first weights, with biases of 0; None = torch's own.

  Source: EZ-CLIP, clip/model.py, Adapter; AIM, models/vit_clip.py, Adapter.
  Differs: none.
  """

  skip: bool = True
  dtype: Any = jnp.float32
  std: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Makes [..., D] of [..., D], of the same type."""
    width = x.shape[-1]
    narrow = int(_SHARE * width)
    if self.std is None:
      first = linear(narrow, width, True, 'D_fc1', self.dtype)
    else:
      normal = nn.initializers.truncated_normal(self.std)
      first = nn.Dense(
          narrow, kernel_init=normal, dtype=self.dtype, name='D_fc1'
      )
    y = first(x)
    y = gelu(y)
    y = nn.Dense(
        width, kernel_init=nn.initializers.zeros, dtype=self.dtype, name='D_fc2'
    )(y).astype(x.dtype)
    return x + y if self.skip else y


def init_adapters(
    rng: jax.Array, layers: int, width: int, std: float | None = None
) -> dict[str, Any]:
  """Draws the leaves of an adapter for each layer, 'adapter.0' and so on."""
  # All at once: one by one would take a minute to compile.
  stacked = jax.vmap(Adapter(std=std).init, (0, None))(
      jax.random.split(rng, layers), jnp.zeros((1, width))
  )['params']
  return {
      f'adapter.{i}': jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
      for i in range(layers)
  }


def attend_over_time(
    x: jax.Array,
    num_frames: int,
    attend: Attend,
    reweigh: Reweigh | None = None,
    **kwargs,
) -> jax.Array:
  """Attends over the frames, for every token position apart.

  Args:
    x: [B*T, N, D], as what comes back.
    num_frames: T.
    attend, reweigh, **kwargs: see `hooks.Attend`.

  Source: EZ-CLIP, clip/model.py, the T_Adapter branch; AIM,
    models/vit_clip.py.
  Differs: stays within a clip; the original gives clips of a batch what belongs
    to others.
  """
  y = unfold_time(x, num_frames).swapaxes(1, 2)  # [B, N, T, D]
  return attend(y, reweigh, **kwargs).swapaxes(1, 2).reshape(x.shape)


def drop_rates(highest: float, layers: int) -> tuple[float, ...]:
  """Returns rates that grow in equal steps from 0 in the first layer."""
  return tuple(highest * i / max(layers - 1, 1) for i in range(layers))


@dataclasses.dataclass(frozen=True)
class Drops:
  """Draws the random masks of one tower in one step.

  Every mask is a function of the keys, the layer and the place in the block, so
  that a block that is computed again gets the same ones.

  Attributes:
    rngs: keys 'drop_path' and 'dropout'; None where nothing is dropped.
    tower: a number that keeps towers apart.
    path_rates: of drop path, by layer; the last one goes on.
    attention_rates: of attention probabilities, likewise.
    unit: 'token' = an index of axis 1 (token position, or frame of a prompt) is
      kept or dropped for the whole batch; 'sample' = one clip or text is.
  """

  rngs: dict[str, jax.Array] | None
  tower: int
  path_rates: tuple[float, ...]
  attention_rates: tuple[float, ...]
  unit: str = 'token'

  def hooks(self, frames: int) -> Hooks:
    """Builds the hooks of what is dropped in both towers."""
    if self.rngs is None:
      return Hooks()
    return Hooks(
        reweigh=lambda layer, w: self.attention(layer, 'attention', w),
        around_attn=lambda layer, y: self.path(
            layer, 'attention path', y, frames
        ),
        around_mlp=lambda layer, y: self.path(layer, 'mlp path', y, frames),
    )

  def path(
      self, layer: int, place: str, y: jax.Array, frames: int = 1
  ) -> jax.Array:
    """Drops parts of a branch [n, N, D] and scales the rest up.

    Args:
      layer: counted from 0.
      place: within the block.
      y: the branch.
      frames: how many rows in a row belong to one sample.

    Source: EZ-CLIP, clip/model.py, DropPath, where axis 0 is the token.
    Differs: none with unit 'token'.
    """
    shape = (1, y.shape[1], 1)
    if self.unit == 'sample':
      shape = (y.shape[0] // frames, 1, 1)
    rate = _at(self.path_rates, layer)
    return self._drop('drop_path', layer, place, y, rate, shape)

  def attention(self, layer: int, place: str, weights: jax.Array) -> jax.Array:
    """Drops single attention probabilities and scales the rest up."""
    rate = _at(self.attention_rates, layer)
    return self.elements(layer, place, weights, rate)

  def elements(
      self, layer: int, place: str, x: jax.Array, rate: float
  ) -> jax.Array:
    """Drops single elements and scales the rest up."""
    return self._drop('dropout', layer, place, x, rate, x.shape)

  def _drop(self, stream, layer, place, x, rate, shape):
    if self.rngs is None or not rate:
      return x
    key = jax.random.fold_in(self.rngs[stream], self.tower)
    place = layer * len(_PLACES) + _PLACES.index(place)
    key = jax.random.fold_in(key, place)
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    kept = kept.repeat(len(x) // shape[0], axis=0)
    return jnp.where(kept, x / (1 - rate), 0)


def _at(by_layer: tuple[float, ...], layer: int) -> float:
  return by_layer[min(layer, len(by_layer) - 1)]
