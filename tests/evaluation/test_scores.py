"""Metrics on tables small enough to check by hand."""

import numpy as np
import pytest

from data_pipelines.errors import UserError
from evclip_jax.evaluation import scores
from evclip_jax.training import devices

LOGITS = np.log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]])


def test_summary_by_hand():
  summary = scores.summarise(LOGITS, np.array([0, 2, 1]))
  assert summary['top1'] == pytest.approx(100 / 3)
  assert summary['top5'] == 100
  expected = -(np.log(0.7) + np.log(0.3) + np.log(0.3)) / 3
  assert summary['loss'] == pytest.approx(expected)
  # Class 0: precision 1/2, recall 1; classes 1 and 2 are never right.
  assert summary['macro_f1'] == pytest.approx(100 * (2 / 3) / 3)


def test_ties_go_to_the_lower_class():
  ranks = scores.rank_of_label(np.zeros((2, 3)), np.array([0, 2]))
  assert ranks.tolist() == [0, 2]


def test_per_class_names_only_what_occurs():
  got = scores.per_class(np.array([[2, 1, 0], [0, 0, 0]]), ['a', 'b'])
  assert got == {'a': pytest.approx(200 / 3)}


def run_step(batch):
  logits = np.eye(3)[np.array(batch['label'])]
  return batch | {'logits': logits, 'features': 2 * logits}


def collect(index, mask, clips, views=1, **how):
  index = np.array(index, np.int32)
  batch = {'label': index % 3, 'mask': np.float32(mask), 'index': index}
  mesh = devices.make_mesh(4)
  return scores.collect(run_step, [batch], mesh, clips, views, **how)


def test_padding_rows_are_not_counted():
  scored = collect([0, 1, 2, 0], [1, 1, 1, 0], 3)
  assert scored.labels.tolist() == [0, 1, 2]
  np.testing.assert_allclose(np.exp(scored.log_probabilities).sum(axis=1), 1)
  np.testing.assert_array_equal(scored.features, 2 * np.eye(3))


def test_views_are_averaged():
  scored = collect([0, 1, 0, 1], [1] * 4, 2, 2)
  assert scored.log_probabilities.shape == (2, 3)
  np.testing.assert_array_equal(scored.features, 2 * np.eye(3)[:2])


def test_a_clip_left_out_is_noticed_unless_it_may_be():
  with pytest.raises(ValueError, match=r'clips \[3\] do not'):
    collect([0, 1, 2, 0], [1, 1, 1, 0], 4)
  index = [0, 1, 2, 2]
  scored = collect(index, [1, 0, 1, 0], 3, skips=True)
  assert scored.index.tolist() == scored.labels.tolist() == [0, 2]
  assert scored.log_probabilities.shape == scored.features.shape == (2, 3)
  with pytest.raises(UserError, match='no clip'):
    collect(index, [0, 0, 0, 0], 3, skips=True)
  with pytest.raises(ValueError, match='must come 1 times'):
    collect(index, [1, 1, 1, 1], 3, skips=True)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_no_hits(value):
  with pytest.raises(UserError, match='not finite'):
    scores.check_finite(np.array([[0.0, value]]))
