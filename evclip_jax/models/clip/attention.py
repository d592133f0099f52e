"""CLIP's self-attention, and what computes it on which device."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models import remat
from evclip_jax.models.clip.hooks import Reweigh

# Of NVIDIA's fused attention: the least compute capability of a GPU, the widest
# head and what its width is a multiple of.
_CAPABILITY = 8.0
_WIDEST, _MULTIPLE = 128, 8


def normal(std: float):
  """Initialises with a normal distribution of mean 0."""
  return nn.initializers.normal(std)


def implementation(
    device: jax.Device, dtype: Any, depth: int, weights_seen: bool
) -> str:
  """Decides what computes attention.

  Args:
    device: that computes.
    dtype: of queries, keys and values.
    depth: the width of a head.
    weights_seen: whether a hook looks at the probabilities or changes them.

  Returns:
    'cudnn', one kernel that never stores scores: NVIDIA GPUs since Ampere, in
    bfloat16 or float16, where nothing sees the probabilities. Else 'xla',
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
      self,
      x: jax.Array,
      reweigh: Reweigh | None = None,
      queries: int | None = None,
  ) -> jax.Array:
    """Attends.

    Args:
      x: [..., N, D].
      reweigh: probabilities [..., h, N, N] -> what is used in their place.
      queries: how many of the first tokens ask; None for all.

    Returns:
      [..., N or queries, D].
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
    device = jax.config.jax_default_device  # set where a program is exported
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
  """Computes softmax(q k' / sqrt(d)) v of [..., N, h, d] in one kernel."""
  flat = (x.reshape(-1, *x.shape[-3:]) for x in (q, k, v))
  y = jax.nn.dot_product_attention(
      *flat, is_causal=causal, implementation='cudnn'
  )
  return y.reshape(q.shape)


def plain(
    q, k, v, causal: bool, reweigh: Reweigh | None = None
) -> jax.Array:
  """Computes the same by products, the softmax in float32."""
  # Heads before tokens: plain matrix products, which are faster on CPUs than
  # contractions over axes in between.
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
