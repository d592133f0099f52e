"""HyRSM's module compared with loops over clips, frames and heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.methods import base
from evclip_jax.methods.clip_fsar import method as clip_fsar
from evclip_jax.methods.clip_fsar.relation import HEADS
from evclip_jax.models.clip import sizes
from evclip_jax.models.clip.model import Clip

WAY, QUERIES, T, D = 3, 2, 4, 16


def norm(x, leaves):
  x = x - x.mean(-1, keepdims=True)
  x /= np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
  return x * leaves['scale'] + leaves['bias']


def attention(x, own):
  """Attends among x [N, D]; every head has D / 8 columns."""
  q, k, v = (x @ own[name]['kernel'] for name in ('to_q', 'to_k', 'to_v'))
  out = np.empty_like(x)
  size = D // HEADS
  for head in range(HEADS):
    own_columns = slice(head * size, (head + 1) * size)
    scores = q[:, own_columns] @ k[:, own_columns].T / np.sqrt(size)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out[:, own_columns] = weights @ v[:, own_columns]
  return out @ own['to_out.0']['kernel'] + own['to_out.0'].get('bias', 0)


def positions():
  table = np.empty((T, D))
  for t in range(T):
    for i in range(0, D, 2):
      table[t, i] = np.sin(t / 10000 ** (2 * i / D))
      table[t, i + 1] = np.cos(t / 10000 ** (2 * (i + 1) / D))
  return table


def within(clip, own):
  x = clip * np.sqrt(D / 10) + positions()
  return np.maximum(x + attention(norm(x, own['norm']), own), 0)


def distance(a, b):
  """Computes Bi-MHM of two clips [T, D]."""
  norms = np.linalg.norm(a, axis=-1)[:, None] * np.linalg.norm(b, axis=-1)
  d = 1 - a @ b.T / (norms + 0.01)
  return d.min(0).sum() + d.min(1).sum()


def slow(frames, own, shot, prototypes):
  """Computes logits [QUERIES, WAY] from an episode's frames [V, T, D]."""
  clips = [within(x, own['temporal_atte_before']) for x in frames]
  support = [clips[k * shot : (k + 1) * shot] for k in range(WAY)]
  if prototypes == 'after':
    support = [[np.mean(shots, axis=0)] for shots in support]
  flat = [clip for shots in support for clip in shots]
  across, mix = own['temporal_atte'], own['layer2']
  out = np.empty((QUERIES, WAY))
  for q, query in enumerate(clips[WAY * shot :]):
    tokens = np.stack([clip.mean(0) for clip in [*flat, query]])
    seen = norm(tokens + attention(tokens, across), across['norm'])
    seen = np.maximum(seen, 0)
    related = [
        np.concatenate([clip, np.tile(own_seen, (T, 1))], axis=1)
        @ mix['kernel']
        + mix['bias']
        for clip, own_seen in zip([*flat, query], seen, strict=True)
    ]
    costs = [distance(related[-1], clip) for clip in related[:-1]]
    out[q] = -np.reshape(costs, (WAY, -1)).mean(1)
  return out


@pytest.mark.parametrize(
    ('shot', 'prototypes'), [(1, 'after'), (2, 'after'), (2, 'none')]
)
def test_scores_are_the_slow_ones(shot, prototypes):
  settings = clip_fsar.Settings(
      metric='hyrsm', depth=0, text_token=False, prototypes=prototypes
  )
  networks = base.Backbones(Clip(sizes.vit(64, 1, 32, D, 64)), None, T)
  method = clip_fsar.make(settings, networks, ())
  own = method.init(jax.random.key(0))
  # Away from the start, where scales are 1 and biases 0.
  own = jax.tree.map(
      lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), own
  )
  rng = np.random.default_rng(0)
  frames = rng.normal(size=(2, WAY * shot + QUERIES, T, D)).astype(np.float32)
  batch = {
      'way': np.tile(np.arange(WAY), (2, 1)),
      'label': np.array([[0, 2], [1, 1]]),
      'mask': np.ones(2, np.float32),
  }
  features = base.VideoFeatures(frames.mean(2), frames)
  classes = np.ones((1, WAY, D), np.float32)

  @jax.jit
  def run(own):
    def loss(own, rngs):
      params = {'method': own, 'clip': {}}
      return method.loss(params, features, classes, batch, rngs)[0]

    trained = jax.value_and_grad(loss)(own, {'dropout': jax.random.key(1)})
    params = {'method': own, 'clip': {}}
    return method.score(params, features, classes, batch), *trained, loss(
        own, None
    )

  found, value, grads, plain = run(own)
  leaves = jax.tree.map(np.asarray, own['relation'])
  for e in range(2):
    expected = slow(frames[e], leaves, shot, prototypes)
    np.testing.assert_allclose(found[e], expected, atol=2e-5)
  grads = jax.tree.leaves(grads['relation'])
  assert all(np.abs(g).max() > 0 for g in grads)
  assert value != plain
