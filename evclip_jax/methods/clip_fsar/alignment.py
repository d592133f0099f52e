"""Computes few-shot metrics: similarities of sequences of frames.

A metric returns the similarity of every query and every class of an episode.
Shapes: E episodes, Q queries, N classes, S prototypes of a class (one, or one
per shot), L frames of a query, M of a prototype.
"""

import functools

import jax
import jax.numpy as jnp

# Added to the product of norms, as CLIP-FSAR's code does.
COSINE_EPSILON = 0.01

# Of `linear_probe`, whose results stop changing after far fewer steps.
_PROBE_STEPS, _PROBE_RATE, _PROBE_DECAY = 200, 0.5, 1e-3


def compare(
    queries: jax.Array,
    prototypes: jax.Array,
    metric: str,
    softness: float = 0.5,
    both_directions: bool = True,
) -> jax.Array:
  """Compares queries and prototypes by a metric without weights.

  Args:
    queries: [E, Q, L, D].
    prototypes: [E, N, S, M, D].
    metric: 'otam', 'bimhm', 'mean' or 'linear'.
    softness: lambda of OTAM's soft minimum.
    both_directions: whether OTAM and Bi-MHM also go from prototype to query.

  Returns:
    float32 [E, Q, N], the mean over S; 'linear' is fitted to all S.
  """
  if metric == 'linear':
    return linear_probe(queries, prototypes)
  if metric == 'mean':
    return mean_similarity(queries, prototypes)
  costs = {'otam': functools.partial(otam, softness=softness), 'bimhm': nearest}
  cost = costs[metric]
  d = frame_distances(queries, prototypes)
  total = cost(d)
  if both_directions:
    total += cost(d.swapaxes(-1, -2))
  return -total.mean(axis=-1)


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
  """Computes a.b / (|a| |b| + 0.01) of rows of a [..., m, D], b [..., n, D].

  Returns:
    float32 [..., m, n].

  Source: CLIP-FSAR, models/base/few_shot.py, cos_sim.
  Differs: none. The gradient at a row of zeros is zero, as in torch.
  """
  a, b = a.astype(jnp.float32), b.astype(jnp.float32)
  norms = _norm(a)[..., :, None] * _norm(b)[..., None, :]
  return a @ b.swapaxes(-1, -2) / (norms + COSINE_EPSILON)


def frame_distances(queries: jax.Array, prototypes: jax.Array) -> jax.Array:
  """Computes 1 - cosine of all frames of all pairs.

  Args:
    queries: [E, Q, L, D].
    prototypes: [E, N, S, M, D].

  Returns:
    float32 [E, Q, N, S, L, M].
  """
  e, q, length, width = queries.shape
  _, n, s, frames, _ = prototypes.shape
  similarity = cosine(
      queries.reshape(e, q * length, width),
      prototypes.reshape(e, n * s * frames, width),
  )
  d = 1 - similarity.reshape(e, q, length, n, s, frames)
  return d.transpose(0, 1, 3, 4, 2, 5)


def mean_similarity(queries: jax.Array, prototypes: jax.Array) -> jax.Array:
  """Computes cosines of means over time, averaged over S; see `compare`.

  Source: CLIP-FSAR, models/base/few_shot.py, CNN_TSN.
  Differs: none.
  """
  e, n, s, _, width = prototypes.shape
  means = prototypes.mean(axis=-2).reshape(e, n * s, width)
  similarity = cosine(queries.mean(axis=-2), means)
  return similarity.reshape(e, -1, n, s).mean(axis=-1)


def linear_probe(queries: jax.Array, prototypes: jax.Array) -> jax.Array:
  """Fits a linear classifier to each episode's prototypes, for its logits.

  It is softmax regression with L2 on normalised means over time, which are
  centred and scaled by the episode's statistics. Since there are fewer examples
  than dimensions, it is solved in the dual, with one weight per example and
  class. Prototypes get no gradient.

  Args:
    queries: [E, Q, L, D].
    prototypes: [E, N, S, M, D], S examples of each class.

  Returns:
    float32 [E, Q, N].
  """
  e, n, s, _, width = prototypes.shape
  known = jax.lax.stop_gradient(_unit(prototypes.mean(axis=-2)))
  known = known.reshape(e, n * s, width)
  centre = known.mean(axis=1, keepdims=True)
  known -= centre
  scale = jnp.sqrt((known**2).sum(-1).mean(-1))[:, None, None] + 1e-6
  known /= scale
  asked = (_unit(queries.mean(axis=-2)) - centre) / scale
  target = jnp.repeat(jnp.eye(n), s, axis=0)  # [N*S, N]
  kernel = known @ known.swapaxes(1, 2) + 1  # the 1 is the bias

  def step(weights, _):
    error = (jax.nn.softmax(kernel @ weights) - target) / (n * s)
    return weights - _PROBE_RATE * (error + _PROBE_DECAY * weights), None

  start = jnp.zeros((e, n * s, n))
  weights, _ = jax.lax.scan(step, start, None, _PROBE_STEPS)
  return (asked @ known.swapaxes(1, 2) + 1) @ weights


def nearest(distances: jax.Array) -> jax.Array:
  """Sums the smallest distance of each row, [..., L, M] -> [...].

  The sum of both directions is HyRSM's Bi-MHM.

  Source: CLIP-FSAR, models/base/few_shot.py, the HyRSM and MoLo heads.
  Differs: none; the original sums as well.
  """
  return distances.min(axis=-1).sum(axis=-1)


def otam(distances: jax.Array, softness: float) -> jax.Array:
  """Computes the cost of the cheapest ordered alignment, with a soft minimum.

  A path goes from the first column to the last, by "next column" or "next row
  and next column"; it may begin and end at any row. Precisely, with c the
  cumulative costs, d padded with a column of zeros on both sides, rows l and
  columns m from 0:

    c[l, 0] = 0
    c[0, m] = d[0, m] + c[0, m - 1]
    c[l, m] = d[l, m] + softmin(c[l - 1, m - 1], c[l, m - 1]), for the first
      column of distances and for the last of zeros also of c[l - 1, m]

  and softmin(x, ...) = -lambda log sum exp(-x / lambda). The result is c at the
  end of the last row; it may be negative.

  Args:
    distances: [..., L, M]; rows are aligned to columns.
    softness: lambda.

  Returns:
    float32 [...].

  Source: CLIP-FSAR, models/base/few_shot.py, OTAM_cum_dist_v2 and its copies.
  Differs: computes with -c / lambda and logaddexp, so that long clips neither
    overflow nor underflow; scans over columns, since a column needs only the
    one before it (except the first, which is a scan over rows).
  """
  # [M, ..., L]: the scan goes over the first axis.
  d = jnp.moveaxis(distances.astype(jnp.float32) / softness, -1, 0)

  def down(above, d):
    # The two neighbours in the padding column have cost 0.
    c = jnp.logaddexp(above, jnp.log(2.0)) - d
    return c, c

  top = -d[0, ..., 0]
  _, rest = jax.lax.scan(down, top, jnp.moveaxis(d[0, ..., 1:], -1, 0))
  first = jnp.concatenate([top[None], rest])
  first = jnp.moveaxis(first, 0, -1)  # [..., L]

  def right(before, d):
    rows = jnp.logaddexp(before[..., :-1], before[..., 1:])
    return jnp.concatenate([before[..., :1], rows], axis=-1) - d, None

  last, _ = jax.lax.scan(right, first, d[1:])
  # Every row enters the last padding column in its own row and, except the last
  # row, in the row below.
  ways = jnp.full(last.shape[-1], 2.0).at[-1].set(1.0)
  return -softness * jax.nn.logsumexp(last + jnp.log(ways), axis=-1)


def _unit(x: jax.Array) -> jax.Array:
  x = x.astype(jnp.float32)
  return x / (_norm(x)[..., None] + 1e-6)


def _norm(x: jax.Array) -> jax.Array:
  squares = (x * x).sum(axis=-1)
  zero = squares == 0
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))
