"""Measures how far apart two lists of clips lie in a space of features.

Every distance is a function of weights of the clips, so that a bootstrap only
draws weights. Clips are sorted by their features first, so that their order in
a list changes nothing. Resamples hold some clips twice, which shifts some
distances; the intervals of the resamples are shifted back by as much.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data_pipelines import randomness

# Fewer clips say little; from longer lists this many are drawn.
FEW, MOST = 20, 2_000
_RESAMPLES, _PERMUTATIONS = 200, 999
# The Fréchet distance has fewer, since it takes longest.
_FRECHET_RESAMPLES = 100
_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Holds a number, its 95 % interval and perhaps the p-value of its test."""

  value: float
  low: float
  high: float
  p: float | None = None


def between(
    ours: np.ndarray,
    theirs: np.ndarray,
    our_classes: Sequence[str],
    their_classes: Sequence[str],
    seed: int = 0,
) -> dict[str, Estimate]:
  """Compares a list `theirs` [M, D] with a reference list `ours` [N, D].

  The lengths of features do not count.

  Returns:
    'frechet', 'mmd' (with p) and 'proxy_a'; 'centroid' if they share classes;
    'within' and 'between', how much wider the list spreads within its classes
    and between them.
  """
  x, a = _sorted(ours, our_classes, seed)
  y, b = _sorted(theirs, their_classes, seed)
  weights = _resamples(seed, len(x), len(y))
  pooled = np.concatenate([x, y])
  first = np.arange(len(pooled)) < len(x)
  # A clip that is in both lists is not compared with itself.
  _, same = np.unique(pooled, axis=0, return_inverse=True)
  same = same.ravel()

  def normals(w):
    return frechet(x, y, *np.split(w, [len(x)]))

  out = {
      'frechet': _bootstrapped(normals, weights[:_FRECHET_RESAMPLES]),
      'mmd': mmd(pooled, first, same, weights, seed),
      'proxy_a': _bootstrapped(proxy_a(pooled, first, same), weights),
  }
  shared = sorted({*a} & {*b})
  if shared:
    one, other = (_indicators(z, shared) for z in (a, b))

    def centroid(w):
      u, v = np.split(w, [len(x)])
      return centroid_distance((one * u) @ x, (other * v) @ y)

    out['centroid'] = _bootstrapped(centroid, weights)
  groups, others = (_indicators(z, sorted({*z})) for z in (a, b))

  def wider(w):
    u, v = np.split(w, [len(x)])
    return np.subtract(spread(y, others, v), spread(x, groups, u))

  whole = wider(np.ones(len(pooled)))
  resampled = np.transpose([wider(w) for w in weights])
  for name, value, drawn in zip(
      ('within', 'between'), whole, resampled, strict=True
  ):
    out[name] = _interval(float(value), drawn)
  return out


def frechet(
    x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray
) -> float:
  """Computes the Fréchet distance of two normal distributions.

  |m - n|^2 + tr(A + B - 2 (A B)^(1/2)), with means and covariances of the
  rows. The trace of the root is the sum of the singular values of P Q', where
  A = P' P and B = Q' Q. Rows x [N, D] count u [N] times, y [M, D] v [M] times.

  Source: D. Dowson and B. Landau, The Fréchet distance between multivariate
    normal distributions, 1982; M. Heusel et al., NIPS 2017 (FID).
  """

  def parts(z, w):
    z, w = z[w > 0], w[w > 0]
    mean = w @ z / w.sum()
    root = np.sqrt(w / (w.sum() - 1))[:, None] * (z - mean)
    return mean, np.linalg.qr(root, mode='r') if len(z) > z.shape[1] else root

  (m, p), (n, q) = parts(x, u), parts(y, v)
  own = (p**2).sum() + (q**2).sum()
  roots = np.linalg.svd(p @ q.T, compute_uv=False).sum()
  found = ((m - n) ** 2).sum() + own - 2 * roots
  # A difference as small as rounding errors is 0.
  return float(found) if abs(found) > 1e-9 * own else 0.0


def mmd(
    pooled: np.ndarray,
    first: np.ndarray,
    same: np.ndarray,
    weights: np.ndarray,
    seed: int,
) -> Estimate:
  """Estimates the squared maximum mean discrepancy, without bias.

  mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over pairs of different clips,
  k a Gaussian as wide as the median distance. p is the share of random splits
  of all clips that give as much. Rows of `pooled` [N + M, D] are from the first
  list where `first` is true; those of one clip are equal in `same`; `weights`
  [B, N + M] are resamples.

  Source: A. Gretton et al., A kernel two-sample test, JMLR 2012.
  """
  squares = (pooled**2).sum(axis=1)
  far = np.maximum(squares[:, None] + squares - 2 * pooled @ pooled.T, 0)
  apart = same[:, None] != same
  width = np.median(far[apart]) if apart.any() else 1.0
  kernel, apart = np.exp(-far / width) * apart, apart.astype(np.float64)

  def value(own, other):

    def mean(one, two):
      pairs = ((one @ apart) * two).sum(axis=1)
      return ((one @ kernel) * two).sum(axis=1) / np.maximum(pairs, 1)

    return mean(own, own) + mean(other, other) - 2 * mean(own, other)

  whole = np.ones((1, len(pooled)))
  found = float(value(whole * first, whole * ~first)[0])
  resampled = value(weights * first, weights * ~first)
  draw = randomness.generator(seed, 'permutations')
  splits = draw.permuted(np.tile(first, (_PERMUTATIONS, 1)), axis=1)
  by_chance = value(splits.astype(np.float64), (~splits).astype(np.float64))
  # Equal but for rounding counts as equal.
  p = (1 + (by_chance >= found - 1e-12).sum()) / (1 + _PERMUTATIONS)
  return _interval(found, resampled, float(p))


def proxy_a(
    pooled: np.ndarray, first: np.ndarray, same: np.ndarray
) -> Callable[[np.ndarray], float]:
  """Returns the proxy A-distance, 2 (1 - 2 error), as a function of weights.

  The error, balanced over both lists, is that of ridge regression on +-1 in
  5-fold cross-validation. The distance is 0 if the lists cannot be told apart
  and 2 if they always can. All copies of a clip are in one fold; an error above
  one half counts as one half.

  Source: S. Ben-David et al., Analysis of representations for domain
    adaptation, NIPS 2006; X. Glorot et al., ICML 2011.
  """
  fold, wrong = same % _FOLDS, np.full(len(pooled), 0.5)
  target = np.where(first, 1.0, -1.0)
  for number in range(_FOLDS):
    known, asked = fold != number, fold == number
    counts = [(known & side).sum() for side in (first, ~first)]
    if not asked.any() or not all(counts):
      continue
    share = np.where(first, 0.5 / counts[0], 0.5 / counts[1]) * known
    centre = pooled - share @ pooled
    spread = (share[:, None] * centre).T @ centre
    ridge = max(np.trace(spread) / len(spread), 1e-12)
    slope = np.linalg.solve(
        spread + ridge * np.eye(len(spread)), (share * target) @ centre
    )
    score = centre[asked] @ slope * target[asked]
    wrong[asked] = np.where(np.abs(score) < 1e-9, 0.5, score < 0)

  def distance(w):
    errors = [(w * wrong)[s].sum() / w[s].sum() for s in (first, ~first)]
    return float(max(2 * (1 - 2 * np.mean(errors)), 0))

  return distance


def centroid_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
  """Returns 1 - the mean cosine of the two centroids [K, D] of each class."""
  lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
  there = lengths > 0
  cosines = (ours * theirs).sum(axis=1)[there] / lengths[there]
  return float(1 - cosines.mean()) if there.any() else 0.0


def spread(
    x: np.ndarray, members: np.ndarray, w: np.ndarray
) -> tuple[float, float]:
  """Returns the spread of clips x [N, D] within and between classes.

  These are the mean squared distances of clips to the centroid of their class,
  and of the centroids to the centre of all. `members` [K, N] is 1 where a clip
  is of a class; each clip counts `w` [N] times.
  """
  counts = members @ w
  centroids = (members * w) @ x / np.maximum(counts, 1e-12)[:, None]
  within = ((x - members.T @ centroids) ** 2).sum(axis=1) @ w / w.sum()
  centre = w @ x / w.sum()
  between = counts @ ((centroids - centre) ** 2).sum(axis=1) / w.sum()
  return float(within), float(between)


def texts(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Estimate:
  """Returns how far apart the class texts of two lists are.

  The mean of 1 - the cosine of each class text, [K, E] and [L, E], with the
  nearest one of the other list; 0 for the same classes. The bootstrap draws
  classes.

  Source: the modified Hausdorff distance, M.-P. Dubuisson and A. Jain, ICPR
    1994, with the mean of both directions.
  """
  x, y = _unit(ours), _unit(theirs)
  far = 1 - x @ y.T
  nearest = np.concatenate([far.min(axis=1), far.min(axis=0)])
  nearest = np.where(np.abs(nearest) < 1e-6, 0, nearest)

  def value(w):
    one, other = np.split(w * nearest, [len(x)])
    mine, its = np.split(w, [len(x)])
    return float(one.sum() / mine.sum() / 2 + other.sum() / its.sum() / 2)

  return _bootstrapped(value, _resamples(seed, *far.shape))


def _sorted(x, classes, seed) -> tuple[np.ndarray, np.ndarray]:
  """Returns unit features and classes, sorted by them; shortens long lists."""
  x, classes = _unit(x), np.asarray(classes)
  order = np.lexsort((classes, *x.T[::-1]))
  if len(x) > MOST:
    draw = randomness.generator(seed, 'fewer clips')
    order = order[np.sort(draw.choice(len(x), MOST, replace=False))]
  return x[order], classes[order]


def _unit(x: np.ndarray) -> np.ndarray:
  x = np.asarray(x, np.float64)
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _indicators(classes: np.ndarray, names: Sequence[str]) -> np.ndarray:
  return (np.asarray(names)[:, None] == classes).astype(np.float64)


def _resamples(seed: int, *sizes: int) -> np.ndarray:
  """Draws how often each clip of each list counts: [resamples, clips]."""
  draw = randomness.generator(seed, 'bootstrap')
  drawn = [draw.multinomial(n, np.full(n, 1 / n), _RESAMPLES) for n in sizes]
  return np.concatenate(drawn, axis=1).astype(np.float64)


def _bootstrapped(
    value: Callable[[np.ndarray], float], weights: np.ndarray
) -> Estimate:
  found = value(np.ones(weights.shape[1]))
  return _interval(found, np.array([value(w) for w in weights]))


def _interval(found: float, resampled: np.ndarray, p=None) -> Estimate:
  moved = found - resampled.mean()
  low, high = np.quantile(resampled, (0.025, 0.975)) + moved
  return Estimate(found, float(low), float(high), p)
