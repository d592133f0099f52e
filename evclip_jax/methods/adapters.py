"""Adapters for the blocks of a frozen CLIP, attention over time, drop path."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models.clip.hooks import Attend, Hooks, Reweigh
from evclip_jax.models.pixels import unfold_time
from evclip_jax.models.torch_like import gelu, linear

# What drop path keeps or drops as a whole.
DROP_UNITS = ('token', 'sample')
# Width of an adapter's bottleneck as a share of the width around it.
_SHARE = 0.25
# Places of random choices in a block; each has its own keys.
_PLACES = (
    'prompt',
    'time path',
    'time attention',
    'attention path',
    'attention',
    'mlp path',
)


class Adapter(nn.Module):
  """Computes x + W2 gelu(W1 x + b1) + b2, with W2 and b2 initially 0.

  Attributes:
    skip: whether x is added.
    dtype: of the computation.
    std: of W1's initialisation, with b1 = 0 (AIM); None = torch's default.

  Source: EZ-CLIP, clip/model.py, Adapter; AIM, models/vit_clip.py, Adapter.
  Differs: none.
  """

  skip: bool = True
  dtype: Any = jnp.float32
  std: float | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [..., D] to [..., D] of the same dtype."""
    width = x.shape[-1]
    narrow = int(_SHARE * width)
    if self.std is None:
      first = linear(narrow, width, True, 'D_fc1', self.dtype)
    else:
      normal = nn.initializers.truncated_normal(self.std)
      first = nn.Dense(
          narrow, kernel_init=normal, dtype=self.dtype, name='D_fc1'
      )
    y = nn.Dense(
        width, kernel_init=nn.initializers.zeros, dtype=self.dtype, name='D_fc2'
    )(gelu(first(x))).astype(x.dtype)
    return x + y if self.skip else y


def init_adapters(
    rng: jax.Array, layers: int, width: int, std: float | None = None
) -> dict[str, Any]:
  """Draws the leaves of one adapter per layer: 'adapter.0' and so on."""
  # Vectorised, since one by one they would take a minute to compile.
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
  """Attends over the frames of a clip, separately for every token position.

  Args:
    x: [B*T, N, D], the shape of the result too.
    num_frames: T.
    attend, reweigh, **kwargs: see `hooks.Attend`.

  Source: EZ-CLIP, clip/model.py, the T_Adapter branch; AIM,
    models/vit_clip.py.
  Differs: stays within a clip; the original mixes up clips of a batch.
  """
  y = unfold_time(x, num_frames).swapaxes(1, 2)  # [B, N, T, D]
  return attend(y, reweigh, **kwargs).swapaxes(1, 2).reshape(x.shape)


def drop_rates(highest: float, layers: int) -> tuple[float, ...]:
  """Returns rates that grow linearly from 0 in the first layer to `highest`."""
  return tuple(highest * i / max(layers - 1, 1) for i in range(layers))


@dataclasses.dataclass(frozen=True)
class Drops:
  """Applies drop path and dropout to one tower in one step.

  Masks depend only on the keys, the layer and the place in the block, so a
  rematerialised block gets the same ones.

  Attributes:
    rngs: keys 'drop_path' and 'dropout'; None = nothing is dropped.
    tower: a number that distinguishes towers.
    path_rates: rates of drop path by layer; the last one also holds for further
      layers.
    attention_rates: rates of dropout of attention probabilities, likewise.
    unit: 'token' = drop path keeps or drops an index of axis 1 (token position,
      or frame of a prompt) for the whole batch; 'sample' = a clip or text.
  """

  rngs: dict[str, jax.Array] | None
  tower: int
  path_rates: tuple[float, ...]
  attention_rates: tuple[float, ...]
  unit: str = 'token'

  def hooks(self, frames: int) -> Hooks:
    """Builds the hooks for drop path and dropout in the blocks of a tower."""
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
      layer: number of the block, from 0.
      place: one of `_PLACES`.
      y: the branch.
      frames: number of consecutive rows that belong to one sample.

    Source: EZ-CLIP, clip/model.py, DropPath, where axis 0 is the token.
    Differs: none with unit 'token'.
    """
    shape = (1, y.shape[1], 1)
    if self.unit == 'sample':
      shape = (y.shape[0] // frames, 1, 1)
    rate = _rate(self.path_rates, layer)
    return self._drop('drop_path', layer, place, y, rate, shape)

  def attention(self, layer: int, place: str, weights: jax.Array) -> jax.Array:
    """Drops single attention probabilities and scales the rest up."""
    rate = _rate(self.attention_rates, layer)
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


def _rate(by_layer: tuple[float, ...], layer: int) -> float:
  return by_layer[min(layer, len(by_layer) - 1)]
