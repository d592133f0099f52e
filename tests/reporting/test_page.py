"""Pages and tables, whatever the texts in them are."""

import csv
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evclip_jax.evaluation import run_card
from evclip_jax.reporting import page, tables

ROWS = [
    {'variant': 'both', 'test': 91.0, 'trained': 8321},
    {'variant': 'none', 'test': None, 'trained': 0},
]


def test_the_page_holds_its_pictures_and_asks_for_nothing(tmp_path):
  image = Image.new('RGB', (60, 40), 'red')
  path = page.write_page(
      tmp_path / 'page.html',
      'A <title>\udcff',
      'An introduction.',
      [
          page.Section(rows=ROWS),
          page.Section(
              'dark',
              'Dark clips.',
              pictures=[
                  page.Picture(lambda: image, 'x & y'),
                  page.Picture(lambda: Figure((2, 1))),
              ],
          ),
      ],
  )
  text = path.read_text()
  assert text.count('src="data:image/jpeg;base64,') == 1
  assert text.count('src="data:image/svg+xml;base64,') == 1
  assert 'A &lt;title&gt;\\udcff' in text
  assert 'x &amp; y' in text
  assert '<td class=number>91.0</td>' in text
  assert not re.search(r'(src|href)="(?!data:)', text)
  assert [p.name for p in tmp_path.iterdir()] == ['page.html']


def test_a_picture_that_cannot_be_drawn_costs_its_own_place(tmp_path):
  def fail():
    raise ValueError('no <ink>')

  image = Image.new('RGB', (60, 40), 'red')
  pictures = [page.Picture(fail, 'first'), page.Picture(lambda: image)]
  text = page.write_page(
      tmp_path / 'page.html', 't', '', [page.Section(pictures=pictures)]
  ).read_text()
  assert 'first: not drawn, ValueError: no &lt;ink&gt;' in text
  assert text.count('<img') == 1


@pytest.mark.parametrize(('classes', 'shown'), [(5, False), (6, True)])
def test_a_top5_that_is_certain_is_left_out(tmp_path, classes, shown):
  names = [f'$class {k}_' for k in range(classes)]
  summary = {'loss': 1.5, 'top1': 50.0, 'top5': 100.0, 'clips': 4}
  card = {
      'method': 'ev_clip',
      'final': {'test': summary},
      'selection': {'step': 3, 'meaning': 'the last step'},
      'parameters': {'trainable': 10, 'frozen': 20},
  }
  details = {
      'class_names': names,
      'per_class': dict.fromkeys(names, 50.0),
      'arrays': {
          'features': np.eye(6)[:4],
          'labels': np.arange(4),
      },
  }
  text = page.write_run_page(tmp_path, card, {'test': details}).read_text()
  assert ('>top5<' in text) == shown
  assert text.count('image/svg+xml') == 2
  assert 'not drawn' not in text
  line = run_card.one_line('test', summary | {'macro_f1': 1.0}, classes)
  assert ('top-5' in line) == shown


def test_text_is_aligned():
  lines = tables.as_text(ROWS).splitlines()
  assert lines[0] == 'variant  test  trained'
  assert set(lines[1]) == {'-'}
  assert lines[2] == 'both     91.0    8,321'
  assert lines[3] == 'none                 0'


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, ''),
        (1234567, '1,234,567'),
        (88.3333, '88.33'),
        (90.0, '90.0'),
        ('a\nb\x1b[1m', 'a\\nb\\x1b[1m'),
        ('caf\u00e9 \u52a8', 'caf\u00e9 \u52a8'),
        ('x\udcff', 'x\\udcff'),
    ],
)
def test_cells(value, text):
  assert tables.cell(value) == text


def test_csv_holds_no_formulas_and_reads_back():
  names = ['=1+1', '@x', '-a', '+b', 'a,b', 'a"b', '\ttab', 'plain']
  text = tables.as_csv([{'name': n, 'share': -0.5} for n in names])
  rows = list(csv.DictReader(io.StringIO(text)))
  assert [r['share'] for r in rows] == ['-0.5'] * len(names)
  assert all(r['name'][0] not in '=@-+\t' for r in rows)
  assert [r['name'] for r in rows][4:6] == ['a,b', 'a"b']
