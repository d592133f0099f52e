"""Charts of a list."""

import io

import numpy as np
import pytest

from evclip_jax.reporting import charts


def test_the_plane_holds_what_varies_most():
  rng = np.random.default_rng(0)
  features = np.zeros((40, 6))
  features[:, 0] = 10
  features[:, 3] = rng.normal(size=40)
  features[:, 5] = 0.2 * rng.normal(size=40)
  places, share = charts.principal_plane(features)
  assert share > 0.98
  assert abs(np.corrcoef(places[:, 0], features[:, 3])[0, 1]) > 0.99
  assert abs(np.corrcoef(places[:, 1], features[:, 5])[0, 1]) > 0.9


def test_lengths_do_not_count():
  features = np.random.default_rng(1).normal(size=(10, 4))
  longer = features * np.arange(1, 11)[:, None]
  for a, b in zip(
      charts.principal_plane(features),
      charts.principal_plane(longer),
      strict=True,
  ):
    np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize('clips', [1, 3])
def test_few_clips_have_a_plane_too(clips):
  places, share = charts.principal_plane(np.eye(4)[:clips])
  assert places.shape == (clips, 2)
  assert np.isfinite(places).all()
  assert 0 <= share <= 1 + 1e-9


def test_charts_are_drawn_whatever_the_classes_are_called():
  names = ['_hidden', '$x', 'a$b^c$', 'nul\0', '\udcff', '<&>', 'n' * 99]
  names += [f'class {k}' for k in range(23)]
  labels = np.arange(60) % 30
  features = np.random.default_rng(2).normal(size=(60, 8))
  for figure in (
      charts.map_of_clips(features, labels, names),
      charts.accuracy_per_class(dict.fromkeys(names, 50.0)),
  ):
    figure.savefig(out := io.BytesIO(), format='svg')
    assert len(out.getvalue()) > 10_000
  legend = charts.map_of_clips(features, labels, names).axes[0].get_legend()
  assert legend.get_texts()[1].get_text().strip() == '_hidden'
