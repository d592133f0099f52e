"""TRX: tuples of a query's frames ask those of a class what they know."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.torch_like import Norm, linear

_POSITION_SCALE = 0.1


class TemporalCrossTransformer(nn.Module):
  """Similarity by attention from ordered tuples of frames to a class's tuples.

  Every tuple of a query's frames asks all tuples of a class, over all of its
  sequences; the similarity is minus the mean squared distance between the
  values of the query's tuples and what they get, averaged over tuple lengths.

  Attributes:
    lengths: frames per tuple, one attention for each.
    width: of keys and values.
    dropout: on frames with their positions, in training.

  Source: Perrett et al., "Temporal-Relational CrossTransformers", CVPR 2021;
    CLIP-FSAR, models/base/few_shot.py, CNN_TRX.
  Differs: classes are attended at once instead of one after the other.
  """

  lengths: tuple[int, ...] = (2, 3)
  width: int = 1152
  dropout: float = 0.1

  @nn.compact
  def __call__(
      self, queries: jax.Array, prototypes: jax.Array, deterministic: bool
  ) -> jax.Array:
    """Similarities.

    Args:
      queries: [E, Q, T, D].
      prototypes: [E, N, S, T, D].
      deterministic: whether dropout is off; else a 'dropout' key is needed.

    Returns:
      float32 [E, Q, N].

    Raises:
      ValueError: clips shorter than a tuple.
    """
    num_frames, features = queries.shape[-2:]
    if max(self.lengths) > num_frames:
      raise ValueError(
          f'tuples of {max(self.lengths)} out of {num_frames} frames.'
      )
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    positions = _POSITION_SCALE * sinusoids(num_frames, features)
    queries = drop(queries.astype(jnp.float32) + positions)
    prototypes = drop(prototypes.astype(jnp.float32) + positions)
    similarities = []
    for length in self.lengths:
      tuples = np.array([*itertools.combinations(range(num_frames), length)])

      def project(name, x, fan_in=length * features):
        return linear(self.width, fan_in, True, name, jnp.float32)(x)

      def joined(x, tuples=tuples):
        # [..., T, D] -> [..., tuples, length * D].
        return x[..., tuples, :].reshape(*x.shape[:-2], len(tuples), -1)

      # One layer for both sides.
      asked = joined(queries)  # [E, Q, P, L D]
      given = joined(prototypes)
      e, n = given.shape[:2]
      given = given.reshape(e, n, -1, given.shape[-1])  # [E, N, S P, L D]
      both = jnp.concatenate(
          [x.reshape(e, -1, x.shape[-1]) for x in (asked, given)], axis=1
      )
      keys = Norm(name=f'norm_k.{length}')(project(f'k_linear.{length}', both))
      values = project(f'v_linear.{length}', both)
      count = asked.shape[1] * asked.shape[2]

      def parts(x, asked=asked, given=given, count=count):
        return (
            x[:, :count].reshape(*asked.shape[:-1], -1),
            x[:, count:].reshape(*given.shape[:-1], -1),
        )

      asked_keys, given_keys = parts(keys)
      asked_values, given_values = parts(values)
      scores = jnp.einsum('eqpw,enrw->eqnpr', asked_keys, given_keys)
      weights = jax.nn.softmax(scores * self.width**-0.5)
      answers = jnp.einsum('eqnpr,enrw->eqnpw', weights, given_values)
      gaps = jnp.square(asked_values[:, :, None] - answers).sum((-1, -2))
      similarities.append(-gaps / len(tuples))
    return sum(similarities) / len(similarities)


def sinusoids(length: int, width: int) -> np.ndarray:
  """Positions as sines and cosines of many wavelengths, float32 [T, D]."""
  angles = np.arange(length)[:, None] * np.exp(
      np.arange(0, width, 2) * (-np.log(10000.0) / width)
  )
  table = np.zeros((length, width), np.float32)
  table[:, 0::2] = np.sin(angles)
  table[:, 1::2] = np.cos(angles[:, : width // 2])
  return table
