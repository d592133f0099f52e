"""Metrics compared with slow loops, and OTAM with the original's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evclip_jax.methods.clip_fsar import alignment

_I, _J = np.mgrid[:8, :8]
_MODULO = ((3 * _I + 5 * _J) % 7) / 7


def slow_otam(d, softness):
  """Computes the recurrence cell by cell, in float64."""
  rows, columns = d.shape
  e = np.zeros((rows, columns + 2))
  e[:, 1:-1] = d
  c = np.zeros_like(e)

  def least(*values):
    values = np.array(values)
    low = values.min()
    return low - softness * np.log(np.exp((low - values) / softness).sum())

  for m in range(1, columns + 2):
    c[0, m] = e[0, m] + c[0, m - 1]
  for row in range(1, rows):
    for m in range(1, columns + 2):
      ways = [c[row - 1, m - 1], c[row, m - 1]]
      if m in (1, columns + 1):
        ways.append(c[row - 1, m])
      c[row, m] = e[row, m] + least(*ways)
  return c[-1, -1]


@pytest.mark.parametrize(
    ('matrix', 'expected'),
    [
        (np.zeros((8, 8)), -4.2177746012),
        (np.full((8, 8), 0.5), 0.1072482701),
        (np.ones((8, 8)), 4.2035669408),
        (np.full((8, 8), 2.0), 12.2475496075),
        (np.abs(_I - _J) / 8, -2.8046138667),
        (_MODULO, -1.0594239214),
        (_MODULO.T, -0.8521005120),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), -0.2584067551),
        (np.ones((4, 4)), 2.022043),
    ],
)
def test_otam_gives_the_originals_numbers(matrix, expected):
  found = alignment.otam(jnp.array(matrix), 0.5)
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_otam_with_a_harder_minimum():
  found = alignment.otam(jnp.array(_MODULO), 0.1)
  np.testing.assert_allclose(found, 0.902097, atol=2e-6)


def test_the_gradient_of_otam_is_the_originals():
  grad = jax.grad(lambda d: alignment.otam(d, 0.5))(
      jnp.array(np.abs(_I - _J) / 8)
  )
  np.testing.assert_allclose(grad.sum(), 8.5869629440, rtol=1e-6)
  np.testing.assert_allclose(
      (grad[0, 0], grad[7, 7], grad[7, 0]),
      (0.2753659116, 0.1437698648, 8.9292e-06),
      rtol=1e-5,
  )


@pytest.mark.parametrize('shape', [(1, 1), (1, 4), (4, 1), (3, 7), (20, 12)])
def test_otam_is_the_recurrence(shape):
  d = np.random.default_rng(0).uniform(0, 2, (2, *shape))
  found = alignment.otam(jnp.array(d), 0.3)
  expected = [slow_otam(x, 0.3) for x in d]
  np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-5)


def test_long_clips_stay_finite():
  d = np.random.default_rng(0).uniform(1, 2, (64, 64))
  value, grad = jax.jit(
      jax.value_and_grad(lambda d: alignment.otam(d, 0.05))
  )(jnp.array(d))
  np.testing.assert_allclose(value, slow_otam(d, 0.05), rtol=1e-5)
  assert np.isfinite(grad).all()


def features(seed=0):
  rng = np.random.default_rng(seed)
  queries = rng.normal(size=(2, 3, 5, 6))
  prototypes = rng.normal(size=(2, 4, 2, 5, 6))
  return queries, prototypes


def slow_cosine(a, b):
  return a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 0.01)


def slow_metric(name, both):
  queries, prototypes = features()

  def distance(d):
    if name == 'otam':
      return slow_otam(d, 0.5)
    return sum(min(row) for row in d)

  def similarity(x, p):
    if name == 'mean':
      return slow_cosine(x.mean(0), p.mean(0))
    d = np.array([[1 - slow_cosine(a, b) for b in p] for a in x])
    return -distance(d) - (distance(d.T) if both else 0)

  return [
      [
          [np.mean([similarity(x, p) for p in shots]) for shots in classes]
          for x in xs
      ]
      for xs, classes in zip(queries, prototypes, strict=True)
  ]


@pytest.mark.parametrize('both', [True, False])
@pytest.mark.parametrize('name', ['otam', 'bimhm', 'mean'])
def test_metrics_are_the_slow_ones(name, both):
  metric = jax.jit(alignment.compare, static_argnums=(2, 3, 4))
  found = metric(*map(jnp.array, features()), name, 0.5, both)
  np.testing.assert_allclose(found, slow_metric(name, both), atol=5e-6)


def test_a_frame_of_zeros_has_a_gradient():
  grad = jax.grad(lambda a: alignment.cosine(a, jnp.ones((2, 3))).sum())(
      jnp.zeros((2, 3))
  )
  assert np.isfinite(grad).all()


def test_the_linear_probe_is_softmax_regression():
  rng = np.random.default_rng(5)
  centres = rng.normal(size=(2, 4, 1, 1, 16)) + 2
  support = centres + 0.5 * rng.normal(size=(2, 4, 3, 2, 16))
  queries = centres + 0.5 * rng.normal(size=(2, 4, 2, 2, 16))
  queries = queries.reshape(2, 8, 2, 16)
  found = alignment.linear_probe(queries, support)

  # The same with one weight per dimension.
  def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)

  for e in range(2):
    x = unit(support[e].mean(-2)).reshape(12, 16)
    centre = x.mean(0)
    scale = np.sqrt(((x - centre) ** 2).sum(-1).mean())
    one = np.ones((12, 1))
    known = np.concatenate([(x - centre) / scale, one], 1)
    asked = (unit(queries[e].mean(-2)) - centre) / scale
    asked = np.concatenate([asked, one[:8]], 1)
    target = np.repeat(np.eye(4), 3, axis=0)
    weights = np.zeros((17, 4))
    for _ in range(200):
      z = np.exp(known @ weights)
      error = (z / z.sum(1, keepdims=True) - target) / 12
      weights -= 0.5 * (known.T @ error + 1e-3 * weights)
    np.testing.assert_allclose(found[e], asked @ weights, atol=1e-4)
  truth = np.repeat(np.arange(4), 2)
  assert (np.asarray(found).argmax(-1) == truth).mean() > 0.9
