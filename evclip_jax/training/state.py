"""What changes during training, and the random keys of a step."""

from typing import Any

import flax.struct
import jax
import optax

from data_pipelines import randomness


class TrainState(flax.struct.PyTreeNode):
  """The part of a run that a checkpoint holds.

  Attributes:
    step: int32 scalar, optimizer steps done.
    trainable: flat dict path -> float32 leaf.
    opt_state: the optimizer's state over `trainable`.
    statistics: flat dict of leaves that change without a gradient.
  """

  step: jax.Array
  trainable: dict[str, jax.Array]
  opt_state: Any
  statistics: dict[str, jax.Array] = flax.struct.field(default_factory=dict)

  @property
  def weights(self) -> dict[str, jax.Array]:
    """All leaves that training changes."""
    return self.trainable | self.statistics


def create(
    trainable: dict[str, jax.Array],
    optimizer: optax.GradientTransformation,
    statistics: dict[str, jax.Array] | None = None,
) -> TrainState:
  """The state before the first step."""
  return TrainState(
      step=jax.numpy.zeros((), jax.numpy.int32),
      trainable=trainable,
      opt_state=optimizer.init(trainable),
      statistics=statistics or {},
  )


def rngs_for(seed: int, step: jax.Array) -> dict[str, jax.Array]:
  """The random keys of one training step, by stream name.

  Nothing is stored: the keys are a function of the run's seed and the step.
  """
  return {
      name: jax.random.fold_in(
          jax.random.key(randomness.fold(seed, f'step/{name}')), step
      )
      for name in ('drop_path', 'dropout', 'pixels')
  }


def init_rng(seed: int) -> jax.Array:
  """The key a method's own parameters are drawn with."""
  return jax.random.key(randomness.fold(seed, 'init'))
