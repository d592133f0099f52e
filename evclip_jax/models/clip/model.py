"""CLIP: an image tower and a text tower with a joint embedding space."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.models.clip.attention import normal
from evclip_jax.models.clip.hooks import PLAIN, Hooks
from evclip_jax.models.clip.resnet import ModifiedResNet
from evclip_jax.models.clip.sizes import ClipSizes
from evclip_jax.models.clip.transformer import Transformer, norm
from evclip_jax.models.pixels import patches


@dataclasses.dataclass(frozen=True)
class Clip:
  """Defines a CLIP model; every call takes the weights.

  Attributes:
    sizes: the architecture.
    dtype: of the computation, float32 or bfloat16; parameters, norms, softmax
      and results stay in float32.
    remat: what the backward pass recomputes: True = whole blocks (less memory,
      a third more time), False = only what costs little, None = nothing. Hooks
      run again unless it is None.
  """

  sizes: ClipSizes
  dtype: Any = jnp.float32
  remat: bool | None = None

  def images(
      self,
      params_clip: dict[str, Any],
      images: jax.Array,
      hooks: Hooks | None = None,
  ) -> jax.Array:
    """Encodes images.

    Args:
      params_clip: params['clip'].
      images: [n, H, W, 3] float, normalised, of the model's resolution.
      hooks: what a method adds to the image tower.

    Returns:
      float32 [n, E], not normalised.

    Raises:
      ValueError: the images have another resolution.
      UserError: there are hooks for blocks, but the tower is a ResNet.

    Source: openai/CLIP, clip/model.py, CLIP.encode_image.
    Differs: none (channel-last).
    """
    return self._apply_visual(params_clip, images, hooks)

  def tokens(
      self,
      params_clip: dict[str, Any],
      images: jax.Array,
      hooks: Hooks | None = None,
  ) -> jax.Array:
    """Encodes images like `images`, but stops before the readout.

    Returns:
      [n, 1 + S, D] in the dtype of the computation: the class token, then S
      patches, row by row. `readout` of the class tokens gives what `images`
      returns.

    Raises:
      UserError: the image tower is a ResNet, which has no tokens.
    """
    if self.sizes.vision != 'vit':
      raise UserError(
          'this method reads the tokens of the image tower, which a ResNet '
          'does not have: set clip.name to a ViT.'
      )
    return self._apply_visual(params_clip, images, hooks, method='tokens')

  def readout(
      self, params_clip: dict[str, Any], tokens: jax.Array
  ) -> jax.Array:
    """Maps tokens [..., D], as from `tokens`, to float32 [..., E]."""
    tower = self._image_tower(PLAIN)
    variables = {'params': params_clip['visual']}
    return tower.apply(variables, tokens, method='readout')

  def text(
      self,
      params_clip: dict[str, Any],
      tokens: jax.Array,
      hooks: Hooks | None = None,
  ) -> jax.Array:
    """Encodes texts.

    Args:
      params_clip: params['clip'].
      tokens: int32 [..., L], with L up to the context length. The largest id of
        a text marks its end, where the embedding is read out.
      hooks: what a method adds to the text tower.

    Returns:
      float32 [..., E], not normalised.

    Raises:
      ValueError: L is more than the context length.

    Source: openai/CLIP, clip/model.py, CLIP.encode_text.
    Differs: none. Since attention is causal, ids after the end of the longest
      text may be left out.
    """
    if tokens.shape[-1] > self.sizes.context_length:
      raise ValueError(
          f'the text tower takes up to {self.sizes.context_length} ids, got '
          f'tokens {tokens.shape}.'
      )
    tower = self._text_tower(hooks or PLAIN)
    flat = tokens.reshape(-1, tokens.shape[-1])
    out = tower.apply({'params': params_clip['text']}, flat)
    return out.reshape(*tokens.shape[:-1], out.shape[-1])

  def logit_scale(self, params_clip: dict[str, Any]) -> jax.Array:
    """Returns the factor of cosines, about 100 in released models."""
    return jnp.exp(jnp.asarray(params_clip['logit_scale'], jnp.float32))

  def init(self, rng: jax.Array) -> dict[str, Any]:
    """Draws initial float32 weights, as CLIP's authors did."""
    side = self.sizes.image_resolution
    visual, text = jax.random.split(rng)
    return {
        'visual': self._image_tower(PLAIN).init(
            visual, jnp.zeros((1, side, side, 3))
        )['params'],
        'text': self._text_tower(PLAIN).init(
            text, jnp.zeros((1, 1), jnp.int32)
        )['params'],
        'logit_scale': jnp.asarray(math.log(1 / 0.07), jnp.float32),
    }

  def shapes(self) -> dict[str, Any]:
    """Returns the parameters as a tree of jax.ShapeDtypeStruct."""
    return jax.eval_shape(self.init, jax.random.key(0))

  def _apply_visual(self, params_clip, images, hooks, method=None):
    side = self.sizes.image_resolution
    if images.ndim != 4 or images.shape[1:] != (side, side, 3):
      raise ValueError(
          f'the image tower wants [n, {side}, {side}, 3], got {images.shape}.'
      )
    tower = self._image_tower(hooks or PLAIN)
    variables = {'params': params_clip['visual']}
    return tower.apply(variables, images, method=method)

  def _image_tower(self, hooks: Hooks) -> nn.Module:
    if self.sizes.vision == 'vit':
      return VisionTransformer(self.sizes, hooks, self.remat, self.dtype)
    if dataclasses.replace(hooks, moments=None) != PLAIN:
      raise UserError(
          'this method reaches into the transformer blocks of the image tower, '
          'which a ResNet does not have: set clip.name to a ViT.'
      )
    return ModifiedResNet(self.sizes, hooks, self.remat, self.dtype)

  def _text_tower(self, hooks: Hooks) -> nn.Module:
    return TextTransformer(self.sizes, hooks, self.remat, self.dtype)


class VisionTransformer(nn.Module):
  """Encodes images with a transformer; see `Clip`.

  Source: openai/CLIP, clip/model.py, VisionTransformer.
  Differs: none.
  """

  sizes: ClipSizes
  hooks: Hooks
  remat: bool | None
  dtype: Any

  def setup(self):
    sizes, width = self.sizes, self.sizes.vision_width
    init = normal(width**-0.5)
    count = (sizes.image_resolution // sizes.vision_patch) ** 2
    self.conv1 = PatchEmbedding(width, sizes.vision_patch, self.dtype)
    self.class_embedding = self.param('class_embedding', init, (width,))
    self.positional_embedding = self.param(
        'positional_embedding', init, (count + 1, width)
    )
    self.ln_pre = norm(self.dtype)
    self.transformer = Transformer(
        sizes.vision_layers,
        sizes.vision_heads,
        activation=sizes.activation,
        hooks=self.hooks,
        remat=self.remat,
        dtype=self.dtype,
    )
    self.ln_post = norm(jnp.float32)
    self.proj = self.param('proj', init, (width, sizes.embed_dim))

  def __call__(self, images: jax.Array) -> jax.Array:
    return self.readout(self.tokens(images, first_only=True)[:, 0])

  def tokens(self, images: jax.Array, first_only: bool = False) -> jax.Array:
    """Maps [n, H, W, 3] to [n, 1 + S, D], or [n, 1, D] if `first_only`."""
    x = self.conv1(images)
    first = self.class_embedding.astype(x.dtype)
    first = jnp.broadcast_to(first, (x.shape[0], 1, x.shape[-1]))
    x = jnp.concatenate([first, x], axis=1)  # [n, N, D]
    x = x + self.positional_embedding.astype(x.dtype)
    if self.hooks.embed is not None:
      x = self.hooks.embed(x)
    return self.transformer(self.ln_pre(x), first_only)

  def readout(self, x: jax.Array) -> jax.Array:
    """Maps [..., D] to float32 [..., E]."""
    return self.ln_post(x) @ self.proj


class PatchEmbedding(nn.Module):
  """Cuts images into patches and projects each, row by row."""

  width: int
  patch: int
  dtype: Any

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps [n, H, W, 3] to [n, H W / patch^2, D]."""
    shape = self.patch, self.patch, images.shape[-1], self.width
    kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
    # A convolution whose stride is its kernel is one matrix product.
    x = patches(images.astype(self.dtype), self.patch)
    return x @ kernel.reshape(-1, self.width).astype(self.dtype)


class TextTransformer(nn.Module):
  """Encodes texts; see `Clip`."""

  sizes: ClipSizes
  hooks: Hooks
  remat: bool | None
  dtype: Any

  @nn.compact
  def __call__(self, tokens: jax.Array) -> jax.Array:
    """Maps int32 [n, L] to float32 [n, E]."""
    sizes, width = self.sizes, self.sizes.text_width
    table = self.param(
        'token_embedding', normal(0.02), (sizes.vocab_size, width)
    )
    positions = self.param(
        'positional_embedding', normal(0.01), (sizes.context_length, width)
    )
    x = table[tokens] + positions[: tokens.shape[-1]]  # [n, L, D]
    x = x.astype(self.dtype)
    if self.hooks.embed is not None:
      x = self.hooks.embed(x)
    x = Transformer(
        sizes.text_layers,
        sizes.text_heads,
        causal=True,
        activation=sizes.activation,
        hooks=self.hooks,
        remat=self.remat,
        dtype=self.dtype,
        name='transformer',
    )(x)
    end = tokens.argmax(axis=-1)
    x = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
    x = norm(jnp.float32, 'ln_final')(x)
    projection = self.param(
        'text_projection', normal(width**-0.5), (width, sizes.embed_dim)
    )
    return x @ projection
