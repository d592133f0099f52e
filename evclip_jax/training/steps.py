"""Defines the training state, its random keys, and the jitted steps.

They are the same for every method. Shardings are set by `devices` at the
boundary of `jit`, never inside a model.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from data_pipelines import randomness
from evclip_jax.methods.base import Method, VideoFeatures
from evclip_jax.training import devices
from evclip_jax.training.params import merge

# The random keys of a training step.
STREAMS = ('drop_path', 'dropout', 'pixels')
# Texts encoded at once, to bound the memory for hundreds of classes.
_TEXT_CHUNK = 128


class TrainState(flax.struct.PyTreeNode):
  """Holds all that training changes, which checkpoints save.

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
    """Returns all leaves that training changes."""
    return self.trainable | self.statistics


def new_state(
    trainable: dict[str, Any],
    optimizer: optax.GradientTransformation,
    statistics: dict[str, Any] | None = None,
) -> TrainState:
  """Returns the state before the first step."""
  step = jnp.zeros((), jnp.int32)
  return TrainState(
      step, trainable, optimizer.init(trainable), statistics or {}
  )


def init_rng(seed: int) -> jax.Array:
  """Returns the random key for the initial parameters of a method."""
  return jax.random.key(randomness.fold(seed, 'init'))


def rngs_for(seed: int, step: jax.Array) -> dict[str, jax.Array]:
  """Returns the random keys of a step, {stream: key}, from seed and step."""
  return {
      name: jax.random.fold_in(
          jax.random.key(randomness.fold(seed, f'step/{name}')), step
      )
      for name in STREAMS
  }


def make_train_step(
    method: Method,
    optimizer: optax.GradientTransformation,
    schedule: Callable,
    mesh: Mesh,
    frozen_shardings: dict[str, Any],
    seed: int,
    parts: int = 1,
) -> Callable:
  """Builds the jitted (state, frozen, classes, batch) -> (state, metrics).

  Gradients and the state cover the trainable leaves only. `metrics` has the
  loss, its terms, the gradient's norm, the learning rate and 'finite', a dict
  that tells for each quantity whether it is finite. The batch is processed in
  `parts`, whose gradients are averaged (train.accumulate), for a loss that is a
  mean over rows.
  """

  def objective(trainable, statistics, frozen, classes, batch, rngs):
    params = merge(frozen, statistics, trainable)
    seen = _seen(method, batch, rngs['pixels'])
    if method.targets is not None:
      target = method.targets(batch['label'], classes.shape[1], rngs['pixels'])
      batch = batch | {'target': target}
    features = method.video(params, seen, rngs, True)
    loss, terms = method.loss(params, features, classes, batch, rngs)
    return loss, (terms, features.statistics)

  gradient = jax.value_and_grad(objective, has_aux=True)

  def in_parts(trainable, statistics, frozen, classes, batch, rngs):
    def one(number, rows):
      own = {n: jax.random.fold_in(key, number) for n, key in rngs.items()}
      return gradient(trainable, statistics, frozen, classes, rows, own)

    def add(total, part):
      found = one(*part)
      return jax.tree.map(lambda a, b: a + b / parts, total, found), None

    # A part takes every n-th row, so that each device keeps its rows.
    rows = jax.tree.map(
        lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch
    )
    shapes = jax.eval_shape(one, 0, jax.tree.map(lambda x: x[0], rows))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.scan(add, zeros, (jnp.arange(parts), rows))[0]

  def step(state: TrainState, frozen, classes, batch):
    rngs = rngs_for(seed, state.step)
    find = gradient if parts == 1 else in_parts
    (loss, (terms, statistics)), grads = find(
        state.trainable, state.statistics, frozen, classes, batch, rngs
    )
    updates, opt_state = optimizer.update(
        grads, state.opt_state, state.trainable
    )
    squares = {path: jnp.square(x).sum() for path, x in grads.items()}
    metrics = {
        'loss': loss,
        **terms,
        'gradient_norm': jnp.sqrt(sum(squares.values())),
        'learning_rate': schedule(state.step),
    }
    trainable = optax.apply_updates(state.trainable, updates)
    finite = {name: jnp.isfinite(value) for name, value in metrics.items()}
    for path, x in trainable.items():
      finite[f'gradient of {path}'] = jnp.isfinite(squares[path])
      finite[f'update of {path}'] = jnp.isfinite(x).all()
    new = TrainState(
        state.step + 1, trainable, opt_state, state.statistics | statistics
    )
    return new, metrics | {'finite': finite}

  return devices.jit(step, mesh, frozen_shardings, 4, donate_argnums=0)


def make_see_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds the jitted (weights, frozen, batch of clips) -> features.

  The result has 'clip', 'frames' and 'maps' of `VideoFeatures` and the batch's
  fields except the video, replicated: every host gets all rows in one order.
  """

  def step(weights, frozen, batch):
    seen = _seen(method, batch)
    features = method.video(merge(frozen, weights), seen, None, False)
    maps = {k: m.astype(jnp.float32) for k, m in features.maps.items()}
    found = {'clip': features.clip, 'frames': features.frames, 'maps': maps}
    return _fields(batch) | found

  return devices.jit(step, mesh, frozen_shardings, 3)


def make_score_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds the jitted (weights, frozen, classes, seen[, examples]) -> logits.

  `seen` is the result of `make_see_step`'s step; the rest is as for `score`.
  """

  def step(weights, frozen, *given):
    return score(method, merge(frozen, weights), *given)

  compiled = devices.jit(step, mesh, frozen_shardings, 5, batch=False)

  def score_step(weights, frozen, classes, seen, examples=None):
    seen = {name: seen[name] for name in ('clip', 'frames')}
    return compiled(weights, frozen, classes, seen, examples)

  return score_step


def score(
    method: Method,
    params: dict,
    classes: jax.Array,
    seen: dict[str, jax.Array],
    examples: dict[str, jax.Array] | None = None,
) -> jax.Array:
  """Computes the logits of clips, float32 [B, K], by `Method.score`.

  `classes` are embeddings [M, K, E]; `seen` has 'clip' and 'frames' of
  `VideoFeatures` with B rows; `examples` has the same for the support clips,
  class by class, with which an episodic method compares.
  """
  rows = seen['clip'].shape[0]
  batch = {
      'label': jnp.zeros(rows, jnp.int32),
      'mask': jnp.ones(rows),
      'index': jnp.zeros(rows, jnp.int32),
  }
  if examples is None:
    logits = method.score(params, VideoFeatures(**seen), classes, batch)
    return logits.astype(jnp.float32)
  # Make one episode, with the examples as support and the clips as queries.
  seen = jax.tree.map(
      lambda s, q: jnp.concatenate([s, q])[None], examples, seen
  )
  batch = {
      'label': batch['label'][None],
      'way': jnp.arange(classes.shape[1])[None],
      'mask': jnp.ones(1),
      'index': jnp.zeros(1, jnp.int32),
  }
  logits = method.score(params, VideoFeatures(**seen), classes, batch)[0]
  return logits.astype(jnp.float32)


def make_frozen_step(
    method: Method,
    mesh: Mesh,
    frozen_shardings: dict[str, Any],
    seed: int | None,
) -> Callable:
  """Builds the jitted (number, frozen, batch of clips) -> frozen features.

  The result has 'frozen', from `Method.frozen`, and the batch's fields except
  the video, replicated. With a seed, clips are augmented as in training, with
  the random keys of step `number`; otherwise they are as in scoring.
  """

  def step(number, frozen, batch):
    train = seed is not None
    rngs = rngs_for(seed, number) if train else None
    pixels = method.pixels(batch['video'], rngs['pixels'] if train else None)
    found = method.frozen(merge(frozen), pixels, rngs, train)
    return _fields(batch) | {'frozen': found}

  return devices.jit(step, mesh, frozen_shardings, 3)


def _seen(method: Method, batch, rng: jax.Array | None = None):
  """Returns the input of `Method.video`: pixels, or cached frozen features."""
  if 'frozen' in batch:
    return batch['frozen']
  return method.pixels(batch['video'], rng)


def _fields(batch):
  return {k: v for k, v in batch.items() if k not in ('video', 'frozen')}


def make_class_bank(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, tokens [M, K, L]) -> class embeddings [M, K, E].

  It is called once if texts are frozen, otherwise once per evaluation.
  """
  encode = devices.jit(
      lambda weights, frozen, tokens: method.text(
          merge(frozen, weights), tokens
      ),
      mesh,
      frozen_shardings,
      3,
      batch=False,
  )

  def bank(weights, frozen, tokens: np.ndarray) -> jax.Array:
    m, k, length = tokens.shape
    if not method.texts_in_parts:
      return encode(weights, frozen, tokens)
    rows = tokens.reshape(1, m * k, length)
    pad = -rows.shape[1] % min(_TEXT_CHUNK, m * k)
    # Pad with copies of the last text, so that all chunks have one shape.
    rows = np.concatenate([rows, np.repeat(rows[:, -1:], pad, axis=1)], axis=1)
    chunks = [
        encode(weights, frozen, rows[:, i : i + _TEXT_CHUNK])
        for i in range(0, rows.shape[1], _TEXT_CHUNK)
    ]
    classes = jnp.concatenate(chunks, axis=1)[:, : m * k]
    return classes.reshape(m, k, -1)

  return bank
