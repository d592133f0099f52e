"""What a block keeps for its backward pass: what would take long to redo.

With frozen weights that is its input and what is named by `kept`: queries, keys
and values, the residual between attention and MLP, the MLP's hidden values.
Norms, softmax and activations are computed again.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

_KEPT = 'kept'
_WIDE = 'wide'


def kept(x: jax.Array) -> jax.Array:
  """Marks what the backward pass finds; changes nothing."""
  return checkpoint_name(x, _KEPT)


def wide(x: jax.Array) -> jax.Array:
  """Marks the largest of it, which some blocks keep and others redo."""
  return checkpoint_name(x, _WIDE)


def apply(
    module: nn.Module,
    make: Callable,
    name: str,
    everything: bool,
    *given: Any,
    lean: bool = False,
) -> jax.Array:
  """Computes a block of a module, keeping only what is marked.

  Args:
    module: whose block it is.
    make: (**fields of a module) -> the block, which calls `kept`.
    name: of the block.
    everything: redo all of it: less memory, a third more time.
    *given: trees of arrays for the block; what it closes over may train, too.
    lean: keep nothing `wide`.
  """
  if module.is_initializing():
    return make(name=name)(*given)
  keep = jax.checkpoint_policies.save_only_these_names(
      _KEPT, *(() if lean else (_WIDE,))
  )
  block = jax.checkpoint(
      make(parent=None).apply, policy=None if everything else keep
  )
  given = {'params': module.variables['params'][name]}, *given
  block, closed = jax.closure_convert(block, *given)

  @jax.custom_vjp
  def run(*given):
    return block(*given)

  def backward(gradient, dy):
    return jax.tree.map(lambda x: _after(x, dy), gradient)(dy)

  run.defvjp(lambda *given: jax.vjp(block, *given), backward)
  return run(*given, *closed)


def _after(x: jax.Array, other: jax.Array) -> jax.Array:
  """Returns x, not before `other` is there.

  Else a compiler may redo all blocks at once, before any is needed, and nothing
  is saved: those for CPUs do.
  """
  if not jnp.issubdtype(x.dtype, jnp.floating) or x.ndim < 3:
    return x
  return x + (0 * other.ravel()[0]).astype(x.dtype)
