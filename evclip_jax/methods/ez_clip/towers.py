"""CLIP's towers with adapters, and with temporal prompts in the image tower."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from evclip_jax.methods.ez_clip import temporal as time
from evclip_jax.methods.ez_clip.adapter import Adapter
from evclip_jax.methods.ez_clip.drops import Drops, rates
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.clip.sizes import ClipSizes
from evclip_jax.models.pixels import fold_time, unfold_time

Params = dict[str, Any]
TEMPORAL = ('deep', 'shallow', 'adapter', 'none')
_PROMPTED = ('deep', 'shallow')
# Keeps the keys of the towers apart.
_IMAGE, _TEXT = range(2)


@dataclasses.dataclass(frozen=True)
class AdaptedTowers:
  """Trained leaves and the hooks that put them into CLIP's towers.

  Attributes:
    sizes: of CLIP, with a vision transformer.
    num_frames: T.
    dtype: of the computation.
    temporal: how frames see each other, one of `TEMPORAL`.
    shuffled: whether 'adapter' mixes up clips as the original does.
    temporal_embedding: whether there is a frozen vector per frame.
    drop_path: highest rate; see `drops.rates`.
    drop_unit: see `drops.Drops`.
    attention_dropout: highest rate.
    prompt_dropout: of single numbers of the prompts.
  """

  sizes: ClipSizes
  num_frames: int
  dtype: Any = jnp.float32
  temporal: str = 'deep'
  shuffled: bool = False
  temporal_embedding: bool = False
  drop_path: float = 0.0
  drop_unit: str = 'token'
  attention_dropout: float = 0.0
  prompt_dropout: float = 0.0

  def init(self, rng: jax.Array) -> Params:
    """The trained leaves, with which adapters change nothing."""
    sizes = self.sizes
    keys = iter(jax.random.split(rng, 4))
    layers, width = sizes.vision_layers, sizes.vision_width
    out = {
        'image': _init_adapters(next(keys), layers, width),
        'text': _init_adapters(next(keys), sizes.text_layers, sizes.text_width),
    }
    if self.temporal == 'adapter':
      out['time'] = _init_adapters(next(keys), layers, width)
    if self.temporal in _PROMPTED:
      count = layers if self.temporal == 'deep' else 1
      out['prompts'] = time.init_prompts(
          next(keys), count, self.num_frames, width
      )
    if self.temporal_embedding:
      out['temporal_embedding'] = jnp.zeros((1, self.num_frames, width))
    return out

  def views(self) -> list[tuple[str, bool]]:
    """The names of attention maps and whether frames see each other there."""
    if self.temporal == 'none':
      return [('attention', True)]
    name = 'prompts' if self.temporal in _PROMPTED else 'temporal adapters'
    return [(f'with {name}', True), (f'without {name}', False)]

  def image_hooks(
      self, own: Params, rngs: dict | None, prompted=True, see=None
  ) -> Hooks:
    """Of the image tower.

    Args:
      own: params['method'].
      rngs: None where nothing is dropped.
      prompted: whether frames see each other.
      see: (layer, attention probabilities) -> None.
    """
    num_frames = self.num_frames
    drops = self._drops(rngs, _IMAGE)
    adapt = self._adapter(own['image'])

    def embed(x):
      y = unfold_time(x, num_frames)  # [B, T, N, D]
      added = own['temporal_embedding'][0, :, None].astype(x.dtype)
      return fold_time(y + added)

    def time_attention(layer):
      return lambda w: drops.attention(layer, 'time attention', w)

    def add_prompts(layer, x, attend):
      if layer >= len(own['prompts']):
        return x
      vectors = drops.elements(
          layer, 'prompt', own['prompts'][layer], self.prompt_dropout
      )
      y = time.prompt_tokens(x, vectors, attend, time_attention(layer))
      y = drops.path(layer, 'time path', y)
      return jnp.concatenate([x, fold_time(y)[:, None]], axis=1)

    def add_time(layer, x, attend):
      y = time.attend_over_time(
          x, num_frames, attend, time_attention(layer)
      )
      y = self._adapter(own['time'], skip=False)(layer, y)
      if self.shuffled:
        y = time.shuffle_frames(y, num_frames)
      return x + drops.path(layer, 'time path', y, num_frames)

    def drop_prompts(layer, x):
      return adapt(layer, x[:, :-1] if layer < len(own['prompts']) else x)

    before, after = None, adapt
    if prompted and self.temporal == 'adapter':
      before = add_time
    elif prompted and self.temporal in _PROMPTED:
      before, after = add_prompts, drop_prompts
    return dataclasses.replace(
        _dropping(drops, num_frames),
        embed=embed if self.temporal_embedding else None,
        before_attn=before,
        after_attn=after,
        attention_map=see,
    )

  def text_hooks(self, own: Params, rngs: dict | None) -> Hooks:
    """Of the text tower."""
    return dataclasses.replace(
        _dropping(self._drops(rngs, _TEXT), 1),
        after_attn=self._adapter(own['text']),
    )

  def _drops(self, rngs: dict | None, tower: int) -> Drops:
    # A deeper image tower leaves the text tower the first of its rates.
    layers = self.sizes.vision_layers
    return Drops(
        rngs,
        tower,
        rates(self.drop_path, layers),
        rates(self.attention_dropout, layers),
        self.drop_unit,
    )

  def _adapter(self, leaves: Params, skip: bool = True):
    adapter = Adapter(skip, self.dtype)
    return lambda layer, x: adapter.apply(
        {'params': leaves[f'adapter.{layer}']}, x
    )


def _init_adapters(rng: jax.Array, layers: int, width: int) -> Params:
  # All at once: one by one would take a minute to compile.
  stacked = jax.vmap(Adapter().init, (0, None))(
      jax.random.split(rng, layers), jnp.zeros((1, width))
  )['params']
  return {
      f'adapter.{i}': jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
      for i in range(layers)
  }


def _dropping(drops: Drops, frames: int) -> Hooks:
  """What is dropped in both towers."""
  if drops.rngs is None:
    return Hooks()
  return Hooks(
      reweigh=lambda layer, w: drops.attention(layer, 'attention', w),
      around_attn=lambda layer, y: drops.path(
          layer, 'attention path', y, frames
      ),
      around_mlp=lambda layer, y: drops.path(layer, 'mlp path', y, frames),
  )
