"""CLIP's transformer, which both of its towers are made of."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.clip.hooks import PLAIN, Hooks, Reweigh

# PyTorch's; Flax has 1e-6.
EPSILON = 1e-5


def layer_norm(name: str, dtype: Any) -> nn.LayerNorm:
  """A layer norm computed in float32, its result in `dtype`."""
  return nn.LayerNorm(EPSILON, dtype, use_fast_variance=False, name=name)


def normal(std: float):
  """Initialises with a normal distribution of mean 0."""
  return nn.initializers.normal(std)


def quick_gelu(x: jax.Array) -> jax.Array:
  """x sigmoid(1.702 x), CLIP's activation."""
  return x * jax.nn.sigmoid(1.702 * x)


class Attention(nn.Module):
  """Self-attention; query, key and value come from one fused projection.

  Attributes:
    heads: number of heads.
    causal: whether a token sees only itself and those before it.
    std_out: of the initial output projection.
    dtype: of the computation; the softmax is in float32.
  """

  heads: int
  causal: bool
  std_out: float
  dtype: Any

  @nn.compact
  def __call__(
      self, x: jax.Array, reweigh: Reweigh | None = None
  ) -> jax.Array:
    """[..., N, D] -> [..., N, D]."""
    width = x.shape[-1]
    qkv = nn.Dense(
        3 * width,
        dtype=self.dtype,
        kernel_init=normal(width**-0.5),
        name='in_proj',
    )(x)
    qkv = qkv.reshape(*x.shape[:-1], 3, self.heads, width // self.heads)
    q, k, v = (qkv[..., i, :, :] for i in range(3))  # [..., N, h, D/h]
    scores = jnp.einsum(
        '...qhd,...khd->...hqk',
        q * (width // self.heads) ** -0.5,
        k,
        preferred_element_type=jnp.float32,
    )
    if self.causal:
      tokens = x.shape[-2]
      seen = jnp.tril(jnp.ones((tokens, tokens), bool))
      scores = jnp.where(seen, scores, -jnp.inf)
    weights = jax.nn.softmax(scores)
    if reweigh is not None:
      weights = reweigh(weights)
    y = jnp.einsum('...hqk,...khd->...qhd', weights.astype(self.dtype), v)
    return nn.Dense(
        width,
        dtype=self.dtype,
        kernel_init=normal(self.std_out),
        name='out_proj',
    )(y.reshape(x.shape))


class Mlp(nn.Module):
  """Two layers with four times the width between them."""

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
    return nn.Dense(
        width,
        dtype=self.dtype,
        kernel_init=normal(self.std_out),
        name='c_proj',
    )(quick_gelu(y))


class Block(nn.Module):
  """A residual attention block with its hooks; see `hooks.Hooks`.

  Attributes:
    layer: its number, from 0.
    heads: of its attention.
    causal: whether attention is causal.
    std_out: of the initial output projections.
    hooks: what a method adds; without effect on the parameters.
    dtype: of the computation.
  """

  layer: int
  heads: int
  causal: bool
  std_out: float
  hooks: Hooks
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[n, N, D] -> [n, N, D]."""
    hooks, layer = self.hooks, self.layer
    attention = Attention(
        self.heads, self.causal, self.std_out, self.dtype, name='attn'
    )
    ln_1 = layer_norm('ln_1', self.dtype)

    def attend(x, reweigh=None):
      return attention(ln_1(x), reweigh).astype(x.dtype)

    if hooks.before_attn is not None:
      x = hooks.before_attn(layer, x, attend)
    y = attend(x, self._reweigh())
    if hooks.around_attn is not None:
      y = hooks.around_attn(layer, y)
    x = x + y
    if hooks.after_attn is not None:
      x = hooks.after_attn(layer, x)
    normed = layer_norm('ln_2', self.dtype)(x)
    y = Mlp(self.std_out, self.dtype, name='mlp')(normed)
    if hooks.beside_mlp is not None:
      y = y + hooks.beside_mlp(layer, normed)
    if hooks.around_mlp is not None:
      y = hooks.around_mlp(layer, y)
    return x + y

  def _reweigh(self) -> Reweigh | None:
    """What happens to the probabilities of the block's main attention."""
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
  """A stack of blocks.

  Attributes:
    layers: number of blocks.
    heads: attention heads of each.
    causal: whether attention is causal.
    hooks: what a method adds.
    remat: whether the backward pass recomputes each block.
    dtype: of the computation.

  Source: openai/CLIP, clip/model.py, Transformer.
  Differs: none (batch first).
  """

  layers: int
  heads: int
  causal: bool = False
  hooks: Hooks = PLAIN
  remat: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[n, N, D] -> [n, N, D]."""
    # What is recorded inside of a rematerialised block could not leave it.
    remat = self.remat and not self.hooks.records
    block = functools.partial(
        nn.remat(Block) if remat else Block,
        heads=self.heads,
        causal=self.causal,
        std_out=x.shape[-1] ** -0.5 * (2 * self.layers) ** -0.5,
        hooks=self.hooks,
        dtype=self.dtype,
    )
    for layer in range(self.layers):
      x = block(layer=layer, name=f'resblocks.{layer}')(x)
    return x
