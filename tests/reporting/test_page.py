"""Pages and tables, whatever the texts in them are."""

import csv
import io
import re

import pytest
from PIL import Image

from evclip_jax.reporting import page, tables

ROWS = [
    {'variant': 'both', 'test': 91.0, 'trained': 8321},
    {'variant': 'none', 'test': None, 'trained': 0},
]


def test_the_page_holds_its_pictures_and_asks_for_nothing(tmp_path):
  def fail():
    raise ValueError('no <ink>')

  image = Image.new('RGB', (60, 40), 'red')
  drawn = [
      page.Picture(fail, 'first'),
      page.Picture(lambda: image, 'x & y'),
      page.Picture(lambda: '<svg></svg>'),
  ]
  sections = [page.Section(rows=ROWS), page.Section('dark', 'Dark.', (), drawn)]
  path = page.write_page(
      tmp_path / 'page.html', 'A <title>\udcff', 'An introduction.', sections
  )
  text = path.read_text()
  assert text.count('src="data:image/jpeg;base64,') == 1
  assert '<figure><svg></svg></figure>' in text
  assert 'A &lt;title&gt;\\udcff' in text
  assert 'x &amp; y' in text
  assert '<td class=number>91.0</td>' in text
  assert not re.search(r'(src|href)="(?!data:)', text)
  assert [p.name for p in tmp_path.iterdir()] == ['page.html']
  # What cannot be drawn costs its own place.
  assert 'first: not drawn, ValueError: no &lt;ink&gt;' in text


def test_text_is_aligned():
  lines = tables.as_text(ROWS).splitlines()
  assert lines[0] == 'variant  test  trained'
  assert set(lines[1]) == {'-'}
  assert lines[2] == 'both     91.0    8,321'
  assert lines[3] == 'none                 0'
  # Signs of East Asia are two columns wide.
  rows = [{'name': '\u8df3\u821e', 'n': 1}, {'name': 'abcd', 'n': 1}]
  assert tables.as_text(rows, header=False) == '\u8df3\u821e  1\nabcd  1'


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
        (joined := '\u06cc\u200c\u062e \u3000\xa0', joined),
        ('a\u202eb', 'a\\u202eb'),
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
