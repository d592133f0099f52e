"""Cases of the baselines: CoOp, ViFi-CLIP, IVLP, ST-Adapter, AIM."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from evclip_jax.methods import aim, base, coop, ivlp, st_adapter, vifi_clip
from evclip_jax.models.clip.model import Clip
from evclip_jax.weights import clip_names
from tests.parity import compare, ev_clip, training
from tests.parity.draw import Case, CaseError, field

Flat = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Kind:
  """One kind of case.

  Attributes:
    module: the method's.
    settings: case -> its settings.
    layout: of the video.
    heads: whether there is a second set of results with a head of texts.
  """

  module: Any
  settings: Callable[[Case], Any]
  layout: str
  heads: bool = False

  def names(self, grads: Flat) -> Flat:
    """Returns grads by whole path in the original's names and layout."""
    return self.module.CHECKPOINT.to_original(jax.device_get(grads))


def _coop(case: Case):
  return coop.Settings(**ev_clip.word_settings(case))


def _vifi(case: Case):
  return vifi_clip.Settings(train=field(_options(case), 'use', str))


def _ivlp(case: Case):
  own = _options(case)
  return ivlp.Settings(
      vision_prompts=field(own, 'n_ctx_vision', int),
      vision_depth=field(own, 'depth_vision', int),
      words=field(own, 'n_ctx_text', int),
      text_depth=field(own, 'depth_text', int),
  )


def _st_adapter(case: Case):
  own = _options(case)
  flags = (
      field(own, 'adapter_pre_attn', bool),
      field(own, 'adapter_pre_mlp', bool),
  )
  places = {(1, 0): 'attention', (0, 1): 'mlp', (1, 1): 'both'}
  return st_adapter.Settings(
      width=field(own, 'adapter_width', int),
      before=places[flags],
      layers=field(own, 'adapter_layers', int),
      kernel=tuple(field(own, 'adapter_kernel_size', list)),
  )


def _aim(case: Case):
  own = _options(case)
  return aim.Settings(
      time_adapters=field(own, 'num_tadapter', int),
      mlp_scale=float(field(own, 'adapter_scale', (int, float))),
  )


def _options(case: Case) -> dict[str, Any]:
  return case.field('options', dict)


_KINDS = {
    'coop': Kind(coop, _coop, 'BCTHW'),
    'vifi': Kind(vifi_clip, _vifi, 'BTCHW'),
    'ivlp': Kind(ivlp, _ivlp, 'BTCHW'),
    'st_adapter': Kind(st_adapter, _st_adapter, 'BCTHW', True),
    'aim': Kind(aim, _aim, 'BCTHW', True),
}
KINDS = tuple(_KINDS)


def run(case: Case) -> list[compare.Line]:
  """Runs the real method on drawn weights, with its own head and with texts."""
  kind = _KINDS[case.field('kind', str)]
  video = case.video(kind.layout)
  clip, params = build(case, kind)
  tokens = case.integers('tokens', clip.sizes.vocab_size)
  labels = case.integers('labels', len(tokens))
  settings = kind.settings(case)
  given = clip, params, video, tokens, labels
  own = make_steps(kind, settings, *given)
  found, grads = first = own.gradient(own.trainable)
  ours = {'video_features': found['features'].clip}
  ours |= {name: found[name] for name in ('text_features', 'logits', 'total')}
  ours['losses'] = training.trajectory(
      case, own.trainable, own.gradient, first, _no_decay(case, kind, grads)
  )
  lines = compare.gradients(case.field('grads', dict), kind.names(grads))
  if kind.heads:
    settings = dataclasses.replace(settings, head='text')
    texts = make_steps(kind, settings, *given)
    found, grads = texts.gradient(texts.trainable)
    ours |= {
        'text_features': found['text_features'],
        'text_logits': found['logits'],
        'text_total': found['total'],
    }
    lines += compare.gradients(
        case.field('text_grads', dict), kind.names(grads)
    )
  return (
      compare.outputs(case.expected, ours, given=('tokens', 'labels')) + lines
  )


def make_steps(kind, settings, clip, params, video, tokens, labels):
  """Builds the method; its leaves must be those that the case has."""
  names = tuple(f'class {i}' for i in range(len(tokens)))
  networks = base.Backbones(clip, None, video.shape[1])
  method = kind.module.make(settings, networks, names)
  wanted = jax.eval_shape(method.init, jax.random.key(0))
  own = {k: x for k, x in params.get('method', {}).items() if k in wanted}
  theirs = jax.tree.map(np.shape, own)
  if theirs != jax.tree.map(lambda x: x.shape, wanted):
    raise CaseError('the tensors are not those of the manifest options.')
  tree = {'clip': params['clip']} | ({'method': own} if own else {})
  return training.Steps(method, tree, video, labels, tokens)


def build(case: Case, kind: Kind) -> tuple[Clip, base.Params]:
  """Builds a CLIP and all weights, through the real converters.

  CLIP's tensors come from its own section, and from the method's checkpoint
  where that holds them.
  """
  section = case.field('coop', dict) if 'coop' in case.manifest else None
  converted = kind.module.CHECKPOINT.from_original(case.state(section))
  prefix = '' if kind.module.CHECKPOINT.part == 'several' else 'method/'
  flat = {prefix + path: x for path, x in converted.flat.items()}
  theirs = clip_names.to_original({
      path.removeprefix('clip/'): x
      for path, x in flat.items()
      if path.startswith('clip/')
  })
  own = case.state(case.field('clip', dict))
  clip = clip_names.from_original(own | theirs)
  tree = {f'clip/{path}': x for path, x in clip.flat.items()} | flat
  config = case.manifest.get('config', case.manifest['clip'].get('config', {}))
  heads = config.get('transformer_heads', clip.sizes.text_heads)
  sizes = dataclasses.replace(clip.sizes, text_heads=heads)
  return Clip(sizes), unflatten_dict(tree, sep='/')


def _no_decay(case: Case, kind: Kind, grads: Flat) -> tuple[str, ...]:
  """Returns patterns of the leaves that the case keeps from decay."""
  kept = set(case.manifest['adamw'].get('no_decay', ()))
  return tuple(
      re.escape(path)
      for path, grad in grads.items()
      if set(kind.names({path: grad})) & kept
  )
