"""CLIP's modified ResNet: strides by average pools, attention at the end."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from evclip_jax.models.clip.attention import normal
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.sizes import ClipSizes

BATCH_NORM_EPSILON = 1e-5
# Output channels of a bottleneck, as a multiple of its inner width.
EXPANSION = 4


class ModifiedResNet(nn.Module):
  """Encodes images with convolutions; see `Clip.images`.

  Attributes:
    sizes, dtype: see `Clip`.
    hooks: only `moments` has an effect.
    remat: whether the backward pass recomputes each bottleneck.

  Source: openai/CLIP, clip/model.py, ModifiedResNet.
  Differs: batch norms always use their stored statistics (or those of the hook
    `moments`), as the original does in evaluation.
  """

  sizes: ClipSizes
  hooks: Hooks
  remat: bool
  dtype: Any

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps [n, H, W, 3] to float32 [n, E]."""
    width = self.sizes.vision_width
    conv = functools.partial(Conv, dtype=self.dtype)
    norm = functools.partial(BatchNorm, self.hooks, self.dtype)
    x = images.astype(self.dtype)
    for i, (features, stride) in enumerate(
        ((width // 2, 2), (width // 2, 1), (width, 1)), start=1
    ):
      x = conv(features, 3, stride, name=f'conv{i}')(x)
      x = jax.nn.relu(norm(name=f'bn{i}')(x))
    x = average_pool(x, 2)
    # What a hook records inside a rematerialised block could not leave it.
    remat = self.remat and not self.hooks.records
    block = nn.remat(Bottleneck) if remat else Bottleneck
    for stage, blocks in enumerate(self.sizes.vision_layers):
      for i in range(blocks):
        x = block(
            width * 2**stage,
            stride=2 if stage and not i else 1,
            hooks=self.hooks,
            dtype=self.dtype,
            name=f'layer{stage + 1}.{i}',
        )(x)
    return AttentionPool(
        self.sizes.vision_heads,
        self.sizes.embed_dim,
        self.dtype,
        name='attnpool',
    )(x)


class Conv(nn.Module):
  """Convolves without a bias, and keeps or halves height and width."""

  features: int
  side: int
  stride: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = self.param(
        'kernel',
        nn.initializers.he_normal(),
        (self.side, self.side, x.shape[-1], self.features),
    ).astype(self.dtype)
    if self.side == 1 and self.stride == 1:
      return x @ kernel[0, 0]
    # Not 'SAME', which pads an even length at its end only when strided.
    pad = (self.side // 2, self.side // 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (self.stride, self.stride),
        (pad, pad),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


class BatchNorm(nn.Module):
  """Normalises channels with statistics that are parameters like any other."""

  hooks: Hooks
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    mean = self.param('mean', nn.initializers.zeros, shape)
    var = self.param('var', nn.initializers.ones, shape)
    if self.hooks.moments is not None:
      mean, var = self.hooks.moments('/'.join(self.path), x, mean, var)
    scale = scale * jax.lax.rsqrt(var + BATCH_NORM_EPSILON)
    y = (x.astype(jnp.float32) - mean) * scale + bias
    return y.astype(self.dtype)


class Bottleneck(nn.Module):
  """Narrows, convolves and widens a map, with a residual connection.

  Attributes:
    width: channels of the narrow part.
    stride: factor by which an average pool shrinks the map.
  """

  width: int
  stride: int
  hooks: Hooks
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    conv = functools.partial(Conv, dtype=self.dtype)
    norm = functools.partial(BatchNorm, self.hooks, self.dtype)
    wide = EXPANSION * self.width
    y = jax.nn.relu(norm(name='bn1')(conv(self.width, 1, name='conv1')(x)))
    y = jax.nn.relu(norm(name='bn2')(conv(self.width, 3, name='conv2')(y)))
    y = average_pool(y, self.stride)
    y = norm(name='bn3')(conv(wide, 1, name='conv3')(y))
    if self.stride > 1 or x.shape[-1] != wide:
      x = average_pool(x, self.stride)
      x = norm(name='downsample.1')(conv(wide, 1, name='downsample.0')(x))
    return jax.nn.relu(x + y)


class AttentionPool(nn.Module):
  """Pools a map by the attention of its mean: [n, h, w, C] -> [n, E].

  Source: openai/CLIP, clip/model.py, AttentionPool2d.
  Differs: none.
  """

  heads: int
  embed_dim: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    n, rows, columns, width = x.shape
    std = width**-0.5

    def project(name, features, x, dtype=self.dtype):
      return nn.Dense(
          features, dtype=dtype, kernel_init=normal(std), name=name
      )(x)

    x = x.reshape(n, rows * columns, width)
    mean = x.mean(axis=1, keepdims=True, dtype=jnp.float32).astype(x.dtype)
    x = jnp.concatenate([mean, x], axis=1)  # [n, N, C]
    positions = self.param(
        'positional_embedding', normal(std), (x.shape[1], width)
    )
    x = x + positions.astype(x.dtype)
    # Only the result of the mean is needed, so it is the only query.
    head = (self.heads, width // self.heads)
    q = project('q_proj', width, x[:, 0]).reshape(n, *head)
    k = project('k_proj', width, x).reshape(n, -1, *head)
    v = project('v_proj', width, x).reshape(n, -1, *head)
    scores = jnp.einsum(
        'nhd,nkhd->nhk',
        q * head[1] ** -0.5,
        k,
        preferred_element_type=jnp.float32,
    )
    weights = jax.nn.softmax(scores).astype(self.dtype)
    y = jnp.einsum('nhk,nkhd->nhd', weights, v).reshape(n, width)
    return project('c_proj', self.embed_dim, y.astype(jnp.float32), jnp.float32)


def average_pool(x: jax.Array, side: int) -> jax.Array:
  """Averages over squares of side x side pixels that do not overlap."""
  if side == 1:
    return x
  n, rows, columns, width = x.shape
  x = x[:, : rows // side * side, : columns // side * side]
  x = x.reshape(n, rows // side, side, columns // side, side, width)
  return x.mean(axis=(2, 4), dtype=jnp.float32).astype(x.dtype)
