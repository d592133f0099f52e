"""Predicts many videos and writes a folder of results, then of pictures."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.stores import files
from evclip_jax.evaluation import look
from evclip_jax.reporting import log, page, pictures, tables
from evclip_jax.runs.trained_model import TrainedModel

# Classes named of each video.
_BEST = 5
# With more videos the table on the terminal has one line for each.
_FEW = 20

Row = dict[str, Any]


def predict(
    model: TrainedModel,
    videos: Sequence[str],
    out: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    support: dict[str, list[str]] | None = None,
) -> list[Row]:
  """Predicts videos, in their order.

  Args:
    model: of `evclip_jax.load`.
    videos: paths.
    out: a folder for predictions.jsonl, predictions.csv, index.html and a
      picture of each video; None = for nothing.
    classes, support: as for `TrainedModel.predict`.

  Returns:
    A row per video: 'video', then 'top5' (dicts of 'class' and 'probability'),
    'step' and 'selected_by', or 'error'.

  Raises:
    UserError: the folder cannot be written, or classes and examples that do
      not fit the method. A video that cannot be read costs its row only.
  """
  names = model.names(classes, support)
  try:
    return _predict(model, videos, out, names, classes, support)
  except OSError as e:
    if not out:
      raise
    raise UserError(
        f'{e.filename or out} cannot be written: {e.strerror or e}. Give '
        'another --out.'
    ) from e


def _predict(model, videos, out, names, classes, support) -> list[Row]:
  rows, shown = [], []
  if out:
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    lines = (out / 'predictions.jsonl').open('w', encoding='utf-8')
  files = _picture_names(videos)
  seen = model.see(videos, classes, support, closely=bool(out))
  with log.progress(len(videos), 'predict', unit='video') as bar:
    for path, file, found in zip(videos, files, seen, strict=True):
      rows.append(_row(path, found, names, model))
      bar.update(1)
      if not out:
        continue
      lines.write(json.dumps(rows[-1], ensure_ascii=False) + '\n')
      # What was computed is safe before anything is drawn.
      lines.flush()
      if not isinstance(found, UserError):
        shown.append(_draw(out / file, path, found, names, model.method))
  if out:
    lines.close()
    whole_file.write(out / 'predictions.csv', tables.as_csv(_flat(rows)))
    page.write_page(
        out / 'index.html',
        f'{len(videos)} videos',
        f'Predicted by {model.name}, step {model.step}.',
        [page.Section(rows=_flat(rows)), *shown],
    )
  return rows


def find_videos(arguments: Sequence[str]) -> list[str]:
  """Returns the files that arguments name, folders opened.

  Raises:
    UserError: nothing named, a path that does not exist, a folder without
      videos.
  """
  if not arguments:
    raise UserError('name at least one video, or a folder of videos.')
  videos = []
  for path in arguments:
    if os.path.isdir(path):
      inside = _inside(path)
      if not inside:
        raise UserError(f'the folder {path} has no videos in it.')
      videos += inside
    elif os.path.exists(path):
      videos.append(path)
    else:
      raise UserError(f'the video {path} does not exist.')
  return list(dict.fromkeys(videos))


def find_examples(folder: str) -> dict[str, list[str]]:
  """Returns the videos in FOLDER/<class>/, by class.

  Raises:
    UserError: no such folder, fewer than two classes, or a class without clips.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(f'--support={folder} is not a folder.')
  found = {name: _inside(root / name) for name in files.folders(root)}
  if len(found) < 2:
    raise UserError(
        f'--support={folder} has {len(found)} folders in it: wanted one folder '
        'of example clips for each of two or more classes.'
    )
  for name, videos in found.items():
    if not videos:
      raise UserError(f'the folder {root / name} (--support) has no videos.')
  return found


def as_text(rows: Sequence[Row]) -> str:
  """Returns rows as aligned text; of many videos only the best class."""
  lines = []
  for row in rows:
    best = row.get('top5', [{'class': '(cannot be read)'}])
    for place, one in enumerate(best[:1] if len(rows) > _FEW else best):
      share = one.get('probability')
      lines.append({
          # Once is enough.
          'video': '' if place else row['video'],
          'class': one['class'],
          'probability': '' if share is None else f'{100 * share:.1f} %',
      })
  return tables.as_text(lines)


def _row(path: str, seen: look.Seen | UserError, names, run) -> Row:
  row = {'video': tables.printable(path)}
  if isinstance(seen, UserError):
    return row | {'error': tables.printable(str(seen))}
  best = [
      {'class': name, 'probability': round(p, 6)}
      for name, p in seen.top(names, _BEST)
  ]
  return row | {'top5': best, 'step': run.step, 'selected_by': run.selected_by}


def _flat(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Returns one dict per video, all with the same keys."""
  most = max(len(row.get('top5', ())) for row in rows)
  out = []
  for row in rows:
    flat = {'video': row['video']}
    for place in range(most):
      best = row['top5'][place] if 'top5' in row else {}
      ending = f' {place + 1}' if place else ''
      flat[f'class{ending}'] = best.get('class')
      flat[f'probability{ending}'] = best.get('probability')
    out.append(flat | {'error': row.get('error')})
  return out


def _picture_names(videos: Sequence[str]) -> list[str]:
  """Returns a file name for the picture of each video: its own, numbered."""
  counts, names = {}, []
  for path in videos:
    # No file may have a longer name than 255 bytes.
    name = tables.short(os.path.basename(path), 60)
    counts[name] = counts.get(name, 0) + 1
    # Videos of one name lie in several folders, as in a folder per class.
    ending = f'-{counts[name]}' if counts[name] > 1 else ''
    names.append(f'{name}{ending}.png')
  return names


def _draw(file: pathlib.Path, path, seen, names, method) -> page.Section:
  """Draws a video into a file and returns its place on the page."""
  title = tables.printable(os.path.basename(path))
  try:
    pictures.draw(seen.picture(title, names, method)).save(file)
  # A picture is not worth the predictions that are still to come.
  except Exception as e:
    reason = f'{title}: not drawn, {type(e).__name__}: {e}'
    log.log(reason)
    return page.Section(text=reason)
  return page.Section(pictures=[page.Picture(file=file.name)])


def _inside(folder) -> list[str]:
  tree = files.FileTree(folder)
  return [os.path.join(tree.root, key) for key in tree.keys]
