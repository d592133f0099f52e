"""How a prediction is shown: as a row of JSON, in a table, as a picture."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.errors import UserError
from evclip_jax.evaluation import look
from evclip_jax.reporting import pictures
from evclip_jax.runs import trained_run


def row(
    path: str, seen: look.Seen, run: trained_run.TrainedRun
) -> dict[str, Any]:
  """What a JSON line says of a video."""
  names = run.session.class_names
  return {
      'video': path,
      'top5': [
          {'class': name, 'probability': round(p, 6)}
          for name, p in seen.top(names)
      ],
      'step': run.step,
      'selected_by': run.selected_by,
  }


def table(rows: Sequence[dict[str, Any]]) -> str:
  """The rows as aligned text, up to five lines per video."""
  lines = [('video', 'class', 'probability')]
  for r in rows:
    name = r['video']
    if 'error' in r:
      lines.append((name, '(cannot be read)', ''))
    for best in r.get('top5', ()):
      share = f'{100 * best["probability"]:.1f} %'
      lines.append((name, best['class'], share))
      # Once is enough.
      name = ''
  widths = [max(len(line[i]) for line in lines) for i in range(3)]
  text = [
      f'{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}'
      for a, b, c in lines
  ]
  text.insert(1, '-' * len(text[0]))
  return '\n'.join(text)


def make_folder(path: str) -> pathlib.Path:
  """The folder of --out, made if need be.

  Raises:
    UserError: if it cannot be made.
  """
  folder = pathlib.Path(path)
  with _writing(folder):
    folder.mkdir(parents=True, exist_ok=True)
  return folder


def write_lines(path: pathlib.Path, lines: Sequence[str]):
  """Writes a text file whole or not at all."""
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  with _writing(path):
    temporary.write_text(''.join(line + '\n' for line in lines), 'utf-8')
    os.replace(temporary, path)


def save_picture(
    folder: pathlib.Path,
    path: str,
    seen: look.Seen,
    run: trained_run.TrainedRun,
    videos: Sequence[str],
):
  """Draws a video into the folder, under the video's own name."""
  fill = look.fill_colour(run.session.model.method)
  name = os.path.basename(path)
  shown = look.picture(seen, name, run.session.class_names, fill)
  # Videos of one name lie in several folders, as in a folder per class.
  same = [v for v in videos if os.path.basename(v) == name]
  ending = f'-{same.index(path) + 1}' if len(same) > 1 else ''
  target = folder / f'{name}{ending}.png'
  with _writing(target):
    pictures.draw(shown).save(target)


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except OSError as e:
    raise UserError(
        f'{path} cannot be written: {e.strerror or e}. Give another --out.'
    ) from e
