"""Writes a self-contained HTML page: tables, charts, pictures of clips.

A page holds its pictures and loads nothing. If one cannot be drawn, the page
says so in its place.
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

from PIL import Image

from data_pipelines import whole_file
from evclip_jax.reporting import charts, maps, pictures, tables

# With so few classes, the right one is always among the best five.
CERTAIN = 5

_STYLE = """
body { font: 15px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif;
       color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 4px; overflow-wrap: anywhere; }
p { margin: 6px 0 14px; max-width: 80ch; color: #52606d;
    white-space: pre-line; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 0 0 6px; overflow-wrap: anywhere; }
table { border-collapse: collapse; background: white; margin: 14px 0 4px; }
th, td { padding: 6px 16px; border-bottom: 1px solid #e4e7eb;
         text-align: left; font-variant-numeric: tabular-nums;
         white-space: nowrap; }
th { background: #eef1f4; font-weight: 600; }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 36ch; }
.number { text-align: right; }
figure { background: white; border: 1px solid #e4e7eb; border-radius: 6px;
         margin: 14px 0; padding: 10px; }
figure img, video { max-width: 100%; height: auto; display: block; }
figcaption { color: #52606d; font-size: 13px; padding-top: 6px;
             overflow-wrap: anywhere; }
figure .scroll img { max-width: none; }
svg { display: block; overflow: visible; }
svg .cut { overflow: hidden; }
svg text { font-size: 12px; fill: currentColor; }
svg text[fill] { fill: white; }
svg .quiet { fill: #7b8794; font-size: 11px; }
.scroll { overflow-x: auto; }
.clip > svg, figure > svg { max-width: 720px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px;
          padding-top: 8px; }
.legend i { display: inline-block; width: 10px; height: 10px;
            border-radius: 5px; margin-right: 6px; }
.map { position: relative; }
.tip { position: absolute; background: white; border: 1px solid #cbd2d9;
       padding: 6px; border-radius: 4px; font-size: 12px; max-width: 260px;
       pointer-events: none; overflow-wrap: anywhere; }
"""


@dataclasses.dataclass(frozen=True)
class Picture:
  """Says how to draw a picture, or which file it is.

  Attributes:
    draw: makes an image, or markup such as the SVG of `charts`.
    caption: the text below it, or ''.
    file: in place of `draw`, the name of a picture or MP4 beside the page.
  """

  draw: Callable[[], Image.Image | str] | None = None
  caption: str = ''
  file: str = ''


@dataclasses.dataclass(frozen=True)
class Section:
  """Holds a heading, a text, a table (dicts with the same keys), pictures."""

  title: str = ''
  text: str = ''
  rows: Sequence[Mapping[str, Any]] = ()
  pictures: Sequence[Picture] = ()


def write_page(
    path: str | os.PathLike, title: str, intro: str, sections: Sequence[Section]
) -> pathlib.Path:
  """Writes a page into an existing folder and returns its path.

  `intro` is a sentence or two below the title.
  """
  parts = [f'<h1>{_escape(title)}</h1>', _paragraph(intro)]
  for section in sections:
    if section.title:
      parts.append(f'<h2>{_escape(section.title)}</h2>')
    parts.append(_paragraph(section.text))
    if section.rows:
      parts.append(tables.as_html(section.rows))
    parts += [_figure(picture) for picture in section.pictures]
  body = '\n'.join(filter(None, parts))
  script = f'<script>{maps.SCRIPT}</script>\n' if 'class="map"' in body else ''
  whole_file.write(
      path,
      '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
      '<meta name="viewport" content="width=device-width">\n'
      f'<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n'
      f'</head>\n<body>\n<main>\n{body}\n</main>\n{script}</body>\n</html>\n',
  )
  return pathlib.Path(path)


def clip(seen: pictures.ClipPicture) -> str:
  """Returns a clip as markup: its answer, rows of frames, the best classes."""
  verdict, colour = pictures.verdict(seen)
  parts = [
      f'<h3>{_escape(seen.title)} <span style="color:{colour}">'
      f'{_escape(verdict)}</span></h3>'
  ]
  for label, strip in pictures.rows(seen):
    parts.append(
        f'<figcaption>{_escape(label)}</figcaption><div class="scroll">'
        f'{_image(Image.fromarray(strip), label)}</div>'
    )
  shares = {name: 100 * share for name, share in seen.scores}
  parts.append(charts.bars(shares, colours=pictures.colours(seen)))
  return f'<div class="clip">{"".join(parts)}</div>'


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
  # The numbers on the page are worth having whatever goes wrong here.
  except Exception as e:
    what = caption or 'a picture'
    shown, caption = '', f'{what}: not drawn, {type(e).__name__}: '
    caption += _escape(str(e))
  below = f'<figcaption>{caption}</figcaption>' if caption else ''
  return f'<figure>{shown}{below}</figure>'


def _image(shown: Image.Image | str, caption: str) -> str:
  """Returns an <img> or <video> that holds a picture or names its file."""
  if isinstance(shown, str):
    place = urllib.parse.quote(shown)
    if place.endswith('.mp4'):
      return f'<video controls preload="none" src="{place}"></video>'
  else:
    shown.save(file := io.BytesIO(), 'JPEG', quality=82, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    place = f'data:image/jpeg;base64,{data}'
  alt = caption or 'a clip: frames, maps and scores'
  return f'<img loading="lazy" src="{place}" alt="{alt}">'
