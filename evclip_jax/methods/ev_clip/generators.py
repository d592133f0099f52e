"""Generates EV-CLIP's two prompts from the video trunk's features.

One makes the mask prompt, a soft mask over the pixels of all frames; the other
the context prompt, a token that joins CLIP's frame features.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models import remat
from evclip_jax.models.swin3d.blocks import SwinBlock
from evclip_jax.models.torch_like import (
  Norm,
  gelu,
  layer_norm,
  linear,
  torch_uniform,
)

# The side of the trunk's last feature map, and of the mask made from it.
GRID = 7
SIDE = GRID * 32
# Width of the trunk's features -> hidden width of the last projection. The
# original fixes these three; the tiny trunk has 128 channels.
_HIDDEN = {128: 4, 768: 8, 1024: 10}
_HEADS = 8
# Initially small, so that the token is far smaller than CLIP's frame features.
_FIRST_CONTEXT_SCALE = 1e-3
# Keeps min-max defined for a constant map. It affects the mask, since the
# maximum of a softmax over 50,176 pixels may be as small as 3e-5.
_RANGE_EPSILON = 1e-8

ACTIVATIONS = {'gelu': gelu, 'relu': nn.relu}


def check_features(channels: int):
  """Raises UserError if no mask generator fits a trunk with C channels."""
  if channels not in _HIDDEN:
    raise UserError(
        f'encoder.name: a trunk of {channels} channels has no mask generator; '
        f'wanted one of {sorted(_HIDDEN)}, or method.settings.prompt=context.'
    )


def to_grid(z: jax.Array) -> jax.Array:
  """Averages features [B, t, h, w, C] by area over 7 x 7 equal cells.

  The mean over the grid does not change. Features on a 7 x 7 grid are returned
  unchanged, and so are those of frames that are not square, which fit no mask.
  """
  rows, columns = z.shape[2:4]
  if rows == GRID or rows != columns:
    return z
  edges = np.arange(GRID + 1) / GRID
  cells = np.arange(rows + 1) / rows
  low = np.maximum(edges[:-1, None], cells[:-1])
  high = np.minimum(edges[1:, None], cells[1:])
  shares = (GRID * np.maximum(high - low, 0)).astype(np.float32)
  return jnp.einsum('jh,iw,bthwc->btjic', shares, shares, z)


class MaskGenerator(nn.Module):
  """Upsamples trunk features 32 times into a mask in [0, 1).

  Attributes:
    activation: 'gelu' (exact) or 'relu', in the projections only.
    bias: whether the projections have biases; the blocks always do.
    dtype: of the computation; norms, the last projection, the pixel softmax
      and the mask stay in float32.

  Source: EV-CLIP, "spatial prompt"; trainers/prompt_generator.py,
    EVo_Mask_Generator.
  Differs: none.
  """

  activation: str = 'gelu'
  bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Maps [B, T/2, 7, 7, C] to float32 [B, 224, 224]."""
    batch, time, _, _, width = z.shape
    act = ACTIVATIONS[self.activation]
    x = z.transpose(0, 2, 3, 4, 1).astype(self.dtype)  # [B, 7, 7, C, T/2]
    x = act(self._dense(time, time, 'projection2spatial.0', self.dtype)(x))
    x = act(self._dense(1, time, 'projection2spatial.2', self.dtype)(x))
    x = GridNorm(name='projection2spatial.4')(x)
    x = x.reshape(batch, GRID, GRID, width).astype(self.dtype)
    x = PatchExpand(2, width // 2, self.dtype, name='upsample1')(x)
    x = self._blocks(x, 'block1')
    x = PatchExpand(4, width // 8, self.dtype, name='upsample2')(x)
    x = self._blocks(x, 'block2')
    x = PatchExpand(4, width // 32, self.dtype, True, name='upsample3')(x)
    x = x.astype(jnp.float32)
    hidden = PlaneDense(_HIDDEN[width], self.bias, name='channel_projection.0')
    x = PlaneDense(1, self.bias, name='channel_projection.2')(act(hidden(x)))
    x = x[0].transpose(2, 3, 0, 4, 1)  # [B, 56, 4, 56, 4]
    scale = self.param('logit_scale', nn.initializers.ones, ())
    logits = x.reshape(batch, SIDE * SIDE) * scale
    return min_max(jax.nn.softmax(logits)).reshape(batch, SIDE, SIDE)

  def _dense(self, features: int, fan_in: int, name: str, dtype: Any):
    return linear(features, fan_in, self.bias, name, dtype)

  def _blocks(self, x: jax.Array, name: str) -> jax.Array:
    x = x[:, None]  # an image is a map of depth 1
    for i in range(2):
      block = functools.partial(
          SwinBlock,
          _HEADS,
          (1, GRID, GRID),
          shifted=bool(i),
          dtype=self.dtype,
      )
      x = remat.apply(self, block, f'{name}.{i}', False, x)
    return x[:, 0]


class ContextGenerator(nn.Module):
  """Projects the mean trunk feature to CLIP's joint embedding.

  Attributes:
    width: E of CLIP.
    activation: 'gelu' (exact) or 'relu'.
    bias: whether the projection has a bias.
    dtype: of the projection; the norm and the token stay in float32.

  Source: EV-CLIP, "temporal prompt"; trainers/prompt_generator.py,
    EVo_Context_Generator.
  Differs: none.
  """

  width: int
  activation: str = 'gelu'
  bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Maps [B, T/2, h, w, C] to float32 [B, 1, E]."""
    x = z.mean((1, 2, 3))[:, None].astype(self.dtype)  # [B, 1, C]
    x = linear(
        self.width, x.shape[-1], self.bias, 'feature_adaptation.0', self.dtype
    )(x)
    x = ACTIVATIONS[self.activation](x)
    x = Norm(jnp.float32, name='feature_adaptation.2')(x)
    scale = self.param(
        'context_scale', nn.initializers.constant(_FIRST_CONTEXT_SCALE), ()
    )
    return x * scale


def min_max(p: jax.Array) -> jax.Array:
  """Scales each row of float32 [B, N] to almost all of [0, 1).

  The gradients of a row's minimum and maximum go to one element each, the first
  one, as in PyTorch; `jnp.max` would spread them over ties.
  """
  low = jnp.take_along_axis(p, p.argmin(1, keepdims=True), 1)
  high = jnp.take_along_axis(p, p.argmax(1, keepdims=True), 1)
  return (p - low) / (high - low + _RANGE_EPSILON)


class GridNorm(nn.Module):
  """Normalises over the four axes (7, 7, C, 1) together, in float32."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = self.param('scale', nn.initializers.ones, x.shape[1:])
    bias = self.param('bias', nn.initializers.zeros, x.shape[1:])
    return layer_norm(x, scale, bias, 4)


class PatchExpand(nn.Module):
  """Upsamples both sides by `factor`, with a dense layer and a pixel shuffle.

  Attributes:
    factor: upsampling factor.
    width: channels of the result.
    dtype: of the computation.
    planes: whether to put channels first and not to shuffle: few channels as
      the last axis are slow on all devices.
  """

  factor: int
  width: int
  dtype: Any
  planes: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C] to [B, H * factor, W * factor, width].

    With `planes` to [width, row offset, column offset, B, H, W].
    """
    batch, rows, columns, channels = x.shape
    s = self.factor
    # The layer's output is ordered by row offset, column offset, channel.
    if self.planes:
      x = jnp.moveaxis(x, -1, 0)
      x = PlaneDense(s * s * self.width, False, self.dtype, name='expand')(x)
      x = x.reshape(s, s, self.width, batch, rows, columns)
      return Norm(self.dtype, True, name='norm')(jnp.moveaxis(x, 2, 0))
    x = linear(
        s * s * self.width, channels, False, 'expand', self.dtype
    )(x)
    x = x.reshape(batch, rows, columns, s, s, self.width)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, rows * s, columns * s, self.width)
    return Norm(self.dtype, name='norm')(x)


class PlaneDense(nn.Module):
  """Applies a dense layer over the first axis, initialised like PyTorch's."""

  features: int
  bias: bool
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    init = torch_uniform(len(x))
    kernel = self.param('kernel', init, (len(x), self.features))
    x = jnp.tensordot(kernel.T.astype(self.dtype), x.astype(self.dtype), 1)
    if not self.bias:
      return x
    bias = self.param('bias', init, (self.features,)).astype(self.dtype)
    return x + bias.reshape(-1, *(1,) * (x.ndim - 1))
