"""CLIP's towers with adapters, and with temporal prompts in the image tower.

A temporal prompt is a token that every frame gets in a block: a trained vector
plus the mean of the frame's tokens, after attention over the frames.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.methods.adapters import (
  Adapter,
  Drops,
  attend_over_time,
  drop_rates,
  init_adapters,
)
from evclip_jax.models.clip.hooks import Attend, Hooks, Reweigh
from evclip_jax.models.clip.sizes import ClipSizes
from evclip_jax.models.pixels import fold_time, unfold_time

Params = dict[str, Any]
TEMPORAL = ('deep', 'shallow', 'adapter', 'none')
PROMPTED = ('deep', 'shallow')
# Keep the keys of the towers apart.
_IMAGE, _TEXT = range(2)


@dataclasses.dataclass(frozen=True)
class AdaptedTowers:
  """Draws trained leaves, and builds hooks that insert them into CLIP.

  Attributes:
    sizes: of CLIP, with a vision transformer.
    num_frames: T.
    settings: of the method; `init` and `views` read only those whose names
      begin with 'temporal'.
    dtype: of the computation.
  """

  sizes: ClipSizes
  num_frames: int
  settings: Any
  dtype: Any = jnp.float32

  def init(self, rng: jax.Array) -> Params:
    """Draws the initial leaves, with which adapters change nothing."""
    sizes = self.sizes
    keys = iter(jax.random.split(rng, 4))
    layers, width = sizes.vision_layers, sizes.vision_width
    out = {
        'image': init_adapters(next(keys), layers, width),
        'text': init_adapters(next(keys), sizes.text_layers, sizes.text_width),
    }
    temporal = self.settings.temporal
    if temporal == 'adapter':
      out['time'] = init_adapters(next(keys), layers, width)
    if temporal in PROMPTED:
      count = layers if temporal == 'deep' else 1
      out['temporal_prompts'] = init_temporal_prompts(
          next(keys), count, self.num_frames, width
      )
    if self.settings.temporal_embedding:
      out['temporal_embedding'] = jnp.zeros((1, self.num_frames, width))
    return out

  def views(self) -> list[tuple[str, bool]]:
    """Lists attention maps: (name, whether frames see each other)."""
    if self.settings.temporal == 'none':
      return [('attention', True)]
    prompts = self.settings.temporal in PROMPTED
    name = 'prompts' if prompts else 'temporal adapters'
    return [(f'with {name}', True), (f'without {name}', False)]

  def image_hooks(
      self, own: Params, rngs: dict | None, prompted=True, see=None
  ) -> Hooks:
    """Builds the hooks of the image tower.

    Args:
      own: params['method'].
      rngs: random keys; None = nothing is dropped.
      prompted: whether frames see each other.
      see: called with (layer, attention probabilities).
    """
    num_frames, settings = self.num_frames, self.settings
    drops = self._drops(rngs, _IMAGE)
    adapt = self._adapter(own['image'])

    def embed(x):
      y = unfold_time(x, num_frames)  # [B, T, N, D]
      added = own['temporal_embedding'][0, :, None].astype(x.dtype)
      return fold_time(y + added)

    def reweigh(layer):
      return lambda weights: drops.attention(layer, 'time attention', weights)

    def add_prompts(layer, x, attend):
      if layer >= len(own['temporal_prompts']):
        return x
      vectors = own['temporal_prompts'][layer]
      vectors = drops.elements(
          layer, 'prompt', vectors, settings.prompt_dropout
      )
      y = prompt_tokens(x, vectors, attend, reweigh(layer))
      y = drops.path(layer, 'time path', y)
      return jnp.concatenate([x, fold_time(y)[:, None]], axis=1)

    def remove_prompts(layer, x):
      prompts = layer < len(own['temporal_prompts'])
      return adapt(layer, x[:, :-1] if prompts else x)

    def add_time(layer, x, attend):
      y = attend_over_time(x, num_frames, attend, reweigh(layer))
      y = self._adapter(own['time'], skip=False)(layer, y)
      return x + drops.path(layer, 'time path', y, num_frames)

    before, after = None, adapt
    if prompted and settings.temporal == 'adapter':
      before = add_time
    elif prompted and settings.temporal in PROMPTED:
      before, after = add_prompts, remove_prompts
    return dataclasses.replace(
        drops.hooks(num_frames),
        embed=embed if settings.temporal_embedding else None,
        before_attn=before,
        after_attn=after,
        attention_map=see,
    )

  def text_hooks(self, own: Params, rngs: dict | None) -> Hooks:
    """Builds the hooks of the text tower."""
    return dataclasses.replace(
        self._drops(rngs, _TEXT).hooks(1), after_attn=self._adapter(own['text'])
    )

  def _drops(self, rngs: dict | None, tower: int) -> Drops:
    # Both towers use these rates; a shallower text tower uses the first ones.
    layers = self.sizes.vision_layers
    return Drops(
        rngs,
        tower,
        drop_rates(self.settings.drop_path, layers),
        drop_rates(self.settings.attention_dropout, layers),
        self.settings.drop_unit,
    )

  def _adapter(self, leaves: Params, skip: bool = True):
    adapter = Adapter(skip, self.dtype)
    return lambda layer, x: adapter.apply(
        {'params': leaves[f'adapter.{layer}']}, x
    )


def init_temporal_prompts(
    rng: jax.Array, layers: int, num_frames: int, width: int
) -> jax.Array:
  """Draws one vector per layer and frame, [layers, T, D].

  Source: EZ-CLIP, clip/model.py, Transformer.
  Differs: none; as there, the bound is for patches of 16 pixels in all CLIPs.
  """
  bound = math.sqrt(6 / (3 * 16 * 16 + width))
  shape = (layers, num_frames, width)
  return jax.random.uniform(rng, shape, jnp.float32, -bound, bound)


def prompt_tokens(
    x: jax.Array,
    vectors: jax.Array,
    attend: Attend,
    reweigh: Reweigh | None = None,
) -> jax.Array:
  """Makes one token per frame that has seen the clip's other frames, [B, T, D].

  It is the frame's vector plus the mean of its tokens, after attention over the
  frames with the block's own weights, without a skip connection.

  Args:
    x: [B*T, N, D], the tokens of every frame.
    vectors: [T, D].
    attend, reweigh: see `hooks.Attend`.

  Source: EZ-CLIP, clip/model.py, ResidualAttentionBlock.
  Differs: none.
  """
  means = unfold_time(x.mean(axis=1), len(vectors))  # [B, T, D]
  return attend(vectors.astype(x.dtype) + means, reweigh)


def resize_prompts(vectors: np.ndarray, num_frames: int) -> np.ndarray:
  """Interpolates prompts [layers, S, D] of S frames linearly for T frames.

  Frame t of T is at (t + 1/2) / T of a clip; the ends are repeated.
  """
  old = vectors.shape[1]
  x = (np.arange(num_frames) + 0.5) * old / num_frames - 0.5
  resize = functools.partial(np.interp, x, np.arange(old))
  return np.apply_along_axis(resize, 1, vectors).astype(vectors.dtype)
