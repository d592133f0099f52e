"""Omnivore's video trunk: a Swin transformer over space and time."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax.models.swin3d.blocks import SwinBlock
from evclip_jax.models.swin3d.sizes import VideoEncoderSizes
from evclip_jax.models.torch_like import Norm, linear

# Frames, rows and columns of pixels in one patch.
PATCH = (2, 4, 4)


@dataclasses.dataclass(frozen=True)
class VideoEncoder:
  """Defines a trunk; every call takes the weights.

  Attributes:
    sizes: the architecture.
    dtype: of the computation; norms, softmax and results stay in float32.
  """

  sizes: VideoEncoderSizes
  dtype: Any = jnp.float32

  # It takes pixels as the method normalises them; see `Backbones.encoder`.
  constants = None
  drops_paths = True
  differs = ''

  def steps(self, num_frames: int) -> int:
    """Returns the number of time steps in the features.

    Raises:
      UserError: an odd number of frames, for which the original's generators
        have no sizes.
    """
    if num_frames < 2 or num_frames % 2:
      raise UserError(
          f'data.num_frames={num_frames}: this video trunk takes pairs of '
          'frames; wanted an even number.'
      )
    return num_frames // PATCH[0]

  def grid(self, side: int, key: str = '') -> int:
    """Returns the side of the feature map of square frames, in cells."""
    del key
    return -(-side // 32)

  def features(
      self,
      params_encoder: dict[str, Any],
      video: jax.Array,
      drop_path_rng: jax.Array | None = None,
  ) -> jax.Array:
    """Returns the features of the last stage, after the final norm.

    Args:
      params_encoder: params['encoder'].
      video: float [B, T, H, W, 3], normalised; any T, H and W. Incomplete
        patches at the ends are padded with (normalised) zeros.
      drop_path_rng: turns on stochastic depth; None in evaluation.

    Returns:
      float32 [B, ceil(T/2), H', W', C], with H' and W' 1/32 of H and W, rounded
      up at each of the five halvings.

    Source: omnivore, omnivision/models/swin_transformer.py, SwinTransformer3D
      with out_feat_keys=['stage3'].
    Differs: none (channel-last).
    """
    module = Trunk(self.sizes, self.dtype)
    return module.apply({'params': params_encoder}, video, drop_path_rng)[0]

  def stage_outputs(
      self, params_encoder: dict[str, Any], video: jax.Array
  ) -> list[jax.Array]:
    """Returns each stage's output [B, ceil(T/2), h, w, c] after merging."""
    module = Trunk(self.sizes, self.dtype)
    return module.apply({'params': params_encoder}, video)[1]

  def init(self, rng: jax.Array) -> dict[str, Any]:
    """Draws initial float32 weights as a nested dict."""
    # The parameters do not depend on the size of the video.
    video = jnp.zeros((1, PATCH[0], 32, 32, 3))
    return jax.jit(Trunk(self.sizes, self.dtype).init)(rng, video)['params']

  def shapes(self) -> dict[str, Any]:
    """Returns the parameters as a tree of jax.ShapeDtypeStruct."""
    return jax.eval_shape(self.init, jax.random.key(0))


class Trunk(nn.Module):
  """Computes the features; see `VideoEncoder.features`."""

  sizes: VideoEncoderSizes
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, video, rng=None):
    """Returns the normalised features, and the outputs of all stages."""
    sizes = self.sizes
    x = PatchEmbed(sizes.embed, self.dtype, name='patch_embed')(video)
    rates = np.linspace(0, sizes.drop_path, sum(sizes.depths))
    last = len(sizes.depths) - 1
    stages, first = [], 0
    for i, (depth, heads) in enumerate(
        zip(sizes.depths, sizes.heads, strict=True)
    ):
      stage = Stage(
          heads=heads,
          window=sizes.window,
          rates=tuple(float(r) for r in rates[first : first + depth]),
          merge=i < last,
          dtype=self.dtype,
          name=f'layers.{i}',
      )
      x = stage(x, None if rng is None else jax.random.fold_in(rng, i))
      stages.append(x)
      first += depth
    return Norm(jnp.float32, name='norm')(x), stages


class PatchEmbed(nn.Module):
  """Cuts a video into patches and projects each: [B, T, H, W, 3] -> map."""

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, video: jax.Array) -> jax.Array:
    extra = [-n % p for n, p in zip(video.shape[1:4], PATCH, strict=True)]
    if any(extra):
      video = jnp.pad(video, ((0, 0), *((0, e) for e in extra), (0, 0)))
    batch, frames, rows, columns, colours = video.shape
    d, h, w = frames // PATCH[0], rows // PATCH[1], columns // PATCH[2]
    # A convolution whose stride is its kernel is one matrix product.
    x = video.astype(self.dtype)
    x = x.reshape(batch, d, PATCH[0], h, PATCH[1], w, PATCH[2], colours)
    x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, d, h, w, -1)
    x = PatchProjection(self.width, self.dtype, name='proj')(x)
    return Norm(self.dtype, name='norm')(x)


class PatchProjection(nn.Module):
  """Multiplies by a kernel that is stored as that of a convolution."""

  width: int
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (*PATCH, x.shape[-1] // int(np.prod(PATCH)), self.width)
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    bias = self.param('bias', nn.initializers.zeros, (self.width,))
    kernel = kernel.reshape(x.shape[-1], self.width).astype(self.dtype)
    return x @ kernel + bias.astype(self.dtype)


class Stage(nn.Module):
  """Applies blocks, every other one shifted, then merges patches."""

  heads: int
  window: tuple[int, int, int]
  rates: tuple[float, ...]
  merge: bool
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array, rng: jax.Array | None) -> jax.Array:
    for i, rate in enumerate(self.rates):
      block = SwinBlock(
          self.heads,
          self.window,
          shifted=bool(i % 2),
          drop_path=rate,
          dtype=self.dtype,
          name=f'blocks.{i}',
      )
      x = block(x, None if rng is None else jax.random.fold_in(rng, i))
    return PatchMerge(self.dtype, name='downsample')(x) if self.merge else x


class PatchMerge(nn.Module):
  """Halves height and width and doubles the channels; keeps time."""

  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    batch, depth, rows, columns, width = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
    h, w = -(-rows // 2), -(-columns // 2)
    x = x.reshape(batch, depth, h, 2, w, 2, width)
    # The original's order of the four neighbours: column by column.
    x = x.transpose(0, 1, 2, 4, 5, 3, 6).reshape(batch, depth, h, w, 4 * width)
    x = Norm(self.dtype, name='norm')(x)
    return linear(2 * width, 4 * width, False, 'reduction', self.dtype)(x)
