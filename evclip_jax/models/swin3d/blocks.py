"""The Swin block: a map is cut into shifted windows, which attend inside.

A map has three axes, [B, D, H, W, C]; an image is a map with D = 1. All tables
of positions are numpy constants of the size of one window or one map without
channels.
"""

import dataclasses
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.models.remat import kept
from evclip_jax.models.torch_like import Norm, gelu, linear

Extent = tuple[int, int, int]

# What the originals add to a score that crosses a border of the rolled map.
_FAR = -100.0
# Largest table of pairs times rows for which the bias is a matrix product.
_DENSE = 1 << 20
# Widest head whose gradients are sums instead of products.
_NARROW = 4


@dataclasses.dataclass(frozen=True)
class Windows:
  """How a map is cut into windows; all in positions along (D, H, W).

  Attributes:
    size: the map before padding.
    padded: the map after padding at the end of each axis.
    window: the window used: the configured one, cut to the map.
    shift: the roll before cutting; 0 along an axis that one window covers.
  """

  size: Extent
  padded: Extent
  window: Extent
  shift: Extent

  @property
  def tokens(self) -> int:
    """Positions in one window."""
    return math.prod(self.window)

  @property
  def count(self) -> int:
    """Windows in one map."""
    return math.prod(self.padded) // self.tokens


def plan_windows(size: Extent, window: Extent, shifted: bool) -> Windows:
  """Cuts the configured window to a map; half of it is the shift.

  An axis no longer than the configured window is one window and not shifted.
  """
  used = tuple(min(n, w) for n, w in zip(size, window, strict=True))
  shift = tuple(
      w // 2 if shifted and n > w else 0
      for n, w in zip(size, window, strict=True)
  )
  padded = tuple(-(-n // w) * w for n, w in zip(size, used, strict=True))
  return Windows(tuple(size), padded, used, shift)


def region_labels(windows: Windows) -> np.ndarray | None:
  """Tells from which part of the unrolled map each position comes.

  Returns:
    int32 [windows, tokens]; tokens of one window attend to each other freely if
    their labels are equal. None if nothing is shifted.
  """
  if not any(windows.shift):
    return None
  label = np.zeros((1, 1, 1), np.int32)
  for axis in range(3):
    n, w, s = windows.padded[axis], windows.window[axis], windows.shift[axis]
    parts = np.zeros(n, np.int32)
    if s:
      parts[n - w : n - s] = 1
      parts[n - s :] = 2
    shape = [1, 1, 1]
    shape[axis] = n
    label = label * 3 + parts.reshape(shape)
  cut = _cut(label[None, ..., None], windows, np.transpose)
  return cut.reshape(windows.count, windows.tokens)


def position_codes(window: Extent, tokens: int) -> tuple[np.ndarray, int]:
  """Numbers whose differences index the relative position table.

  The row of tokens p and q is `code[p] - code[q] + offset`.

  Args:
    window: the configured window, which gives the table its shape.
    tokens: how many positions the window in use has. As in the originals, its
      tokens are the first ones of the configured window, in row order. That is
      the true offset where only the slowest axis was cut.

  Returns:
    int32 [tokens] and the offset.
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


def to_windows(x: jax.Array, windows: Windows) -> jax.Array:
  """Pads, rolls and cuts a map: [B, D, H, W, C] -> [B, windows, tokens, C]."""
  extra = [p - n for p, n in zip(windows.padded, windows.size, strict=True)]
  if any(extra):
    x = jnp.pad(x, ((0, 0), *((0, e) for e in extra), (0, 0)))
  if any(windows.shift):
    x = jnp.roll(x, [-s for s in windows.shift], (1, 2, 3))
  x = _cut(x, windows, jnp.transpose)
  return x.reshape(x.shape[0], windows.count, windows.tokens, x.shape[-1])


def from_windows(x: jax.Array, windows: Windows) -> jax.Array:
  """Undoes `to_windows`; what lies in the padding is dropped."""
  d, h, w = (
      p // n for p, n in zip(windows.padded, windows.window, strict=True)
  )
  x = x.reshape(x.shape[0], d, h, w, *windows.window, x.shape[-1])
  x = x.transpose(0, 1, 4, 2, 5, 3, 6, 7)
  x = x.reshape(x.shape[0], *windows.padded, x.shape[-1])  # [B, D, H, W, C]
  if any(windows.shift):
    x = jnp.roll(x, windows.shift, (1, 2, 3))
  d, h, w = windows.size
  return x[:, :d, :h, :w]


def _cut(x, windows: Windows, transpose: Callable):
  """[B, D, H, W, C] -> [B, d, h, w, wd, wh, ww, C]."""
  shape = [x.shape[0]]
  for n, w in zip(windows.padded, windows.window, strict=True):
    shape += [n // w, w]
  return transpose(x.reshape(*shape, x.shape[-1]), (0, 1, 3, 5, 2, 4, 6, 7))


def position_bias(table: jax.Array, window: Extent, tokens: int) -> jax.Array:
  """Returns what is added to the scores of each pair of tokens.

  Args:
    table: [rows, heads], one row per difference of positions.
    window: the configured window, which gives the table its rows.
    tokens: of the window in use.

  Returns:
    float32 [heads, tokens, tokens].
  """
  table = jnp.asarray(table, jnp.float32)
  code, offset = position_codes(window, tokens)
  code = jnp.asarray(code)
  row = code[:, None] - code + offset
  if row.size * len(table) > _DENSE:
    return jnp.take(table, row, axis=0).transpose(2, 0, 1)
  # Many pairs share a row. The gradient of indexing would add them up in any
  # order on GPUs, and no run could be repeated exactly.
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

  It is written such that compilers never store a window's scores: what is far
  belongs to the first product, and the sum of the exponentials divides behind
  the last. So is its gradient, whose derived products and sums over windows
  are several times slower on CPUs.

  Args:
    q: [n, heads, tokens, d], scaled; n = windows of all maps.
    k: likewise.
    v: likewise.
    bias: float32 [heads, tokens, tokens].
    labels: as `region_labels`; tokens of different labels are far.

  Returns:
    Like `v`. The softmax is in float32.
  """
  exact = {'preferred_element_type': jnp.float32}

  def score(q, k, bias):
    if labels is not None:
      q, k = _with_labels(q, k, labels)
    return jnp.einsum('nhqd,nhkd->nhqk', q, k, **exact) + bias

  def compute(q, k, v, bias):
    scores = score(q, k, bias)
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    y = jnp.einsum('nhqk,nhkd->nhqd', weights.astype(v.dtype), v, **exact)
    return kept((y / weights.sum(-1, keepdims=True)).astype(v.dtype))

  def forward(*given):
    y = compute(*given)
    return y, (*given, y)

  def backward(found, dy):
    q, k, v, bias, y = found
    weights = jax.nn.softmax(score(q, k, bias))
    dw = jnp.einsum('nhqd,nhkd->nhqk', dy, v, **exact)
    own = jnp.einsum('nhqd,nhqd->nhq', dy, y, **exact)
    ds = weights * (dw - own[..., None])
    ones = jnp.ones(len(q), ds.dtype)
    dbias = jnp.einsum('n,nhqk->hqk', ones, ds, precision='highest')
    weights, ds = weights.astype(v.dtype), ds.astype(q.dtype)
    dq = jnp.einsum('nhqk,nhkd->nhqd', ds, k)
    return dq, _over_queries(ds, q), _over_queries(weights, dy), dbias

  run = jax.custom_vjp(compute)
  run.defvjp(forward, backward)
  return run(q, k, v, bias)


def _with_labels(q, k, labels: np.ndarray):
  """Lengthens q and k so that their product has what is far in it, exactly."""
  # A window has few labels: they are numbered anew in each.
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
  """Sums [n, h, q, k] times [n, h, q, d] over queries: [n, h, k, d]."""
  if x.shape[-1] > _NARROW:
    x = jnp.einsum('nhdq,nhqk->nhdk', x.swapaxes(2, 3), weights)
    return x.swapaxes(2, 3)
  # Sums are faster than products that narrow.
  sums = [(weights * x[..., i : i + 1]).sum(2) for i in range(x.shape[-1])]
  return jnp.stack(sums, -1)


class WindowAttention(nn.Module):
  """Multi-head attention inside each window, with relative position bias.

  Attributes:
    heads: number of heads.
    window: the configured window, which gives the bias table its rows.
    dtype: of the matrix products; the softmax is in float32.
  """

  heads: int
  window: Extent
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, labels: np.ndarray | None) -> jax.Array:
    """[B, windows, tokens, C] -> the same; `labels` as `region_labels`."""
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
    # tokens here: XLA's products are several times slower otherwise on CPUs.
    qkv = qkv.reshape(batch * count, tokens, 3, self.heads, depth)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each [n, heads, tokens, depth]
    bias = position_bias(table, self.window, tokens)
    x = attend(q * depth**-0.5, k, v, bias, labels).transpose(0, 2, 1, 3)
    x = x.reshape(batch, count, tokens, width)
    return linear(width, width, True, 'proj', self.dtype)(x)


class Mlp(nn.Module):
  """Two dense layers, four times as wide inside, with the exact GELU."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width = x.shape[-1]
    x = kept(linear(4 * width, width, True, 'fc1', self.dtype)(x))
    x = gelu(x)
    return linear(width, 4 * width, True, 'fc2', self.dtype)(x)


class SwinBlock(nn.Module):
  """Window attention and an MLP, each behind its norm, with residuals.

  Attributes:
    heads: number of attention heads.
    window: configured window along (D, H, W).
    shifted: whether the windows are moved by half their size.
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
    """[B, D, H, W, C] -> the same; `rng` turns drop path on."""
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
    # timm's stochastic depth: one draw per sample, the rest scaled up.
    if rng is None or not self.drop_path:
      return y
    keep = 1 - self.drop_path
    kept = jax.random.bernoulli(rng, keep, (y.shape[0], 1, 1, 1, 1))
    return jnp.where(kept, y / keep, 0).astype(y.dtype)
