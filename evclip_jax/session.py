"""A method with its weights on the devices, ready to train or to score."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any, Protocol

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from evclip_jax import evaluate, params, reporting, sharding, step
from evclip_jax.model import Model

Batch = dict[str, np.ndarray]


class EvalSet(Protocol):
  """A list of clips to score.

  Attributes:
    name: such as 'val' or 'test'.
    num_clips: clips in the list.
    num_views: views per clip.
  """

  name: str
  num_clips: int
  num_views: int

  def batches(self) -> Iterable[Batch]:
    """Every clip once per view, the last batch padded with mask 0."""


class Data(Protocol):
  """What training needs of a data pipeline, whatever made it.

  Attributes:
    class_names: K names in label order.
    description: JSON values for the run card: lists, hashes, counts.
    batch_size: rows of a training batch over all processes.
    steps_per_epoch: whole batches in one pass.
    evals: lists to score; 'val' is for selection, all others are test lists.
  """

  class_names: list[str]
  description: dict[str, Any]
  batch_size: int
  steps_per_epoch: int
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
    frozen: flat dict of frozen leaves, on the devices.
    shardings: of the frozen leaves.
    tokens: class prompts [M, K, L].
    class_names: K names.
  """

  model: Model
  mesh: Mesh
  trainable: dict[str, np.ndarray]
  frozen: dict[str, jax.Array]
  shardings: dict[str, Any]
  tokens: np.ndarray
  class_names: list[str]

  def __post_init__(self):
    method = self.model.method
    self._eval_step = step.make_eval_step(method, self.mesh, self.shardings)
    self._bank = step.make_class_bank(method, self.mesh, self.shardings)
    self._frozen_classes = None

  def classes(self, trainable: dict[str, jax.Array]) -> jax.Array:
    """Class embeddings [M, K, E]; computed once where nothing there trains."""
    if self.model.method.text_trains:
      return self._bank(trainable, self.frozen, self.tokens)
    if self._frozen_classes is None:
      self._frozen_classes = self._bank(trainable, self.frozen, self.tokens)
    return self._frozen_classes

  def score(
      self, trainable: dict[str, jax.Array], data: EvalSet
  ) -> tuple[np.ndarray, np.ndarray]:
    """(log-probabilities [N, K], labels [N]) of a whole list."""
    classes = self.classes(trainable)
    total = data.num_clips * data.num_views
    bar = reporting.progress(total, f'evaluate {data.name}', unit='clip')
    with bar:
      return evaluate.collect(
          lambda b: self._eval_step(trainable, self.frozen, classes, b),
          data.batches(),
          self.mesh,
          data.num_clips,
          data.num_views,
          bar.update,
      )


def start(
    config: ml_collections.ConfigDict, model: Model, class_names: list[str]
) -> Session:
  """Places the weights and prepares the functions; compiles nothing yet."""
  mesh = sharding.make_mesh(config.mesh.data)
  trainable, frozen = params.split(model.params, model.method.trainable)
  shardings = sharding.frozen_shardings(
      mesh, frozen, config.mesh.shard_frozen
  )
  return Session(
      model=model,
      mesh=mesh,
      trainable=trainable,
      frozen=jax.device_put(frozen, shardings),
      shardings=shardings,
      tokens=model.tokens(class_names),
      class_names=class_names,
  )
