"""CLIP's self-attention, by the kernel that suits the device."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models import remat
from evclip_jax.models.clip.hooks import Reweigh

# What NVIDIA's fused kernel needs: a GPU of at least this compute capability,
# and heads of at most this width, a multiple of 8.
_CAPABILITY = 8.0
_WIDEST, _MULTIPLE = 128, 8


def normal(std: float):
  """Initialises with a normal distribution of mean 0."""
  return nn.initializers.normal(std)


def implementation(
    device: jax.Device, dtype: Any, depth: int, weights_seen: bool
) -> str:
  """Chooses the implementation of attention.

  Args:
    device: where attention is computed.
    dtype: of queries, keys and values.
    depth: width of a head.
    weights_seen: whether a hook reads or changes the probabilities.

  Returns:
    'cudnn', one kernel that never stores scores, on NVIDIA GPUs since Ampere in
    bfloat16 or float16 if no hook sees the probabilities; otherwise 'xla',
    products and a softmax, which the compilers for TPUs and CPUs fuse.
  """
  fits = (
      device.platform == 'gpu'
      and 'cuda' in device.client.platform_version.lower()
      and float(device.compute_capability) >= _CAPABILITY
      and dtype in (jnp.bfloat16, jnp.float16)
      and depth <= _WIDEST
      and depth % _MULTIPLE == 0
      and not weights_seen
  )
  return 'cudnn' if fits else 'xla'


class Attention(nn.Module):
  """Computes self-attention with one projection for query, key and value.

  Attributes:
    heads: number of heads.
    causal: whether a token sees only itself and those before it.
    std_out: standard deviation of the initial output projection.
    dtype: of the computation; the softmax is in float32.
  """

  heads: int
  causal: bool
  std_out: float
  dtype: Any

  @nn.compact
  def __call__(
      self,
      x: jax.Array,
      reweigh: Reweigh | None = None,
      queries: int | None = None,
  ) -> jax.Array:
    """Maps [..., N, D] to [..., N or queries, D].

    Args:
      x: the tokens.
      reweigh: maps the probabilities [..., h, N, N] to those that are used.
      queries: number of first tokens that get a result; None = all.
    """
    width = x.shape[-1]
    qkv = nn.Dense(
        3 * width,
        dtype=self.dtype,
        kernel_init=normal(width**-0.5),
        name='in_proj',
    )(x)
    depth = width // self.heads
    qkv = remat.kept(qkv).reshape(*x.shape[:-1], 3, self.heads, depth)
    q, k, v = jnp.moveaxis(qkv, -3, 0)  # each [..., N, h, D/h]
    device = jax.config.jax_default_device  # set by exports
    if not isinstance(device, jax.Device):
      device = jax.devices(device)[0]
    chosen = implementation(device, q.dtype, depth, reweigh is not None)
    q = q[..., :queries, :, :]
    if chosen == 'cudnn':
      y = fused(q, k, v, self.causal)
    else:
      y = plain(q, k, v, self.causal, reweigh)
    return nn.Dense(
        width,
        dtype=self.dtype,
        kernel_init=normal(self.std_out),
        name='out_proj',
    )(y.reshape(*y.shape[:-2], width))


def fused(q, k, v, causal: bool) -> jax.Array:
  """Computes softmax(q k' / sqrt(d)) v for [..., N, h, d] in one kernel."""
  flat = (x.reshape(-1, *x.shape[-3:]) for x in (q, k, v))
  y = jax.nn.dot_product_attention(
      *flat, is_causal=causal, implementation='cudnn'
  )
  return y.reshape(q.shape)


def plain(
    q, k, v, causal: bool, reweigh: Reweigh | None = None
) -> jax.Array:
  """Computes the same as `fused` by products, the softmax in float32."""
  # With heads before tokens these are plain matrix products, which are faster
  # on CPUs than contractions over inner axes.
  q, k, v = (x.swapaxes(-2, -3) for x in (q, k, v))
  scores = jnp.matmul(
      q * q.shape[-1] ** -0.5,
      k.swapaxes(-1, -2),
      preferred_element_type=jnp.float32,
  )
  if causal:
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    scores = jnp.where(seen, scores, -jnp.inf)
  weights = jax.nn.softmax(scores)
  if reweigh is not None:
    weights = reweigh(weights)
  return (weights.astype(v.dtype) @ v).swapaxes(-2, -3)
