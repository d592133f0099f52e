"""Charts of a list."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from evclip_jax.reporting import charts, maps


def test_the_plane_holds_what_varies_most():
  rng = np.random.default_rng(0)
  features = np.zeros((40, 6))
  features[:, 0] = 10
  features[:, 3] = rng.normal(size=40)
  features[:, 5] = 0.2 * rng.normal(size=40)
  places, share = maps.principal_plane(features)
  assert share > 0.98
  assert abs(np.corrcoef(places[:, 0], features[:, 3])[0, 1]) > 0.99
  assert abs(np.corrcoef(places[:, 1], features[:, 5])[0, 1]) > 0.9
  # Lengths do not count.
  longer = features * np.arange(1, 41)[:, None]
  again, its_share = maps.principal_plane(longer)
  np.testing.assert_allclose(again, places, atol=1e-9)
  assert its_share == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize('clips', [1, 3])
def test_few_clips_have_a_plane_too(clips):
  places, share = maps.principal_plane(np.eye(4)[:clips])
  assert places.shape == (clips, 2)
  assert np.isfinite(places).all()
  assert 0 <= share <= 1 + 1e-9


def _drawn(markup):
  """The elements of the SVGs in some markup, which must be XML."""
  found = re.findall('<svg.*</svg>', markup)
  return list(ElementTree.fromstring(found[0]).iter())


NAMES = ['_hidden', '$x', 'a$b^c$', 'nul\0', '\udcff', '<b>&"', 'n' * 99]


def _texts(markup):
  return [x.text for x in _drawn(markup) if x.tag.endswith('text')]


def test_bars_are_as_long_as_their_values():
  markup = charts.bars({'a': 0.0, 'b': 50.0, 'c': 100.0}, {'b': 25.0})
  boxes = [x for x in _drawn(markup) if x.tag.endswith('rect')]
  long = [x.get('width') for x in boxes if x.get('fill') == charts.BLUE]
  assert long == ['0.00%', '24.00%', '48.00%']
  (mark,) = [x for x in boxes if x.get('fill') == charts.INK]
  assert float(mark.get('x')[:-1]) == pytest.approx(40 + 0.48 * 25, abs=0.4)
  # Whatever classes are called.
  texts = _texts(charts.bars(dict.fromkeys(NAMES, 50.0)))
  assert texts[::2][:6] == [
      '_hidden', '$x', 'a$b^c$', 'nul\\x00', '\\udcff', '<b>&"'
  ]


def test_losses_point_to_the_left_and_come_first():
  markup = charts.difference_per_class({'gain': 20.0, 'loss': -10.0})
  assert _texts(markup) == ['loss', '-10.0', 'gain', '+20.0']
  boxes = [x for x in _drawn(markup) if x.tag.endswith('rect')]
  ends = [float(x.get(k)[:-1]) for x in boxes[:2] for k in ('x', 'width')]
  assert ends == [52.5, 11.5, 64.0, 23.0]


def test_curves_reach_from_end_to_end():
  line = [(10, 1.0), (20, 3.0), (30, 2.0)]
  markup = charts.curves({'<a>': line, 'b': line[:1]}, 'step', 'loss')
  first, second = (
      x.get('points') for x in _drawn(markup) if x.tag.endswith('polyline')
  )
  (x0, y0), (x1, y1), (x2, y2) = (
      map(float, p.split(',')) for p in first.split()
  )
  assert (x0, x1, x2) == (0, 500, 1000)
  # Up is less.
  assert y1 < y2 < y0
  assert second == first.split()[0]
  assert '&lt;a&gt;' in markup
  # Numbers of the axis are to the left of all points.
  dots = [x.get('cx') for x in _drawn(markup) if x.tag.endswith('circle')]
  assert dots == ['6.00%', '53.00%', '100.00%', '6.00%']
  # A curve may be flat.
  for line in [(1, 2.0)], [(1, 2.0), (9, 2.0)]:
    assert 'nan' not in charts.curves({'a': line}, 'step', 'loss')


@pytest.mark.parametrize('classes', [2, 101])
def test_a_matrix_tells_each_confusion(classes):
  matrix = 3 * np.eye(classes, dtype=int)
  matrix[0, 1] = 2
  names = [f'<class {k}>' for k in range(classes)]
  markup = maps.confusion(matrix, names)
  told = [x.text for x in _drawn(markup) if x.tag.endswith('title')]
  assert '<class 0> \u2192 <class 1>: 2' in told
  assert len([x for x in told if '\u2192' in x]) == classes + 1


def test_a_map_has_all_clips_and_a_picture_of_some():
  labels = np.arange(60) % 30
  features = np.random.default_rng(2).normal(size=(60, 8))
  names = NAMES + [f'class {k}' for k in range(23)]
  titles = [names[k] for k in labels]
  wrong = labels == 3
  markup = maps.map_of_clips(
      features, labels, names, titles, wrong, {5: b'jpeg'}
  )
  dots = [x for x in _drawn(markup) if x.tag.endswith('circle')]
  assert len(dots) == 60
  told = [x.get('data-title') for x in dots[4:7]]
  assert told == ['\\udcff', '<b>&"', 'n' * 99]
  assert [bool(x.get('data-picture')) for x in dots].index(True) == 5
  assert [x.get('fill') == 'white' for x in dots] == wrong.tolist()
