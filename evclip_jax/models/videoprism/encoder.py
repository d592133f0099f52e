"""VideoPrism's video encoder: attention in space, then in time."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.models.pixels import fold_time, patches
from evclip_jax.models.videoprism.layers import Block, norm
from evclip_jax.models.videoprism.sizes import VideoPrismSizes


@dataclasses.dataclass(frozen=True)
class VideoPrismEncoder:
  """Defines an encoder; every call takes the weights.

  Attributes:
    sizes: the architecture.
    dtype: of the computation; norms, softmax, positions and results stay in
      float32.
  """

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  # It takes pixels in 0..1; see `Backbones.encoder`.
  constants = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
  drops_paths = False
  differs = (
      'the trunk is VideoPrism, not Omnivore: features averaged over 7 x 7 '
      "cells, a time step per frame, squares of its own of CLIP's part of each "
      'frame, in 0..1, positions resized to the clip, no stochastic depth'
  )

  def steps(self, num_frames: int) -> int:
    """Returns the number of time steps in the features."""
    return num_frames

  def grid(self, side: int, key: str = 'data.crop_pixels') -> int:
    """Returns the side of the feature map of square frames, in patches.

    Raises:
      UserError: the side is not a multiple of the patch; `key` is the key to
        change.
    """
    patch = self.sizes.patch
    if side % patch or not side:
      raise UserError(
          f'{key}={side}: VideoPrism takes squares whose side is a multiple of '
          f'{patch} pixels; it was trained on {self.sizes.resolution}.'
      )
    return side // patch

  def features(
      self,
      params_encoder: dict[str, Any],
      video: jax.Array,
      drop_path_rng: jax.Array | None = None,
  ) -> jax.Array:
    """Returns the features of every patch, float32 [B, T, h, w, D].

    Args:
      params_encoder: params['encoder'].
      video: float [B, T, S, S, 3] in 0..1; S is a multiple of the patch.
      drop_path_rng: unused, since there is no stochastic depth.

    Raises:
      UserError: the frames are not square, not a multiple of the patch or,
        outside jit, not in 0..1.

    Source: VideoPrism, FactorizedEncoder.
    Differs: statistics of layer norms are float32 whatever the dtype; frame
      paddings are left out; square clips only.
    """
    del drop_path_rng
    batch, frames, side = video.shape[:3]
    x = self.both(params_encoder, video)[1]
    cells = self.grid(side)
    return x.reshape(batch, frames, cells, cells, -1)

  def both(
      self, params_encoder: dict[str, Any], video: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns the spatial and the final features, float32 [B, T * N, D]."""
    _check(video)
    self.grid(video.shape[2])
    module = Encoder(self.sizes, self.dtype)
    return module.apply({'params': params_encoder}, video)


class Encoder(nn.Module):
  """Computes spatial and final features; see `VideoPrismEncoder.both`."""

  sizes: VideoPrismSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, jax.Array]:
    sizes, (batch, frames) = self.sizes, video.shape[:2]
    cells = video.shape[2] // sizes.patch
    x = patches(fold_time(video), sizes.patch)  # [B * T, N, 3 * patch^2]
    x = nn.Dense(sizes.width, dtype=self.dtype, name='patch_projection')(x)
    table = self._table('spatial', sizes.grid**2)
    table = table.reshape(sizes.grid, sizes.grid, -1)
    x = x + _resized(table, (cells, cells)).reshape(cells**2, -1)
    x = self._blocks(x, 'spatial', sizes.spatial_layers)
    spatial = norm(jnp.float32, 'spatial_norm')(x)
    # Each patch attends to itself in the other frames.
    x = spatial.reshape(batch, frames, cells**2, -1).swapaxes(1, 2)
    x = x.reshape(-1, frames, sizes.width)
    x = x + _resized(self._table('temporal', sizes.num_frames), (frames,))
    x = self._blocks(x, 'temporal', sizes.temporal_layers)
    x = norm(jnp.float32, 'temporal_norm')(x)
    x = x.reshape(batch, cells**2, frames, -1).swapaxes(1, 2)
    tokens = batch, frames * cells**2, sizes.width
    return spatial.reshape(tokens), x.reshape(tokens)

  def _table(self, kind: str, rows: int) -> jax.Array:
    init = nn.initializers.normal(0.02)
    shape = (rows, self.sizes.width)
    return self.param(f'{kind}_position_embedding', init, shape)

  def _blocks(self, x: jax.Array, tower: str, layers: int) -> jax.Array:
    x = x.astype(self.dtype)
    for i in range(layers):
      x = Block(
          self.sizes.heads, self.sizes.hidden, self.dtype, name=f'{tower}.{i}'
      )(x)
    return x


def _check(video: jax.Array):
  """Raises UserError unless frames are square floats, about in 0..1."""
  fault = ''
  if video.ndim != 5 or video.shape[2] != video.shape[3]:
    fault = f'{list(video.shape)}'
  elif not jnp.issubdtype(video.dtype, jnp.floating):
    fault = f'{video.dtype}; divide by 255'
  # While a function is traced there are no values.
  elif not isinstance(video, jax.core.Tracer):
    low, high = float(video.min()), float(video.max())
    if not (low >= -1 and high <= 2):
      fault = f'values in {low:.3g}..{high:.3g}'
  if fault:
    raise UserError(
        f'VideoPrism wants square frames [B, T, S, S, 3], floats in 0..1, not '
        f'{fault}.'
    )


def _resized(table: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Resizes a table of positions to another grid, with antialiasing."""
  shape = (*shape, table.shape[-1])
  if table.shape == shape:
    return table
  return jax.image.resize(table, shape, 'bilinear')
