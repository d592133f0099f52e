"""VideoPrism's layers: attention with capped logits, block, pooler."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# Attention logits z become CAP * tanh(z / CAP).
CAP = 50.0
_EPSILON = 1e-6
# 1 / ln 2, so that a scale parameter of 0 in the pooler changes nothing.
_PER_DIM = 1.442695041
# Number of unmasked queries at a time, which bounds the memory of the logits.
_CHUNK = 1024
_LOWEST = -0.7 * float(jnp.finfo(jnp.float32).max)


def norm(dtype: Any, name: str) -> nn.LayerNorm:
  """Makes a layer norm with VideoPrism's epsilon and float32 statistics."""
  return nn.LayerNorm(_EPSILON, dtype, use_fast_variance=False, name=name)


class Attention(nn.Module):
  """Applies self-attention with capped logits; the softmax is in float32."""

  heads: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Maps [B, N, D] to the same; `mask` [B, N, N] has queries as rows."""
    width = x.shape[-1]
    query, key, value = (
        split(nn.Dense(width, dtype=self.dtype, name=name)(x), self.heads)
        for name in ('query', 'key', 'value')
    )
    query = query * (width // self.heads) ** -0.5

    def attend(query):
      logits = jnp.einsum(
          'bqnh,bknh->bnqk', query, key, preferred_element_type=jnp.float32
      )
      logits = CAP * jnp.tanh(logits / CAP)
      if mask is not None:
        logits = jnp.where(mask[:, None], logits, _LOWEST)
      shares = jax.nn.softmax(logits).astype(self.dtype)
      return jnp.einsum('bnqk,bknh->bqnh', shares, value)

    length = x.shape[1]
    if mask is None and length > _CHUNK and length % _CHUNK == 0:
      parts = query.reshape(x.shape[0], -1, _CHUNK, *query.shape[2:])
      out = jax.lax.map(attend, parts.swapaxes(0, 1)).swapaxes(0, 1)
    else:
      out = attend(query)
    out = out.reshape(x.shape)
    return nn.Dense(width, dtype=self.dtype, name='post')(out)


class Block(nn.Module):
  """Applies a pre-norm transformer block, with exact GELU or ReLU."""

  heads: int
  hidden: int
  dtype: Any
  relu: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Maps [B, N, D] to the same; `mask` as in `Attention`."""
    y = norm(self.dtype, 'norm1')(x)
    x = x + Attention(self.heads, self.dtype, name='attention')(y, mask)
    y = norm(self.dtype, 'norm2')(x)
    y = nn.Dense(self.hidden, dtype=self.dtype, name='fc1')(y)
    y = nn.relu(y) if self.relu else nn.gelu(y, approximate=False)
    return x + nn.Dense(x.shape[-1], dtype=self.dtype, name='fc2')(y)


class AttentionPooler(nn.Module):
  """Pools tokens by the attention of one learned query, then a layer norm.

  Attributes:
    heads: number of attention heads.
    width: of all heads together: 4 D in the video-text models, D in the
      authors' classifiers.
    dtype: of the computation; the result is float32.
  """

  heads: int
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, tokens: jax.Array) -> jax.Array:
    """Maps [B, N, D] to float32 [B, D]."""
    size = tokens.shape[-1]
    first = self.param('query_embedding', nn.initializers.normal(), (1, size))
    h = self.width // self.heads

    def weights(name):  # [D, heads, h], [heads, h]
      found = _Weights(self.width, name=name)(size)
      return (split(x, self.heads) for x in found)

    kernel, bias = weights('query')
    query = jnp.einsum('d,dnh->nh', first[0], kernel) + bias
    scale = self.param('per_dim_scale', nn.initializers.zeros, (h,))
    query = query * (jax.nn.softplus(scale) * _PER_DIM / math.sqrt(h))
    # With one query, products in another order need a fraction of the work. The
    # key's bias shifts all logits of a head, which the softmax ignores.
    kernel, _ = weights('key')
    look = jnp.einsum('nh,dnh->nd', query, kernel).astype(self.dtype)
    x = tokens.astype(self.dtype)
    exact = {'preferred_element_type': jnp.float32}
    shares = jax.nn.softmax(jnp.einsum('nd,bkd->bnk', look, x, **exact))
    mean = jnp.einsum('bnk,bkd->bnd', shares.astype(self.dtype), x, **exact)
    kernel, bias = weights('value')
    out = jnp.einsum('bnd,dnh->bnh', mean, kernel) + bias
    out = out.reshape(tokens.shape[0], self.width)
    out = nn.Dense(size, dtype=self.dtype, name='post')(out)
    return norm(jnp.float32, 'norm')(out)


class _Weights(nn.Module):
  """Returns kernel and bias of a dense layer that the caller applies."""

  width: int

  @nn.compact
  def __call__(self, size: int) -> tuple[jax.Array, jax.Array]:
    init = nn.initializers.lecun_normal()
    kernel = self.param('kernel', init, (size, self.width))
    return kernel, self.param('bias', nn.initializers.zeros, (self.width,))


def split(x: jax.Array, heads: int) -> jax.Array:
  """Reshapes [..., heads * h] to [..., heads, h]."""
  return x.reshape(*x.shape[:-1], heads, -1)
