"""Distances against closed forms, copies and shifted clouds."""

import numpy as np
import pytest
import scipy.linalg

from evclip_jax.domain_shift import distances

DISTANCES = 'frechet', 'mmd', 'proxy_a', 'centroid'
CLASSES = [f'class {k % 5}' for k in range(60)]


def cloud(seed=0, middle=0.0, number=60):
  rng = np.random.default_rng(seed)
  centres = 2 * np.random.default_rng(9).normal(size=(5, 24))
  own = centres[np.arange(number) % 5] + rng.normal(size=(number, 24))
  return own + middle


def between(shift, seed=1, classes=CLASSES):
  return distances.between(cloud(), cloud(seed, shift), CLASSES, classes)


def test_identical_lists_are_at_zero_with_an_interval_around_it():
  found = between(0, seed=0)
  for name, x in found.items():
    assert x.value == pytest.approx(0, abs=1e-9), name
    assert x.low <= 1e-9 and x.high >= -1e-9, name
  assert found['mmd'].p > 0.1


def test_the_order_of_clips_changes_no_bit():
  x, y, order = cloud(), cloud(1, 0.4), np.random.default_rng(2).permutation(60)
  mixed = [CLASSES[k] for k in order]
  one = distances.between(x, y, CLASSES, CLASSES)
  assert one == distances.between(x[order], y[order], mixed, mixed)


def test_further_is_ranked_further_by_every_distance():
  found = [between(shift) for shift in (0.0, 0.8, 2.0)]
  for name in DISTANCES:
    values = [x[name].value for x in found]
    assert values == sorted(values), name
    assert found[0][name].value < found[2][name].low, name
  assert found[2]['mmd'].p < 0.01 < 0.05 < found[0]['mmd'].p
  assert between(8)['proxy_a'].value == 2


@pytest.mark.parametrize('number', [10, 200])
def test_frechet_is_that_of_normal_distributions(number):
  x, y = cloud(3, 0, number), cloud(4, 1, number) * 1.5
  a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
  root = scipy.linalg.sqrtm(a @ b).real
  wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
  ones = np.ones(number)
  got = distances.frechet(x, y, ones, ones)
  assert got == pytest.approx(wanted, rel=1e-3 if number == 200 else 0.02)


def test_mmd_by_pairs():
  x, y = cloud(5)[:6], cloud(6, 1)[:5]
  pooled = np.concatenate([x, y])
  first = np.arange(11) < 6
  got = distances.mmd(pooled, first, np.arange(11), np.ones((1, 11)), 0)
  far = ((pooled[:, None] - pooled) ** 2).sum(axis=-1)
  k = np.exp(-far / np.median(far[~np.eye(11, dtype=bool)]))
  own = [k[i, j] for i in range(6) for j in range(6) if i != j]
  other = [k[i, j] for i in range(6, 11) for j in range(6, 11) if i != j]
  wanted = np.mean(own) + np.mean(other) - 2 * k[:6, 6:].mean()
  assert got.value == pytest.approx(wanted)


def test_centroids_of_shared_classes_only():
  others = [name.replace('class 4', 'another') for name in CLASSES]
  assert 0 < between(0, classes=others)['centroid'].value < 0.2
  assert 'centroid' not in between(0, classes=['x'] * 60)


def test_spread_by_hand():
  x = np.array([[0.0, 0], [2, 0], [10, 0], [10, 4]])
  members = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]])
  within, between = distances.spread(x, members, np.ones(4))
  assert within == pytest.approx((1 + 1 + 4 + 4) / 4)
  assert between == pytest.approx(4.5**2 + 1**2)


def test_texts_of_the_same_classes_are_at_zero():
  words = np.random.default_rng(0).normal(size=(7, 16))
  assert distances.texts(words, words[::-1]).value == 0
  assert distances.texts(words, -words).value > 0.5
