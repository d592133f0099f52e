"""The jitted functions of episodic evaluation: features, scores of episodes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from evclip_jax.methods.base import Method, VideoFeatures
from evclip_jax.training import devices
from evclip_jax.training.params import merge


def make_feature_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, batch of clips) -> rows on every host.

  The result has 'clip' and 'frames' of `VideoFeatures` and the batch's other
  fields.
  """

  def step(weights, frozen, batch):
    params = merge(frozen, weights)
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, None, False)
    rows = {k: v for k, v in batch.items() if k != 'video'}
    return rows | {'clip': features.clip, 'frames': features.frames}

  return _jit(step, mesh, frozen_shardings, 2)


def make_episode_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, classes, batch of episodes) -> rows."""

  def step(weights, frozen, classes, batch):
    params = merge(frozen, weights)
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, None, False)
    rows = {k: v for k, v in batch.items() if k != 'video'}
    return _judged(method, params, features, classes, rows)

  return _jit(step, mesh, frozen_shardings, 3)


def make_bank_step(
    method: Method, mesh: Mesh, frozen_shardings: dict[str, Any]
) -> Callable:
  """Builds (weights, frozen, classes, bank, batch of episodes) -> rows.

  `bank` holds 'clip' and 'frames' of every clip of the list; in place of
  'video' the batch has 'clips': int32 [E, V], positions in it.
  """

  def step(weights, frozen, classes, bank, batch):
    params = merge(frozen, weights)
    own = {name: x[batch['clips']] for name, x in bank.items()}
    features = VideoFeatures(own['clip'], own['frames'])
    rows = {k: v for k, v in batch.items() if k != 'clips'}
    return _judged(method, params, features, classes, rows)

  return _jit(step, mesh, frozen_shardings, 4)


def _judged(method, params, features, classes, rows) -> dict[str, jax.Array]:
  """The batch's fields, each query's answer [E, NQ], each episode's loss."""
  logits = method.score(params, features, classes, rows).astype(jnp.float32)
  losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, rows['label']
  )
  return rows | {
      'answer': logits.argmax(axis=-1).astype(jnp.int32),
      'loss': losses.mean(axis=-1),
  }


def _jit(step: Callable, mesh: Mesh, frozen_shardings, batch_position: int):
  """Jits (weights, frozen, ..., batch); only the batch is split."""
  everywhere = devices.replicated(mesh)
  between = [everywhere] * (batch_position - 2)
  return jax.jit(
      step,
      in_shardings=(
          everywhere,
          frozen_shardings,
          *between,
          devices.batched(mesh),
      ),
      out_shardings=everywhere,
  )
