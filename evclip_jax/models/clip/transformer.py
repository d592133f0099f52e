"""CLIP's transformer, of which both towers are made."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models import remat
from evclip_jax.models.clip.attention import Attention, normal
from evclip_jax.models.clip.hooks import PLAIN, Hooks, Reweigh
from evclip_jax.models.torch_like import EPSILON, gelu

# One block in three recomputes its MLP's hidden values: 80 of 600 MB less per
# clip (ViT-B/16, 8 frames, float32) for 5 % more operations.
_LEAN = 3


def norm(dtype: Any, name: str | None = None) -> nn.LayerNorm:
  """Makes a layer norm that computes in float32 and returns `dtype`."""
  return nn.LayerNorm(EPSILON, dtype, use_fast_variance=False, name=name)


def quick_gelu(x: jax.Array) -> jax.Array:
  """Computes x sigmoid(1.702 x), the activation of OpenAI's CLIP."""
  return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS = {
    'quick_gelu': quick_gelu,
    'gelu': gelu,
    'gelu_tanh': functools.partial(jax.nn.gelu, approximate=True),
}


class Mlp(nn.Module):
  """Applies two dense layers with four times the width between them."""

  activation: str
  std_out: float
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width = x.shape[-1]
    y = nn.Dense(
        4 * width,
        dtype=self.dtype,
        kernel_init=normal((2 * width) ** -0.5),
        name='c_fc',
    )(x)
    y = remat.wide(y)
    return nn.Dense(
        width, dtype=self.dtype, kernel_init=normal(self.std_out), name='c_proj'
    )(ACTIVATIONS[self.activation](y))


class Block(nn.Module):
  """Applies attention and an MLP with residuals and hooks; see `Hooks`.

  Attributes:
    layer: number of the block, from 0.
    heads, causal: see `Attention`.
    activation: of the MLP, a key of `ACTIVATIONS`.
    std_out: standard deviation of the initial output projections.
    first_only: whether to compute the first token's result only.
    hooks: what a method adds; they add no parameters.
    dtype: of the computation.
  """

  layer: int
  heads: int
  causal: bool
  activation: str
  std_out: float
  first_only: bool
  hooks: Hooks
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [n, N, D] to [n, N, D], or [n, 1, D] if `first_only`."""
    hooks, layer = self.hooks, self.layer
    queries = 1 if self.first_only else None
    attention = Attention(
        self.heads, self.causal, self.std_out, self.dtype, name='attn'
    )
    ln_1 = norm(self.dtype, 'ln_1')

    def attend(x, reweigh=None, queries=None, adapt=lambda y: y):
      return attention(adapt(ln_1(x)), reweigh, queries).astype(x.dtype)

    if hooks.before_attn is not None:
      x = hooks.before_attn(layer, x, attend)
    y = attend(x, self._reweigh(), queries)
    if hooks.around_attn is not None:
      y = hooks.around_attn(layer, y)
    x = x[:, :queries] + y
    if hooks.after_attn is not None:
      x = hooks.after_attn(layer, x)
    x = remat.kept(x)
    normed = norm(self.dtype, 'ln_2')(x)
    y = Mlp(self.activation, self.std_out, self.dtype, name='mlp')(normed)
    if hooks.beside_mlp is not None:
      y = y + hooks.beside_mlp(layer, normed)
    if hooks.around_mlp is not None:
      y = hooks.around_mlp(layer, y)
    return x + y

  def _reweigh(self) -> Reweigh | None:
    """Combines the hooks that get the block's attention probabilities."""
    hooks, layer = self.hooks, self.layer
    if hooks.reweigh is None and hooks.attention_map is None:
      return None

    def reweigh(weights):
      if hooks.reweigh is not None:
        weights = hooks.reweigh(layer, weights)
      if hooks.attention_map is not None:
        hooks.attention_map(layer, weights)
      return weights

    return reweigh


class Transformer(nn.Module):
  """Stacks blocks; see `Block` and `Clip`.

  Source: openai/CLIP, clip/model.py, Transformer.
  Differs: none (batch first).
  """

  layers: int
  heads: int
  causal: bool = False
  activation: str = 'quick_gelu'
  hooks: Hooks = PLAIN
  remat: bool | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, first_only: bool = False) -> jax.Array:
    """Runs the blocks.

    Args:
      x: [n, N, D].
      first_only: whether only the first token's result is used; then the last
        block computes no other, unless hooks see its tokens.

    Returns:
      [n, N, D], or [n, 1, D] if `first_only`.
    """
    block = functools.partial(
        Block,
        heads=self.heads,
        causal=self.causal,
        activation=self.activation,
        std_out=x.shape[-1] ** -0.5 * (2 * self.layers) ** -0.5,
        hooks=self.hooks,
        dtype=self.dtype,
    )
    for layer in range(self.layers):
      last = layer == self.layers - 1
      make = functools.partial(
          block,
          layer=layer,
          first_only=first_only and last and not self.hooks.in_blocks,
      )
      name = f'resblocks.{layer}'
      # What a hook records inside a rematerialised block could not leave it.
      if self.remat is None or self.hooks.records:
        x = make(name=name)(x)
      else:
        lean = not layer % _LEAN
        x = remat.apply(self, make, name, self.remat, x, lean=lean)
    return x[:, :1] if first_only else x
