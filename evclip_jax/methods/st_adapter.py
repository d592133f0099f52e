"""ST-Adapter: bottlenecks with a space-time convolution in a frozen CLIP."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp

from data_pipelines.errors import UserError
from evclip_jax.methods import base, heads
from evclip_jax.methods.class_texts import DescriptionSettings
from evclip_jax.methods.original_checkpoint import Checkpoint
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.pixels import fold_time, unfold_time
from evclip_jax.models.torch_like import layer_norm, torch_uniform
from evclip_jax.weights.table import Layout, Rule, dense

# The original's recipe for Something-Something, its learning rate for 64 clips.
RECIPE = {
    'batch_size': 64,
    'data.preprocess': 'ez_clip',
    'data.num_frames': 8,
    'data.train_temporal': 'random',
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 2.5e-4,
    'optimizer.weight_decay': 1e-2,
    'optimizer.no_decay': ('.*/bias',),
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 2,
    'train.epochs': 50,
}
# A filter per channel: [C, 1, T, H, W] -> [T, H, W, C].
_CONV = Layout(
    'one filter per channel',
    lambda x: x[:, 0].transpose(1, 2, 3, 0),
    lambda x: x.transpose(3, 0, 1, 2)[:, None],
)
_BLOCK = r'transformer\.resblocks\.(\d+)\.adapter_(pre_attn|pre_mlp)\.'
_OURS = r'method/blocks.\1/\2/'
CHECKPOINT = Checkpoint(
    'st-adapter',
    'an ST-Adapter checkpoint',
    sign=_BLOCK + '.*',
    rules=(
        *dense(_BLOCK + '(fc1|fc2)', _OURS + r'\3'),
        Rule(_BLOCK + r'conv\.weight', _OURS + 'conv/kernel', _CONV),
        Rule(_BLOCK + r'conv\.bias', _OURS + 'conv/bias'),
        *dense('fc', 'method/head'),
    ),
    last_blocks=True,
)
_HEAD_STD = 0.02
_PLACES = {
    'mlp': ('pre_mlp',),
    'attention': ('pre_attn',),
    'both': ('pre_attn', 'pre_mlp'),
}


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds ST-Adapter's settings.

  Attributes:
    width: channels of the bottleneck.
    before: where adapters are: before the 'mlp' (the original's 12x384), the
      'attention', or 'both' (24x384).
    layers: how many of the last blocks have adapters; 0 = all.
    kernel: size of the convolution, (frames, rows, columns), odd numbers.
    head: 'linear', one output per training class, or 'text', class texts.
    template: class texts; '{}' stands for the class name.
    dropout: rate before a linear head.
    pixels: colour constants, 'clip' (the original) or 'imagenet'.
  """

  width: int = 384
  before: str = 'mlp'
  layers: int = 0
  kernel: tuple[int, ...] = (3, 1, 1)
  head: str = 'linear'
  template: str = 'a photo of a {}.'
  dropout: float = 0.5
  pixels: str = 'clip'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds ST-Adapter on a CLIP with a vision transformer.

  Raises:
    UserError: a setting or a network that does not fit.

  Source: ST-Adapter, video_models/clip_vit.py.
  Differs: no half precision; frames, crops and flips are EZ-CLIP's, without
    RandAugment; head='text' is an addition.
  """
  _check(settings, backbones)
  clip, num_frames = backbones.clip, backbones.num_frames
  depth = clip.sizes.vision_layers
  blocks = range(depth - (settings.layers or depth), depth)
  places = _PLACES[settings.before]
  linear = settings.head == 'linear'
  head = heads.LinearHead(clip.sizes.vision_width, class_names, _HEAD_STD)

  def init(rng):
    keys = iter(jax.random.split(rng, 2 * depth + 1))
    own = {'head': head.init(next(keys))} if linear else {}
    for layer in blocks:
      own[f'blocks.{layer}'] = {
          place: _init_adapter(next(keys), clip.sizes.vision_width, settings)
          for place in places
      }
    return own

  def hooks(own):
    def adapt(layer, x, place):
      leaves = own.get(f'blocks.{layer}', {}).get(place)
      return x if leaves is None else _adapted(leaves, x, num_frames)

    return Hooks(
        before_attn=lambda layer, x, attend: adapt(layer, x, 'pre_attn'),
        after_attn=lambda layer, x: adapt(layer, x, 'pre_mlp'),
    )

  def video(params, pixels, rngs, train):
    frozen = params['clip']
    tokens = clip.tokens(frozen, fold_time(pixels), hooks(params['method']))
    frames = unfold_time(tokens[:, 0], num_frames).astype(jnp.float32)
    mean = frames.mean(axis=1)  # [B, D], before the last norm
    if not linear:
      return base.VideoFeatures(
          clip.readout(frozen, mean), clip.readout(frozen, frames)
      )
    norm = frozen['visual']['ln_post']
    return base.VideoFeatures(
        layer_norm(mean, norm['scale'], norm['bias'], 1), frames
    )

  return heads.headed(
      head if linear else None,
      settings,
      clip,
      init=jax.jit(init),
      pixels=base.plain_pixels(settings),
      video=video,
      # Only the class token is read, and no attention follows these adapters.
      dead=(rf'method/blocks\.{depth - 1}/pre_mlp/.*',),
  )


def _init_adapter(rng: jax.Array, width: int, settings: Settings):
  first, second = jax.random.split(rng)
  narrow = settings.width
  return {
      'fc1': _dense(torch_uniform(width)(first, (width, narrow))),
      'conv': _dense(jnp.zeros((*settings.kernel, narrow))),
      'fc2': _dense(torch_uniform(narrow)(second, (narrow, width))),
  }


def _dense(kernel: jax.Array):
  return {'kernel': kernel, 'bias': jnp.zeros(kernel.shape[-1])}


def _adapted(own: base.Params, x: jax.Array, num_frames: int) -> jax.Array:
  """Applies an adapter to the patch tokens of x [B*T, 1 + S, D]."""

  def dense(y, name):
    leaves = jax.tree.map(lambda leaf: leaf.astype(x.dtype), own[name])
    return y @ leaves['kernel'] + leaves['bias']

  y = dense(x[:, 1:], 'fc1')  # [B*T, S, C]
  side = round(y.shape[1] ** 0.5)
  y = y.reshape(-1, num_frames, side, side, y.shape[-1])
  kernel = own['conv']['kernel'].astype(x.dtype)
  half = [size // 2 for size in kernel.shape[:3]]
  padded = jnp.pad(y, [(0, 0), *((h, h) for h in half), (0, 0)])
  out = own['conv']['bias'].astype(x.dtype)
  # A depthwise convolution, as a few products of shifted arrays.
  for t, r, c in itertools.product(*map(range, kernel.shape[:3])):
    part = padded[:, t:, r:, c:][:, : y.shape[1], :side, :side]
    out = out + part * kernel[t, r, c]
  y = dense(out.reshape(x.shape[0], side * side, -1), 'fc2')
  return x.at[:, 1:].add(y)


def _check(settings: Settings, backbones: base.Backbones):
  base.check_choices(settings, before=_PLACES, head=('linear', 'text'))
  base.check_vit(backbones.clip, 'st_adapter')
  kernel, depth = settings.kernel, backbones.clip.sizes.vision_layers
  if len(kernel) != 3 or not all(k > 0 and k % 2 for k in kernel):
    raise UserError(
        f'method.settings.kernel={kernel}: wanted three odd numbers, such as '
        '(3, 1, 1).'
    )
  if settings.width < 1 or not 0 <= settings.layers <= depth:
    raise UserError(
        f'method.settings.width={settings.width}, layers={settings.layers}: '
        f'use 1 or more, and 0 to {depth}.'
    )
