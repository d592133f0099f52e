"""One self-contained HTML page: tables of results, charts, pictures of clips.

A page holds its pictures and asks the network for nothing. What cannot be drawn
costs its own place on the page only.
"""

import base64
import dataclasses
import html
import io
import os
import pathlib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from data_pipelines import whole_file
from evclip_jax.reporting import charts, tables

# Of so many classes the right one is always among the best five.
CERTAIN = 5

_STYLE = """
body { font: 15px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif;
       color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0 14px; max-width: 80ch; color: #52606d;
    white-space: pre-line; overflow-wrap: anywhere; }
table { border-collapse: collapse; background: white; margin: 14px 0 4px; }
th, td { padding: 6px 16px; border-bottom: 1px solid #e4e7eb;
         text-align: left; font-variant-numeric: tabular-nums; }
th { background: #eef1f4; font-weight: 600; white-space: nowrap; }
.number { text-align: right; }
figure { background: white; border: 1px solid #e4e7eb; border-radius: 6px;
         margin: 14px 0; padding: 10px; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #52606d; font-size: 13px; padding-top: 6px; }
.scroll { overflow-x: auto; }
"""


@dataclasses.dataclass(frozen=True)
class Picture:
  """Says how a picture is made when the page is written, or where it lies.

  Attributes:
    draw: makes an image, a chart, or markup such as the SVG of `charts`, which
      the page will hold.
    caption: what stands below it; '' for nothing.
    file: in place of `draw`, the name of a picture beside the page.
  """

  draw: Callable[[], Image.Image | Figure | str] | None = None
  caption: str = ''
  file: str = ''


@dataclasses.dataclass(frozen=True)
class Section:
  """A heading and what stands under it.

  Attributes:
    title: the heading; '' for none.
    text: a sentence below it; '' for none.
    rows: a table, dicts with the same keys.
    pictures: drawn one after the other.
  """

  title: str = ''
  text: str = ''
  rows: Sequence[Mapping[str, Any]] = ()
  pictures: Sequence[Picture] = ()


def write_page(
    path: str | os.PathLike,
    title: str,
    intro: str,
    sections: Sequence[Section],
) -> pathlib.Path:
  """Writes a page and returns its path.

  Args:
    path: the .html file; its folder must exist.
    title: of the page.
    intro: a sentence or two below the title.
    sections: from top to bottom.
  """
  parts = [f'<h1>{_escape(title)}</h1>', _paragraph(intro)]
  for section in sections:
    if section.title:
      parts.append(f'<h2>{_escape(section.title)}</h2>')
    parts.append(_paragraph(section.text))
    if section.rows:
      parts.append(tables.as_html(section.rows))
    parts += [_figure(picture) for picture in section.pictures]
  whole_file.write(
      path,
      '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
      '<meta name="viewport" content="width=device-width">\n'
      f'<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n'
      '</head>\n<body>\n<main>\n' + '\n'.join(filter(None, parts))
      + '\n</main>\n</body>\n</html>\n',
  )
  return pathlib.Path(path)


def write_run_page(
    folder: pathlib.Path, card: dict[str, Any], details: dict[str, Any]
) -> pathlib.Path:
  """Writes report.html of a run: its numbers, each class, a map of its clips.

  Args:
    folder: the run folder.
    card: the run card.
    details: list name -> what `run_card.evaluate_list` gave beside the summary.

  Returns:
    The path of the page.
  """
  final = {name: dict(summary) for name, summary in card['final'].items()}
  for name, summary in final.items():
    if len(details[name]['class_names']) <= CERTAIN:
      summary.pop('top5', None)
  columns = dict.fromkeys(k for s in final.values() for k in s)
  rows = [
      {'list': name} | {c: summary.get(c) for c in columns}
      for name, summary in final.items()
  ]
  counts = card['parameters']
  worse = card.get('corrupt', '')
  return write_page(
      folder / 'report.html',
      f'{card["method"]}: {folder.name}',
      f'Step {card["selection"]["step"]}, {card["selection"]["meaning"]}. '
      f'{counts["trainable"]:,} weights were trained and '
      f'{counts["frozen"]:,} frozen. Accuracies are in percent.'
      + f' The frames were made worse: data.corrupt={worse}.' * bool(worse),
      [Section(rows=rows), *(_list(n, d) for n, d in details.items())],
  )


def _list(name: str, details: dict[str, Any]) -> Section:
  """The charts of one list of clips."""
  arrays = details['arrays']

  def bars():
    return charts.accuracy_per_class(details['per_class'])

  def dots():
    labels, names = arrays['labels'], details['class_names']
    return charts.map_of_clips(arrays['features'], labels, names)

  pictures = [Picture(bars, 'top-1 of each class')]
  if len(arrays.get('features', ())) > 2:
    caption = (
        'the features of the clips, seen along their two main directions '
        '(principal components); near dots look alike to the network'
    )
    pictures.append(Picture(dots, caption))
  return Section(f'List: {name}', pictures=pictures)


def _escape(text: str) -> str:
  return html.escape('\n'.join(map(tables.printable, text.split('\n'))))


def _paragraph(text: str) -> str:
  return f'<p>{_escape(text)}</p>' if text else ''


def _figure(picture: Picture) -> str:
  caption = _escape(picture.caption)
  try:
    shown = picture.draw() if picture.draw else picture.file
    if not isinstance(shown, str) or picture.file:
      shown = _image(shown, caption)
  # Whatever goes wrong in drawing, the numbers beside it are worth having.
  except Exception as e:
    what = caption or 'a picture'
    shown, caption = '', f'{what}: not drawn, {type(e).__name__}: '
    caption += _escape(str(e))
  below = f'<figcaption>{caption}</figcaption>' if caption else ''
  return f'<figure>{shown}{below}</figure>'


def _image(shown: Image.Image | Figure | str, caption: str) -> str:
  """An <img> that holds a picture, or names its file."""
  named = isinstance(shown, str)
  place = urllib.parse.quote(shown) if named else encode(shown)
  alt = caption or 'a clip: frames, maps and scores'
  return f'<img loading="lazy" src="{place}" alt="{alt}">'


def encode(drawn: Image.Image | Figure) -> str:
  """Returns an address that holds a picture: SVG for charts, else JPEG."""
  file, kind = io.BytesIO(), 'jpeg'
  if isinstance(drawn, Figure):
    kind = 'svg+xml'
    drawn.savefig(file, format='svg', metadata={'Date': None})
  else:
    drawn.save(file, 'JPEG', quality=82, optimize=True)
  data = base64.b64encode(file.getvalue()).decode()
  return f'data:image/{kind};base64,{data}'
