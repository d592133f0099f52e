"""AIM: reuses a frozen CLIP's attention over time, with adapters around it."""

import dataclasses

import jax
import jax.numpy as jnp

from evclip_jax.methods import adapters, base, heads
from evclip_jax.methods.class_texts import DescriptionSettings
from evclip_jax.methods.original_checkpoint import Checkpoint, ClipPart
from evclip_jax.models.clip.hooks import Hooks
from evclip_jax.models.pixels import fold_time, unfold_time
from evclip_jax.models.torch_like import layer_norm
from evclip_jax.weights.table import Rule, dense

# The original's recipe for Kinetics-400 with 8 frames.
RECIPE = {
    'batch_size': 64,
    'data.preprocess': 'ez_clip',
    'data.num_frames': 8,
    'data.train_temporal': 'random',
    'optimizer.name': 'adamw',
    'optimizer.learning_rate': 3e-4,
    'optimizer.weight_decay': 0.05,
    'optimizer.no_decay': ('clip/visual/ln_post/.*',),
    'optimizer.schedule': 'warmup_cosine',
    'optimizer.warmup_epochs': 2,
    'train.epochs': 30,
}
_ADAPTER = r'backbone\.transformer\.resblocks\.(\d+)\.{}\.(D_fc1|D_fc2)'
_PLACES = {
    'S_Adapter': 'space',
    'T_Adapter': 'time',
    'T_Adapter_in': 'time_in',
    'MLP_Adapter': 'mlp',
}
CHECKPOINT = Checkpoint(
    'aim',
    'an AIM checkpoint',
    sign=r'.*resblocks\.\d+\.S_Adapter\..*',
    rules=(
        *(
            rule
            for theirs, ours in _PLACES.items()
            for rule in dense(
                _ADAPTER.replace('{}', theirs), rf'method/{ours}/adapter.\1/\2'
            )
        ),
        Rule(r'backbone\.temporal_embedding', 'method/temporal_embedding'),
        *dense(r'cls_head\.fc_cls', 'method/head'),
    ),
    clip=ClipPart('backbone.', without=('visual/proj',)),
    needs=(
        'method/temporal_embedding',
        *(
            f'method/{place}/adapter.0/{layer}/kernel'
            for place in ('space', 'time', 'mlp')
            for layer in ('D_fc1', 'D_fc2')
        ),
    ),
)
_STD = 0.02
# Place of an adapter in a block -> whether it has a skip connection.
_SKIPS = {'space': True, 'time': False, 'time_in': True, 'mlp': False}


@dataclasses.dataclass(frozen=True)
class Settings(DescriptionSettings):
  """Holds AIM's settings.

  Attributes:
    time_adapters: 1 = an adapter after the attention over time; 2 = also one
      before it.
    mlp_scale: factor of the adapter beside the MLP: 0.5 (Kinetics) or 1
      (Something-Something); checkpoints do not contain it.
    head: 'linear', one output per training class, or 'text', class texts.
    template: class texts; '{}' stands for the class name.
    dropout: rate before a linear head.
    drop_path: highest rate of drop path; rates grow from 0 with the layer.
    drop_unit: what drop path drops: a 'sample' (clip) or a 'token' (the same
      position in all clips, the original).
    pixels: colour constants, 'clip' (the original) or 'imagenet'.
  """

  time_adapters: int = 1
  mlp_scale: float = 0.5
  head: str = 'linear'
  template: str = 'a photo of a {}.'
  dropout: float = 0.5
  drop_path: float = 0.2
  drop_unit: str = 'sample'
  pixels: str = 'clip'


def make(
    settings: Settings, backbones: base.Backbones, class_names: tuple[str, ...]
) -> base.Method:
  """Builds AIM on a CLIP with a vision transformer.

  Raises:
    UserError: a setting or a network that does not fit.

  Source: AIM, mmaction/models/backbones/vit_clip.py.
  Differs: drop path drops clips unless drop_unit='token'; the learning rate
    changes in every step; frames, crops and flips are EZ-CLIP's; head='text' is
    an addition.
  """
  base.check_choices(
      settings,
      time_adapters=(1, 2),
      head=('linear', 'text'),
      drop_unit=adapters.DROP_UNITS,
  )
  clip, num_frames = backbones.clip, backbones.num_frames
  base.check_vit(clip, 'aim')
  width, depth = clip.sizes.vision_width, clip.sizes.vision_layers
  linear = settings.head == 'linear'
  head = heads.LinearHead(width, class_names)
  names = [n for n in _SKIPS if n != 'time_in' or settings.time_adapters == 2]

  def init(rng):
    keys = jax.random.split(rng, len(_SKIPS) + 1)
    own = {'head': head.init(keys[0])} if linear else {}
    for key, name in zip(keys[1:], _SKIPS, strict=True):
      if name in names:
        own[name] = adapters.init_adapters(key, depth, width, _STD)
    return own | {'temporal_embedding': jnp.zeros((1, num_frames, width))}

  def hooks(own, rngs):
    path_rates = adapters.drop_rates(settings.drop_path, depth)
    drops = adapters.Drops(rngs, 0, path_rates, (0.0,), settings.drop_unit)

    def adapt(name, layer, x):
      leaves = own[name][f'adapter.{layer}']
      adapter = adapters.Adapter(_SKIPS[name], clip.dtype)
      return adapter.apply({'params': leaves}, x)

    def embed(x):
      added = own['temporal_embedding'][0, :, None].astype(x.dtype)
      return fold_time(unfold_time(x, num_frames) + added)

    def over_time(layer, x, attend):
      def before(y):
        return adapt('time_in', layer, y) if 'time_in' in own else y

      y = adapters.attend_over_time(x, num_frames, attend, adapt=before)
      y = adapt('time', layer, y)
      return x + drops.path(layer, 'time path', y, num_frames)

    def beside_mlp(layer, y):
      z = settings.mlp_scale * adapt('mlp', layer, y)
      return drops.path(layer, 'mlp path', z, num_frames)

    return Hooks(
        embed=embed,
        before_attn=over_time,
        around_attn=lambda layer, y: adapt('space', layer, y),
        beside_mlp=beside_mlp,
    )

  def video(params, pixels, rngs, train):
    frozen = params['clip']
    tower = hooks(params['method'], rngs if train else None)
    tokens = clip.tokens(frozen, fold_time(pixels), tower)
    tokens = unfold_time(tokens[:, 0], num_frames)  # [B, T, D]
    norm = frozen['visual']['ln_post']
    frames = layer_norm(tokens, norm['scale'], norm['bias'], 1)
    if not linear:
      frames = frames @ frozen['visual']['proj']
    return base.VideoFeatures(frames.mean(axis=1), frames)

  return heads.headed(
      head if linear else None,
      settings,
      clip,
      init=jax.jit(init),
      pixels=base.plain_pixels(settings),
      video=video,
      trainable=('method/.*', 'clip/visual/ln_post/.*'),
  )
