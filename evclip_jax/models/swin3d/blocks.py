"""The Swin block: attention within shifted windows of a map."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.remat import kept
from evclip_jax.models.swin3d.windows import (
  Extent,
  from_windows,
  plan_windows,
  region_labels,
  to_windows,
)
from evclip_jax.models.torch_like import Norm, gelu, linear

# Added to scores across a border of the rolled map, as in the originals.
_FAR = -100.0
# Most pairs of tokens times table rows for which the bias is a matrix product.
_DENSE = 1 << 20
# Widest head whose gradients are computed by sums instead of products.
_NARROW = 4


def position_codes(window: Extent, tokens: int) -> tuple[np.ndarray, int]:
  """Numbers positions so that differences index the relative position table.

  The row of tokens p and q is `code[p] - code[q] + offset`.

  Args:
    window: the configured window, which determines the table's shape.
    tokens: positions of the window in use. As in the originals, these are the
      first ones of the configured window in row order, which gives the true
      differences if only the slowest axis was cut.

  Returns:
    int32 codes [tokens], and the offset.
  """
  strides = (
      (2 * window[1] - 1) * (2 * window[2] - 1),
      2 * window[2] - 1,
      1,
  )
  axes = np.meshgrid(*(np.arange(w) for w in window), indexing='ij')
  code = sum(a.reshape(-1) * s for a, s in zip(axes, strides, strict=True))
  offset = sum((w - 1) * s for w, s in zip(window, strides, strict=True))
  return code[:tokens].astype(np.int32), int(offset)


def position_bias(table: jax.Array, window: Extent, tokens: int) -> jax.Array:
  """Returns the bias of the scores of each pair of tokens.

  Args:
    table: [rows, heads], one row per difference of positions.
    window, tokens: see `position_codes`.

  Returns:
    float32 [heads, tokens, tokens].
  """
  table = jnp.asarray(table, jnp.float32)
  code, offset = position_codes(window, tokens)
  code = jnp.asarray(code)
  row = code[:, None] - code + offset
  if row.size * len(table) > _DENSE:
    return jnp.take(table, row, axis=0).transpose(2, 0, 1)
  # Many pairs share a row. The gradient of indexing would sum them in any order
  # on GPUs, so that no run could be repeated exactly.
  chosen = jax.nn.one_hot(row, len(table))
  return jnp.einsum('qkr,rh->hqk', chosen, table, precision='highest')


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array,
    labels: np.ndarray | None,
) -> jax.Array:
  """Computes softmax(q k' + bias + far) v in each window and head.

  So that compilers never store a window's scores, `far` is part of the first
  product, and the sum of the exponentials divides after the last. The gradient
  is written out, since the derived products and sums over windows are several
  times slower on CPUs. It loops over heads, since all of them together do not
  fit in a CPU's cache (the compiler's count of operations knows one only).

  Args:
    q, k, v: [n, heads, tokens, d], q scaled; n = windows of all maps.
    bias: float32 [heads, tokens, tokens].
    labels: from `region_labels`; tokens with different labels are far, -100.

  Returns:
    [n, heads, tokens, d] of v's dtype; the softmax is in float32.
  """
  exact = {'preferred_element_type': jnp.float32}

  def compute(q, k, v, bias):
    q, k = _extended(q, k, labels)
    scores = jnp.einsum('nhqd,nhkd->nhqk', q, k, **exact) + bias
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    y = jnp.einsum('nhqk,nhkd->nhqd', weights.astype(v.dtype), v, **exact)
    return kept((y / weights.sum(-1, keepdims=True)).astype(v.dtype))

  def forward(*given):
    y = compute(*given)
    return y, (*given, y)

  def head_gradients(given):
    # The bias is [tokens, tokens], the others are [n, tokens, d].
    *ends, bias, q, k, v, y, dy = given
    weights = jax.nn.softmax(jnp.einsum('nqd,nkd->nqk', *ends, **exact) + bias)
    dw = jnp.einsum('nqd,nkd->nqk', dy, v, **exact)
    own = jnp.einsum('nqd,nqd->nq', dy, y, **exact)
    ds = weights * (dw - own[..., None])
    ones = jnp.ones(len(q), ds.dtype)
    dbias = jnp.einsum('n,nqk->qk', ones, ds, precision='highest')
    weights, ds = weights.astype(v.dtype), ds.astype(q.dtype)
    dq = jnp.einsum('nqk,nkd->nqd', ds, k)
    return dq, _over_queries(ds, q), _over_queries(weights, dy), dbias

  def backward(found, dy):
    q, k, v, bias, y = found
    given = *_extended(q, k, labels), q, k, v, y, dy
    given = [x.swapaxes(0, 1) for x in given]
    given.insert(2, bias)
    *found, dbias = jax.lax.map(head_gradients, tuple(given))
    return *(x.swapaxes(0, 1) for x in found), dbias

  run = jax.custom_vjp(compute)
  run.defvjp(forward, backward)
  return run(q, k, v, bias)


def _extended(q, k, labels: np.ndarray | None):
  """Extends q and k so that their product includes `far` exactly."""
  if labels is None:
    return q, k
  # A window has few labels, so they are renumbered in each.
  part = np.stack([np.unique(x, return_inverse=True)[1] for x in labels])
  part = part[..., None] == np.arange(part.max() + 1)  # [windows, tokens, R]
  n, heads, tokens, depth = q.shape
  # GPUs multiply rows of whole 16 bytes faster.
  spare = -(depth + part.shape[-1]) % 8

  def extend(x, more):
    more = np.pad(more, ((0, 0), (0, 0), (0, spare)))[None, :, None]
    shape = n // len(labels), len(labels), heads, *more.shape[-2:]
    more = jnp.broadcast_to(jnp.asarray(more, x.dtype), shape)
    return jnp.concatenate([x, more.reshape(n, heads, tokens, -1)], -1)

  return extend(q, _FAR * part), extend(k, ~part)


def _over_queries(weights: jax.Array, x: jax.Array) -> jax.Array:
  """Sums [n, q, k] times [n, q, d] over queries: [n, k, d]."""
  if x.shape[-1] > _NARROW:
    x = jnp.einsum('ndq,nqk->ndk', x.swapaxes(1, 2), weights)
    return x.swapaxes(1, 2)
  # Sums are faster than products that narrow.
  sums = [(weights * x[..., i : i + 1]).sum(1) for i in range(x.shape[-1])]
  return jnp.stack(sums, -1)


class WindowAttention(nn.Module):
  """Applies attention within each window, with relative position bias.

  Attributes:
    heads: number of heads.
    window: the configured window, which determines the rows of the bias table.
    dtype: of the matrix products; the softmax is in float32.
  """

  heads: int
  window: Extent
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, labels: np.ndarray | None) -> jax.Array:
    """Maps [B, windows, tokens, C] to the same shape; see `attend`."""
    batch, count, tokens, width = x.shape
    rows = math.prod(2 * w - 1 for w in self.window)
    table = self.param(
        'relative_position_bias_table',
        nn.initializers.normal(0.02),
        (rows, self.heads),
    )
    depth = width // self.heads
    qkv = kept(linear(3 * width, width, True, 'qkv', self.dtype)(x))
    # The output axis holds q, k, v, each as [heads, depth]. Heads go before
    # tokens, or XLA's products are several times slower on CPUs.
    qkv = qkv.reshape(batch * count, tokens, 3, self.heads, depth)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each [n, heads, tokens, depth]
    bias = position_bias(table, self.window, tokens)
    x = attend(q * depth**-0.5, k, v, bias, labels).transpose(0, 2, 1, 3)
    x = x.reshape(batch, count, tokens, width)
    return linear(width, width, True, 'proj', self.dtype)(x)


class Mlp(nn.Module):
  """Applies two dense layers, four times as wide inside, with exact GELU."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width = x.shape[-1]
    x = kept(linear(4 * width, width, True, 'fc1', self.dtype)(x))
    return linear(width, 4 * width, True, 'fc2', self.dtype)(gelu(x))


class SwinBlock(nn.Module):
  """Applies window attention and an MLP, each after a norm, with residuals.

  Attributes:
    heads: number of attention heads.
    window: configured window along (D, H, W).
    shifted: whether windows are shifted by half their size.
    drop_path: probability of dropping a branch of a sample, if a key is given.
    dtype: of the computation.

  Source: omnivore, omnivision/models/swin_transformer.py,
    SwinTransformerBlock3D; EV-CLIP, the 2-D blocks of its mask generator.
  Differs: none.
  """

  heads: int
  window: Extent
  shifted: bool
  drop_path: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, rng: jax.Array | None = None) -> jax.Array:
    """Maps [B, D, H, W, C] to the same shape; `rng` turns on drop path."""
    keys = (None, None) if rng is None else jax.random.split(rng)
    windows = plan_windows(x.shape[1:4], self.window, self.shifted)
    y = to_windows(Norm(self.dtype, name='norm1')(x), windows)
    attention = WindowAttention(
        self.heads, self.window, self.dtype, name='attn'
    )
    y = from_windows(attention(y, region_labels(windows)), windows)
    x = kept(x + self._drop(y, keys[0]))
    y = Mlp(self.dtype, name='mlp')(Norm(self.dtype, name='norm2')(x))
    return x + self._drop(y, keys[1])

  def _drop(self, y: jax.Array, rng: jax.Array | None) -> jax.Array:
    # Like timm: one draw per sample; kept branches are scaled up.
    if rng is None or not self.drop_path:
      return y
    keep = 1 - self.drop_path
    kept = jax.random.bernoulli(rng, keep, (y.shape[0], 1, 1, 1, 1))
    return jnp.where(kept, y / keep, 0).astype(y.dtype)
