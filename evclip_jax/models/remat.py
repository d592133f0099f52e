"""Rematerialises blocks: keeps what is slow to recompute, and no more.

With frozen weights, a block keeps its input and the values marked by `kept` and
`wide`: queries, keys and values, the residual between attention and MLP, the
MLP's hidden values. Norms, softmax and activations are recomputed.
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
  """Marks a value to keep for the backward pass; returns it unchanged."""
  return checkpoint_name(x, _KEPT)


def wide(x: jax.Array) -> jax.Array:
  """Marks a large value, which `lean` blocks do not keep."""
  return checkpoint_name(x, _WIDE)


def apply(
    module: nn.Module,
    make: Callable,
    name: str,
    everything: bool,
    *given: Any,
    lean: bool = False,
) -> jax.Array:
  """Applies a block of a module and keeps only marked values.

  Args:
    module: the parent of the block.
    make: (**fields of a module) -> the block.
    name: of the block.
    everything: whether to recompute all of it: less memory, a third more time.
    *given: the block's arguments, trees of arrays. Arrays that it closes over
      may be trained too.
    lean: whether to recompute `wide` values.
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
  """Returns x, but only once `other` is computed.

  Otherwise a compiler may recompute all blocks at once, as those for CPUs do,
  and nothing is saved.
  """
  if not jnp.issubdtype(x.dtype, jnp.floating) or x.ndim < 3:
    return x
  return x + (0 * other.ravel()[0]).astype(x.dtype)
