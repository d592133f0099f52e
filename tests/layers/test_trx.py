"""TRX against loops over tuples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.methods.clip_fsar.trx import TemporalCrossTransformer, sinusoids


def slow(params, query, shots, length):
  """Similarity of a query [T, D] and a class [S, T, D] by one length."""

  def dense(name, x):
    layer = params[f'{name}.{length}']
    return x @ layer['kernel'] + layer['bias']

  def tuples(clip):
    for chosen in itertools.combinations(range(len(clip)), length):
      yield np.concatenate([clip[i] for i in chosen])

  def key(x):
    y = dense('k_linear', x)
    y = (y - y.mean()) / np.sqrt(y.var() + 1e-5)
    norm = params[f'norm_k.{length}']
    return y * norm['scale'] + norm['bias']

  given = [x for clip in shots for x in tuples(clip)]
  keys = np.array([key(x) for x in given])
  values = np.array([dense('v_linear', x) for x in given])
  gaps = []
  for x in tuples(query):
    scores = keys @ key(x) / np.sqrt(keys.shape[1])
    weights = np.exp(scores - scores.max())
    answer = weights @ values / weights.sum()
    gaps.append(((dense('v_linear', x) - answer) ** 2).sum())
  return -np.mean(gaps)


def test_similarities_are_the_slow_ones():
  rng = np.random.default_rng(0)
  queries = rng.normal(size=(2, 3, 4, 6)).astype(np.float32)
  prototypes = rng.normal(size=(2, 2, 2, 4, 6)).astype(np.float32)
  trx = TemporalCrossTransformer(lengths=(2, 3), width=8)
  params = trx.init(jax.random.key(0), queries, prototypes, True)['params']
  found = jax.jit(trx.apply, static_argnums=3)(
      {'params': params}, queries, prototypes, True
  )
  own = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  positions = 0.1 * sinusoids(4, 6)
  for e, q, n in itertools.product(range(2), range(3), range(2)):
    expected = np.mean([
        slow(own, queries[e, q] + positions, prototypes[e, n] + positions, k)
        for k in (2, 3)
    ])
    np.testing.assert_allclose(found[e, q, n], expected, rtol=1e-5)


def test_positions_are_sines_and_cosines():
  table = sinusoids(3, 5)
  np.testing.assert_allclose(table[0], [0, 1, 0, 1, 0])
  np.testing.assert_allclose(table[2, :2], [np.sin(2), np.cos(2)], rtol=1e-6)


def test_clips_shorter_than_a_tuple():
  trx = TemporalCrossTransformer(lengths=(3,), width=8)
  with pytest.raises(ValueError, match='tuples of 3 out of 2 frames'):
    queries = jnp.ones((1, 1, 2, 4))
    trx.init(jax.random.key(0), queries, queries[:, None], True)
