"""Dropout, drop path and attention dropout inside of a tower's blocks."""

import dataclasses

import jax
import jax.numpy as jnp

# What one Bernoulli of a drop path decides on.
UNITS = ('token', 'sample')
# Random choices within one block; each has keys of its own.
_PLACES = (
    'prompt',
    'time path',
    'time attention',
    'attention path',
    'attention',
    'mlp path',
)


def rates(highest: float, layers: int) -> tuple[float, ...]:
  """Rates that grow in equal steps from 0 in the first layer."""
  return tuple(highest * i / max(layers - 1, 1) for i in range(layers))


@dataclasses.dataclass(frozen=True)
class Drops:
  """The random masks of one tower in one step.

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

  def path(
      self, layer: int, place: str, y: jax.Array, frames: int = 1
  ) -> jax.Array:
    """Drops parts of a branch [n, N, D], the rest is scaled up.

    Args:
      layer: counted from 0.
      place: within the block.
      y: the branch.
      frames: how many rows in a row belong to one sample.

    Source: EZ-CLIP, clip/model.py, DropPath, where axis 0 is the token.
    Differs: none with unit 'token'.
    """
    rate = _at(self.path_rates, layer)
    if self.rngs is None or not rate:
      return y
    key = self._key('drop_path', layer, place)
    if self.unit == 'token':
      kept = jax.random.bernoulli(key, 1 - rate, (1, y.shape[1], 1))
    else:
      kept = jax.random.bernoulli(key, 1 - rate, (y.shape[0] // frames, 1, 1))
      kept = kept.repeat(frames, axis=0)
    return jnp.where(kept, y / (1 - rate), 0)

  def attention(self, layer: int, place: str, weights: jax.Array) -> jax.Array:
    """Drops single attention probabilities, the rest is scaled up."""
    rate = _at(self.attention_rates, layer)
    return self.elements(layer, place, weights, rate)

  def elements(
      self, layer: int, place: str, x: jax.Array, rate: float
  ) -> jax.Array:
    """Drops single elements, the rest is scaled up."""
    if self.rngs is None or not rate:
      return x
    key = self._key('dropout', layer, place)
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)

  def _key(self, stream: str, layer: int, place: str) -> jax.Array:
    key = jax.random.fold_in(self.rngs[stream], self.tower)
    return jax.random.fold_in(
        key, layer * len(_PLACES) + _PLACES.index(place)
    )


def _at(by_layer: tuple[float, ...], layer: int) -> float:
  return by_layer[min(layer, len(by_layer) - 1)]
