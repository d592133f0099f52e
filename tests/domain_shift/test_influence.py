"""Planted effects are found, others are not, numbers agree with formulas."""

import math

import numpy as np
import pytest
import scipy.optimize

from evclip_jax.domain_shift import influence, logistic
from evclip_jax.domain_shift.factors import FACTORS

NAMES = [name for name, factor in FACTORS.items() if factor.cause]


def clips(number, seed=0, names=NAMES):
  """Clips of which every second one is dark; other factors are noise."""
  rng = np.random.default_rng(seed)
  dark = np.arange(number) % 2 == 1
  rows = [{n: float(rng.uniform(1, 9)) for n in names} for _ in range(number)]
  for row, is_dark in zip(rows, dark, strict=True):
    row['luminance'] = rng.uniform(0.15, 0.5) * (0.1 if is_dark else 1)
    row['dark'] = (90 if is_dark else 1) * rng.uniform(0.8, 1.1)
  return rows, dark


@pytest.mark.parametrize('flipped', [0.0, 0.1])
def test_what_breaks_in_the_dark_is_put_down_to_light_alone(flipped):
  rows, dark = clips(200)
  right = ~dark ^ (np.random.default_rng(1).random(200) < flipped)
  found = influence.explain(rows, right, seed=0)
  first, *others = found['factors']
  assert first['factor'] == 'luminance' and first['share'] > 0.8
  assert first['significant'] and first['low'] > 0
  assert not any(x['significant'] for x in others)
  assert 'luminance stands for it' in found['left_out']['dark']
  assert sum(x['share'] for x in found['factors']) == pytest.approx(1)


def test_shuffled_labels_find_nothing_beyond_the_level():
  rng = np.random.default_rng(0)
  hits = 0
  for draw in range(20):
    rows, _ = clips(120, seed=draw)
    found = influence.explain(rows, rng.permutation(120) % 3 > 0, seed=draw)
    hits += any(x['significant'] for x in found['factors'])
  # More than 3 of 20 would have a chance below 2 % at a level of 5 %.
  assert hits <= 3


def test_too_few_wrong_clips_are_told():
  rows, _ = clips(60)
  found = influence.explain(rows, np.arange(60) > 1, seed=0)
  assert not found['factors'] and '2 of 60 clips are wrong' in found['note']


def test_the_same_factor_twice_and_a_constant_are_left_out():
  rows, _ = clips(50)
  for row in rows:
    row |= {'noise': 2.0, 'clutter': row['subject_motion']}
  rows[3]['sharpness'] = None
  *_, left = influence.design(rows)
  assert left['noise'] == 'the same for all clips'
  assert left['sharpness'] == 'not known of every clip'
  assert left['clutter'].startswith('subject motion stands for it')


def _table(number=80):
  rng = np.random.default_rng(3)
  x = rng.normal(size=(number, 2))
  right = rng.random(number) < 1 / (1 + np.exp(-1.2 * x[:, 0]))
  return np.column_stack([np.ones(number), x]), right


def _penalised(at, table, right):
  line = table @ at
  weight = 1 / (2 + np.exp(line) + np.exp(-line))
  information = table.T @ (weight[:, None] * table)
  value = right @ line - np.logaddexp(0, line).sum()
  return value + np.linalg.slogdet(information)[1] / 2


def test_the_fit_is_the_maximum_of_firths_likelihood():
  table, right = _table()
  best = scipy.optimize.minimize(
      lambda at: -_penalised(at, table, right), np.zeros(3), tol=1e-10
  )
  found = logistic.fit(table, right)
  np.testing.assert_allclose(found.at, best.x, atol=2e-4)
  assert found.value == pytest.approx(-best.fun)


def test_the_interval_is_that_of_the_profile():
  table, right = _table()
  full = logistic.fit(table, right)
  for end in logistic.interval(table, right, full, 1):
    def rest(at, end=end):
      return -_penalised(np.array([at[0], end, at[1]]), table, right)

    rest = scipy.optimize.minimize(rest, np.zeros(2), tol=1e-10)
    assert 2 * (full.value + rest.fun) == pytest.approx(3.841, abs=0.01)


def test_shares_of_two_factors_by_hand():
  table, right = _table()
  shares, total = logistic.shares(table, right, 0)
  a, b = (logistic.shares(table[:, [0, k]], right, 0)[1] for k in (1, 2))
  assert shares[0] == pytest.approx((a + total - b) / 2 / total)
  assert shares[1] == pytest.approx((b + total - a) / 2 / total)


def test_drawn_orders_come_close_to_all_orders(monkeypatch):
  rows, dark = clips(80, names=NAMES[:6])
  columns, *_ = influence.design(rows)
  table = np.concatenate([np.ones((80, 1)), columns], axis=1)
  exact, _ = logistic.shares(table, ~dark, 0)
  monkeypatch.setattr(logistic, '_ALL_ORDERS', 0)
  drawn, _ = logistic.shares(table, ~dark, 0)
  np.testing.assert_allclose(drawn, exact, atol=0.03)


def test_holm_by_hand():
  assert logistic.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_accuracy_and_gain_along_fifths():
  values = np.arange(100.0)
  before = values >= 40
  after = values >= 20
  parts = influence.along(values, {'old': before, 'new': after})
  assert [p['clips'] for p in parts] == [20] * 5
  assert [p['methods']['old']['top1'] for p in parts] == [0, 0, 100, 100, 100]
  gains = [p['methods']['new']['gain'] for p in parts]
  assert gains == [0, 100, 0, 0, 0]
  certain = [p['methods']['new']['gain_low'] > 0 for p in parts]
  assert certain == [False, True, False, False, False]


def test_gain_by_hand():
  before = np.array([True] * 6 + [False] * 4)
  after = np.array([True] * 5 + [False] + [True] * 3 + [False])
  found = influence.gain(before, after)
  # Won 3, lost 1, half a clip more in each cell of the table.
  middle = (3.5 - 1.5) / 12
  half = 1.96 * math.sqrt(5 - 2**2 / 12) / 12
  assert found['gain'] == pytest.approx(20)
  assert found['gain_high'] == pytest.approx(100 * (middle + half))


def test_equal_values_make_fewer_parts():
  part, ends = influence.fifths(np.array([0.0] * 9 + [1.0, np.nan]))
  assert ends == [(0, 0), (1, 1)]
  assert part.tolist() == [0] * 9 + [1, -1]
