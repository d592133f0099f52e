"""Formats tables as text, HTML, CSV, Markdown or LaTeX."""

import csv
import html
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Longest text that a page does not wrap.
_LONG = 40
# Characters that begin a formula in a spreadsheet.
_FORMULA = ('=', '+', '-', '@', '\t', '\r')


def printable(text: str) -> str:
  """Returns text that any terminal and any file can hold.

  Control characters and bytes that are no UTF-8 become escapes like '\\udcff'.
  """
  return ''.join(
      c if _is_printed(c) else c.encode('unicode_escape').decode()
      for c in str(text)
  )


def _is_printed(c: str) -> bool:
  # Spaces, and the joiners of Persian words and of emoji, are no controls.
  joins = c in '\u200c\u200d' or unicodedata.category(c) == 'Zs'
  return joins or c.isprintable()


def short(text: str, most: int = 34) -> str:
  """Returns printable text, cut to `most` characters."""
  text = printable(text)
  return text if len(text) <= most else text[: most - 1] + '…'


def cell(value: Any) -> str:
  """Formats a value for a table: floats with two decimals, None as ''."""
  if value is None:
    return ''
  if isinstance(value, float):
    return str(round(value, 2))
  return f'{value:,}' if isinstance(value, int) else printable(value)


def same_columns(
    rows: Iterable[Mapping[str, Any]], missing: Any = ''
) -> list[dict[str, Any]]:
  """Returns rows that all have all columns, in order of first appearance."""
  rows = list(rows)
  columns = dict.fromkeys(c for row in rows for c in row)
  return [{c: row.get(c, missing) for c in columns} for row in rows]


def without_empty(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Returns rows without the columns that are empty in all."""
  held = {c for row in rows for c in row if row[c] not in (None, '')}
  return [{c: x for c, x in row.items() if c in held} for row in rows]


def as_text(rows: Sequence[Mapping[str, Any]], header: bool = True) -> str:
  """Returns rows, dicts with the same keys, as aligned columns."""
  columns, lines, numeric = _cells(rows)
  lines = [columns, *lines] if header else lines
  widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
  out = []
  for line in lines:
    gaps = [' ' * (w - _width(x)) for w, x in zip(widths, line, strict=True)]
    parts = zip(line, gaps, numeric, strict=True)
    texts = [gap + x if right else x + gap for x, gap, right in parts]
    out.append('  '.join(texts).rstrip())
  if header:
    out.insert(1, '-' * max(map(_width, out)))
  return '\n'.join(out)


def _width(text: str) -> int:
  """Counts the columns of a terminal; East Asian characters take two."""
  return len(text) + sum(unicodedata.east_asian_width(c) in 'FW' for c in text)


def as_html(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns rows, dicts with the same keys, as a <table>, escaped."""
  columns, lines, numeric = _cells(rows)

  def row(texts, tag):
    cells = ''.join(
        f'<{tag}{_kind(text, right)}>{html.escape(text)}</{tag}>'
        for text, right in zip(texts, numeric, strict=True)
    )
    return f'<tr>{cells}</tr>\n'

  body = ''.join(row(line, 'td') for line in lines)
  head = row(columns, 'th')
  return f'<div class="scroll"><table>\n{head}{body}</table></div>'


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns rows as CSV; a text that looks like a formula gets a quote."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  writer.writerow(map(_harmless, rows[0]))
  for row in rows:
    writer.writerow(map(_harmless, row.values()))
  return out.getvalue()


def _kind(text: str, numeric: bool) -> str:
  """Returns the class of a cell: numbers align right, long texts wrap."""
  if numeric:
    return ' class=number'
  return ' class=long' if len(text) > _LONG else ''


def as_markdown(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
  """Returns rows as a Markdown table with a caption below it."""
  columns, lines, numeric = _cells(rows)
  rule = ['---:' if right else '---' for right in numeric]

  def escape(text):
    return re.sub(r'([\\|*_<>`])', r'\\\1', text)

  def line(texts):
    return f'| {" | ".join(map(escape, texts))} |'

  head = [line(columns), f'| {" | ".join(rule)} |', *map(line, lines)]
  return '\n'.join([*head, '', escape(caption)]) + '\n'


def as_latex(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
  """Returns rows as a LaTeX table that needs no packages."""
  columns, lines, numeric = _cells(rows)
  special = {c: f'\\{c}' for c in '&%$#_{}'} | {
      '\\': r'\textbackslash{}',
      '~': r'\textasciitilde{}',
      '^': r'\textasciicircum{}',
      '±': r'$\pm$',
      '<': '$<$',
      '>': '$>$',
  }

  def escape(text):
    return ''.join(special.get(c, c) for c in text)

  def line(texts):
    return f'{" & ".join(map(escape, texts))} \\\\'

  form = ''.join('r' if right else 'l' for right in numeric)
  return '\n'.join([
      r'\begin{table}',
      f'\\caption{{{escape(caption)}}}',
      f'\\begin{{tabular}}{{{form}}}',
      line(columns),
      r'\hline',
      *map(line, lines),
      r'\end{tabular}',
      r'\end{table}',
      '',
  ])


def _harmless(value: Any) -> Any:
  if not isinstance(value, str):
    return value
  text = printable(value)
  return f"'{text}" if value.startswith(_FORMULA) else text


def _cells(rows) -> tuple[list[str], list[list[str]], list[bool]]:
  """Returns column names, the cells of each row, and which hold numbers."""
  columns = list(rows[0])
  lines = [[cell(row[c]) for c in columns] for row in rows]
  numeric = [
      all(not text or text[0] in '+-<0123456789' for text in column)
      for column in zip(*lines, strict=True)
  ]
  return [printable(c) for c in columns], lines, numeric
