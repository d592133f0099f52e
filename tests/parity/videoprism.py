"""Cases of kind 'videoprism': encoder, video-text model, classifier."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from evclip_jax.models.videoprism import layers, video_text
from evclip_jax.models.videoprism.encoder import VideoPrismEncoder
from evclip_jax.weights import table, videoprism_names
from tests.parity import compare
from tests.parity.draw import Case, CaseError, agree

# Fields of the manifest's config and what we call them.
_CONFIG = {
    'patch_size': 'patch',
    'model_dim': 'width',
    'num_heads': 'heads',
    'mlp_dim': 'hidden',
    'num_spatial_layers': 'spatial_layers',
    'num_temporal_layers': 'temporal_layers',
    'num_auxiliary_layers': 'auxiliary_layers',
    'num_unimodal_layers': 'text_layers',
    'vocabulary_size': 'vocab_size',
}


def run(case: Case) -> list[compare.Line]:
  """Runs the case's part."""
  part = case.field('part', str)
  parts = {
      'encoder': _encoder,
      'video_text': _video_text,
      'classifier': _classifier,
  }
  if part not in parts:
    raise CaseError(f'the manifest field part is {part!r}.')
  inputs = case.inputs()
  if list(inputs) != ['video'] or inputs['video'].ndim != 5:
    raise CaseError('wanted one input, video [B, T, H, W, 3].')
  return parts[part](case, inputs['video'])


def _build(case: Case, state: dict[str, np.ndarray]):
  """Sizes and nested weights, through the real converter."""
  found = videoprism_names.from_original(state)
  config = case.field('config', dict)
  for theirs, our in _CONFIG.items():
    value = getattr(found.sizes, our)
    agree(theirs, config.get(theirs, value), value)
  agree('cap', config.get('atten_logit_cap', layers.CAP), layers.CAP)
  return found.sizes, unflatten_dict(found.flat, sep='/')


def _encoder(case: Case, video: np.ndarray) -> list[compare.Line]:
  sizes, params = _build(case, case.state())
  spatial, features = jax.jit(VideoPrismEncoder(sizes).both)(params, video)
  ours = {'spatial_features': spatial, 'features': features}
  return compare.outputs(case.expected, ours)


def _video_text(case: Case, video: np.ndarray) -> list[compare.Line]:
  sizes, params = _build(case, case.state())
  model = video_text.VideoTextModel(sizes)
  ids = case.integers('text_ids', sizes.vocab_size)
  padded = case.expected['text_paddings'] > 0
  ids = np.where(padded, video_text.PADDING, ids)
  spatial, features = jax.jit(model.both)(params, video)
  clips, frames = jax.jit(model.video)(params, video)
  texts = jax.jit(model.text)(params, ids)
  similar = _normalised(clips) @ _normalised(texts).T
  logits = similar / case.field('temperature', float)
  ours: dict[str, Any] = {
      'spatial_features': spatial,
      'features': features,
      'frame_embeddings': _normalised(frames),
      'video_unnormalised': clips,
      'text_unnormalised': texts,
      'video_embeddings': _normalised(clips),
      'text_embeddings': _normalised(texts),
      'similarities': similar,
      'logits': logits,
      'probabilities': jax.nn.softmax(logits),
  }
  return compare.outputs(case.expected, ours, ('text_ids', 'text_paddings'))


def _classifier(case: Case, video: np.ndarray) -> list[compare.Line]:
  state = {n.removeprefix('params/'): t for n, t in case.state().items()}
  inside = {n: t for n, t in state.items() if n.startswith('encoder/')}
  trunk = {n.removeprefix('encoder/'): t for n, t in inside.items()}
  sizes, params = _build(case, trunk)
  rules = (
      *videoprism_names.pooler_rules('atten_pooler', 'pooler', sizes.heads),
      table.Rule('projection/linear/kernel', 'head/kernel'),
      table.Rule('projection/linear/bias', 'head/bias'),
  )
  classes = case.field('config', dict)['num_classes']
  pooler = layers.AttentionPooler(sizes.heads, sizes.width)
  features = jax.jit(VideoPrismEncoder(sizes).both)(params, video)[1]
  drawn = pooler.init(jax.random.key(0), features)['params']
  head = {'kernel': (sizes.width, classes), 'bias': (classes,)}
  shapes = {f'head/{name}': shape for name, shape in head.items()}
  for path, leaf in flatten_dict(drawn, sep='/').items():
    shapes[f'pooler/{path}'] = leaf.shape
  own = {n: t for n, t in state.items() if n not in inside}
  flat = table.convert(own, rules, (), shapes).flat
  # As all layer norms of the files.
  flat['pooler/norm/scale'] = 1 + flat['pooler/norm/scale']
  labels = case.integers('labels', classes)

  def loss(flat):
    tree = unflatten_dict(flat, sep='/')
    pooled = pooler.apply({'params': tree['pooler']}, features)
    logits = pooled @ tree['head']['kernel'] + tree['head']['bias']
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), (pooled, logits)

  grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (value, (pooled, logits)), grads = grad(flat)
  ours = {
      'features': features,
      'global_embeddings': pooled,
      'logits': logits,
      'losses': np.asarray(value)[None],
  }
  named = {
      f'params/{name}': grad
      for name, grad in table.to_original(grads, rules).items()
  }
  return [
      *compare.outputs(case.expected, ours, ('labels',)),
      *compare.gradients(case.field('grads', dict), named),
  ]


def _normalised(x: jax.Array) -> jax.Array:
  """Computes x / sqrt(|x|^2 + 1e-12) over the last axis, as the original."""
  return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)
