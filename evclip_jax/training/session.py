"""A method with its weights on the devices, ready to train or to score."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import jax
import ml_collections
import numpy as np
import optax
from jax.sharding import Mesh

from evclip_jax.training import devices, params, state, steps
from evclip_jax.training.model import Model

Batch = dict[str, np.ndarray]


class EvalSet(Protocol):
  """A list of clips to score.

  Attributes:
    name: such as 'val' or 'test'.
    class_names: what its labels mean; a list may have classes of its own.
    num_clips: clips in the list.
    num_views: views per clip.
    batch_sizes: rows of a batch over all processes, by the key that sets them.
    episodes: which clips each episode is made of, if the list is scored in
      episodes (`episode_eval.EpisodeSet`), else None.
  """

  name: str
  class_names: list[str]
  num_clips: int
  num_views: int
  batch_sizes: dict[str, int]
  episodes: Any

  def batches(self, first: int = 0) -> Iterable[Batch]:
    """Every clip once per view, the last batch padded with mask 0.

    Args:
      first: batches to leave out at the beginning.
    """


class Data(Protocol):
  """What training needs of a data pipeline, whatever made it.

  Attributes:
    class_names: K names of the training clips, in label order.
    description: JSON values for the run card: lists, hashes, counts.
    batch_size: rows of a training batch over all processes.
    batch_key: the config key that sets it, for messages.
    steps_per_epoch: steps that the learning rate's schedule calls an epoch.
    total_steps: optimizer steps of the run.
    eval_every_steps: how often the watched lists are scored.
    checkpoint_every_steps: how often the state is saved.
    evals: lists to score; 'val' is for selection, all others are test lists.
  """

  class_names: list[str]
  description: dict[str, Any]
  batch_size: int
  batch_key: str
  steps_per_epoch: int
  total_steps: int
  eval_every_steps: int
  checkpoint_every_steps: int
  evals: dict[str, EvalSet]

  def train(self, start_step: int):
    """Context manager of an endless iterator with `stats()`."""

  def write(self, folder: pathlib.Path):
    """Writes the lists and class names into the run folder."""


@dataclasses.dataclass
class Session:
  """Compiled functions and placed frozen weights.

  Attributes:
    model: the method and its host parameters.
    mesh: the devices.
    trainable: flat dict of initial trainable leaves, on the host.
    statistics: likewise of leaves that change without a gradient.
    frozen: flat dict of frozen leaves, on the devices.
    shardings: of the frozen leaves.
    class_names: K names of the training clips.
  """

  model: Model
  mesh: Mesh
  trainable: dict[str, np.ndarray]
  statistics: dict[str, np.ndarray]
  frozen: dict[str, jax.Array]
  shardings: dict[str, Any]
  class_names: list[str]

  def __post_init__(self):
    method = self.model.method
    self.eval_step = steps.make_eval_step(method, self.mesh, self.shardings)
    self._bank = steps.make_class_bank(method, self.mesh, self.shardings)
    self._weights, self._banks = None, {}

  @functools.cached_property
  def tokens(self) -> np.ndarray:
    """Prompts of the training classes, [M, K, L]."""
    return self.model.tokens(self.class_names)

  def state(self, optimizer: optax.GradientTransformation) -> state.TrainState:
    """The state before the first step, on the host."""
    return state.create(self.trainable, optimizer, self.statistics)

  def classes(
      self,
      weights: dict[str, jax.Array],
      class_names: Sequence[str] | None = None,
  ) -> jax.Array:
    """Class embeddings, computed once, or once per weights if texts train.

    Args:
      weights: what training changes, on the devices.
      class_names: K names; the training classes if there are none.

    Returns:
      [M, K, E].
    """
    names = tuple(class_names or self.class_names)
    if self.model.method.text_trains and weights is not self._weights:
      self._weights, self._banks = weights, {}
    if names not in self._banks:
      tokens = self.model.tokens(list(names))
      self._banks[names] = self._bank(weights, self.frozen, tokens)
    return self._banks[names]


def start(
    config: ml_collections.ConfigDict, model: Model, class_names: list[str]
) -> Session:
  """Places the weights and prepares the functions; compiles nothing yet."""
  mesh = devices.make_mesh(config.mesh.data)
  trainable, rest = params.split(model.params, model.method.trainable)
  statistics, frozen = params.split(rest, model.method.statistics)
  shardings = devices.frozen_shardings(
      mesh, frozen, config.mesh.shard_frozen
  )
  return Session(
      model=model,
      mesh=mesh,
      trainable=trainable,
      statistics=statistics,
      frozen=jax.device_put(frozen, shardings),
      shardings=shardings,
      class_names=class_names,
  )
