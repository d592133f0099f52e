"""Episodes as arrays: which clips are support, which are queries."""

import jax
import jax.numpy as jnp


def shape(batch: dict[str, jax.Array], num_clips: int) -> tuple[int, int, int]:
  """(N, K, NQ) of episodes of `num_clips` clips, from the shapes alone.

  Args:
    batch: with 'way' [E, N] and 'label' [E, NQ].
    num_clips: V = N K + NQ.

  Raises:
    ValueError: no K that fits.
  """
  way, queries = batch['way'].shape[1], batch['label'].shape[1]
  shot, left = divmod(num_clips - queries, way)
  if left or shot < 1:
    raise ValueError(
        f'episodes of {num_clips} clips with {way} classes and {queries} '
        'queries have no whole number of shots.'
    )
  return way, shot, queries


def split(
    frames: jax.Array, batch: dict[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """[E, V, T, D] -> support [E, N, K, T, D], queries [E, NQ, T, D]."""
  way, shot, _ = shape(batch, frames.shape[1])
  support = frames[:, : way * shot]
  support = support.reshape(support.shape[0], way, shot, *support.shape[2:])
  return support, frames[:, way * shot :]


def classes_of_clips(
    batch: dict[str, jax.Array], num_clips: int
) -> jax.Array:
  """The class, in the list's numbering, of every clip; int32 [E, V]."""
  _, shot, _ = shape(batch, num_clips)
  queries = jnp.take_along_axis(batch['way'], batch['label'], axis=1)
  support = jnp.repeat(batch['way'], shot, axis=1)
  return jnp.concatenate([support, queries], axis=1)
