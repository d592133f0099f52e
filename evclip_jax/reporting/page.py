"""One self-contained HTML page: a table of results and pictures of clips."""

import base64
import dataclasses
import html
import os
import pathlib

from PIL import Image

from evclip_jax.reporting import pictures

# Small enough for a mail. Beyond it, pictures are shrunk and then compressed.
_MOST_BYTES = 4_500_000
_SHRINK = ((1.0, 82), (1.0, 65), (0.75, 65), (0.5, 60), (0.35, 50))

_STYLE = """
body { font: 15px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif;
       color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 6px; }
h2 { font-size: 19px; margin: 40px 0 4px; }
p { margin: 6px 0 14px; max-width: 80ch; color: #52606d; }
table { border-collapse: collapse; background: white; margin: 14px 0 4px; }
th, td { padding: 6px 16px; border-bottom: 1px solid #e4e7eb;
         text-align: right; font-variant-numeric: tabular-nums; }
th { background: #eef1f4; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
figure { background: white; border: 1px solid #e4e7eb; border-radius: 6px;
         margin: 14px 0; padding: 10px; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: #52606d; font-size: 13px; padding-top: 6px; }
.scroll { overflow-x: auto; }
"""


@dataclasses.dataclass(frozen=True)
class Section:
  """A heading and what stands under it.

  Attributes:
    title: the heading.
    text: a sentence below it; '' for none.
    figures: (picture, caption); the caption may be ''.
  """

  title: str
  text: str
  figures: list[tuple[Image.Image, str]]


@dataclasses.dataclass(frozen=True)
class Table:
  """Results, already as text.

  Attributes:
    header: column names.
    rows: one list per row, as long as the header.
    note: a sentence below the table; '' for none.
  """

  header: list[str]
  rows: list[list[str]]
  note: str = ''


def write_page(
    path: str | os.PathLike,
    title: str,
    intro: str,
    table: Table | None,
    sections: list[Section],
) -> pathlib.Path:
  """Writes the page; it holds its pictures and needs no network.

  Args:
    path: the .html file; its folder must exist.
    title: of the page.
    intro: a sentence or two below the title.
    table: results, or None.
    sections: the pictures, grouped.

  Returns:
    The path.
  """
  parts = [f'<h1>{html.escape(title)}</h1>', _paragraph(intro)]
  if table is not None:
    parts.append(_table(table))
  images = iter(_encoded([image for s in sections for image, _ in s.figures]))
  for section in sections:
    parts += [f'<h2>{html.escape(section.title)}</h2>']
    parts.append(_paragraph(section.text))
    parts += [_figure(next(images), c) for _, c in section.figures]
  text = (
      '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
      '<meta name="viewport" content="width=device-width">\n'
      f'<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n'
      '</head>\n<body>\n<main>\n' + '\n'.join(filter(None, parts))
      + '\n</main>\n</body>\n</html>\n'
  )
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  temporary.write_text(text, encoding='utf-8')
  os.replace(temporary, path)
  return path


def _encoded(images: list[Image.Image]) -> list[bytes]:
  """JPEGs that together stay below the limit, as good as that allows."""
  for scale, quality in _SHRINK:
    files = [pictures.encode(_scaled(i, scale), quality) for i in images]
    # Base64 writes four characters for three bytes.
    if sum(map(len, files)) * 4 / 3 < _MOST_BYTES:
      break
  return files if images else []


def _scaled(image: Image.Image, scale: float) -> Image.Image:
  if scale == 1:
    return image
  size = (round(image.width * scale), round(image.height * scale))
  return image.resize(size, Image.Resampling.LANCZOS)


def _paragraph(text: str) -> str:
  return f'<p>{html.escape(text)}</p>' if text else ''


def _table(table: Table) -> str:
  def row(cells, tag):
    inner = ''.join(f'<{tag}>{html.escape(c)}</{tag}>' for c in cells)
    return f'<tr>{inner}</tr>'

  body = '\n'.join(row(cells, 'td') for cells in table.rows)
  return (
      '<div class="scroll"><table>\n'
      f'<thead>{row(table.header, "th")}</thead>\n<tbody>\n{body}\n</tbody>'
      f'\n</table></div>{_paragraph(table.note)}'
  )


def _figure(jpeg: bytes, caption: str) -> str:
  data = base64.b64encode(jpeg).decode()
  alt = html.escape(caption or 'a clip: frames, maps and scores', quote=True)
  below = f'<figcaption>{html.escape(caption)}</figcaption>' if caption else ''
  return (
      f'<figure><img src="data:image/jpeg;base64,{data}" alt="{alt}">'
      f'{below}</figure>'
  )
