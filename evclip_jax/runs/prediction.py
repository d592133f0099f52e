"""Predicts many videos and writes a folder of results, then of pictures."""

import collections
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.stores import files
from evclip_jax.evaluation import look
from evclip_jax.reporting import log, page, tables
from evclip_jax.runs import video_files
from evclip_jax.runs.trained_model import TrainedModel
from evclip_jax.runs.video_files import NONE

# Classes named of each video.
_BEST = 5
# With more videos the terminal has one line for each, then only a summary.
_FEW, _MANY = 20, 1000
# Videos that are drawn: each costs a part of a second and a file.
_DRAWN = 200

Row = dict[str, Any]


def predict(
    model: TrainedModel,
    videos: Sequence[str],
    out: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    support: dict[str, list[str]] | None = None,
    tell: Callable[[Row], Any] = lambda row: None,
    clips: int = 0,
    least: float = 0.0,
    timeline: bool = False,
    overlays: Sequence[str] = (),
) -> list[Row]:
  """Predicts videos, paths, in their order.

  Args:
    model, videos, classes, support, clips: see `TrainedModel.predict`.
    out: a folder for predictions.jsonl, predictions.csv, index.html, a picture
      of each video, and what is named below; None = for nothing.
    tell: called with each row when it is known.
    least: answers that are less probable are 'none of these'.
    timeline: whether to write the scores along each video.
    overlays: '.mp4' and '.gif', for videos with words and map.

  Returns:
    A row per video: 'video', then 'answer' (None = none of these), 'top5'
    (dicts of 'class' and 'probability'), 'looked_at', 'step' and 'selected_by';
    or 'error'.

  Raises:
    UserError: the folder cannot be written, or classes and examples that do
      not fit the method. A video that cannot be read costs its row only.
  """
  names = model.names(classes, support)
  folder = pathlib.Path(out) if out else None
  seen = model.see(
      videos, classes, support, closely=bool(out), every=bool(overlays),
      clips=clips, along=timeline,
  )  # fmt: skip
  how = {'least': least, 'timeline': timeline, 'overlays': overlays}
  try:
    return _predict(model, videos, folder, names, seen, tell, how)
  except OSError as e:
    if not out:
      raise
    raise UserError(
        f'{e.filename or out} cannot be written: {e.strerror or e}. Give '
        'another --out.'
    ) from e


def _predict(model, videos, out, names, seen, tell, how) -> list[Row]:
  rows, shown, lines = [], [], None
  if out:
    out.mkdir(parents=True, exist_ok=True)
    lines = (out / 'predictions.jsonl').open('w', encoding='utf-8')
  stems = _file_names(videos)
  with log.progress(len(videos), 'predict', unit='video') as bar:
    for path, stem, found in zip(videos, stems, seen, strict=True):
      rows.append(_row(path, found, names, model, how['least']))
      tell(rows[-1])
      bar.update(1)
      if not out:
        continue
      lines.write(json.dumps(rows[-1], ensure_ascii=False) + '\n')
      # What was computed is safe before anything is drawn.
      lines.flush()
      if not isinstance(found, UserError):
        own = out, stem, path, found, names, model, len(rows) <= _DRAWN
        shown += video_files.write(*own, **how)
  if out:
    lines.close()
    whole_file.write(out / 'predictions.csv', tables.as_csv(_flat(rows)))
    text = f'Predicted by {model.name}, step {model.step}.'
    if len(rows) > _DRAWN:
      text += f' The first {_DRAWN} videos have pictures.'
    text += ' predictions.csv has five classes of each.'
    title = f'{len(videos):,} video' + 's' * (len(videos) != 1)
    table = page.Section(rows=_short(rows))
    page.write_page(out / 'index.html', title, text, [table, *shown])
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
  """Returns rows as aligned text.

  Of many videos only the answer, of thousands how many have each answer.
  """
  if len(rows) > _MANY:
    return _summary(rows)
  lines = []
  for row in rows:
    best = row.get('top5', [{'class': '(cannot be read)'}])
    if 'top5' in row and row['answer'] is None:
      best = [{'class': NONE}, *best]
    for place, one in enumerate(best[:1] if len(rows) > _FEW else best):
      share = one.get('probability')
      lines.append({
          # Once is enough.
          'video': '' if place else row['video'],
          'class': one['class'],
          'probability': '' if share is None else f'{100 * share:.1f} %',
          'looked at': '' if place else _looked_at(row),
      })
  return tables.as_text(lines)


def _summary(rows: Sequence[Row]) -> str:
  counts = collections.Counter(
      '(cannot be read)' if 'error' in row else row['answer'] or NONE
      for row in rows
  )
  table = [{'answer': a, 'videos': n} for a, n in counts.most_common()]
  return f'{tables.as_text(table)}\n{len(rows):,} videos'


def _row(path: str, seen: look.Seen | UserError, names, model, least) -> Row:
  row = {'video': tables.printable(path)}
  if isinstance(seen, UserError):
    return row | {'error': tables.printable(str(seen))}
  best = [
      {'class': name, 'probability': round(p, 6)}
      for name, p in seen.top(names, _BEST)
  ]
  film = seen.film
  looked_at = {
      'windows': len(film.spans),
      'frames': film.seen,
      'of_frames': film.total,
  }
  return row | {
      'answer': best[0]['class'] if best[0]['probability'] >= least else None,
      'top5': best,
      'looked_at': looked_at,
      'step': model.step,
      'selected_by': model.selected_by,
  }


def _looked_at(row: Row) -> str:
  if 'looked_at' not in row:
    return ''
  found = row['looked_at']
  number = found['windows']
  windows = f', {number} windows' if number > 1 else ''
  return f'{found["frames"]:,} of {found["of_frames"]:,} frames{windows}'


def _flat(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Returns one dict per video, all with the same keys."""
  most = max(len(row.get('top5', ())) for row in rows)
  out = []
  for row in rows:
    answer = '' if 'error' in row else row['answer'] or NONE
    flat = {'video': row['video'], 'answer': answer}
    for place in range(most):
      best = row['top5'][place] if 'top5' in row else {}
      ending = f' {place + 1}' if place else ''
      flat[f'class{ending}'] = best.get('class')
      flat[f'probability{ending}'] = best.get('probability')
    out.append(
        flat | {'looked at': _looked_at(row), 'error': row.get('error')}
    )
  return out


def _short(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Returns what a page says of each video."""
  kept = ['video', 'answer', 'probability', 'looked at']
  kept += ['error'] if any('error' in row for row in rows) else []
  return [{k: row.get(k) for k in kept} for row in _flat(rows)]


def _file_names(videos: Sequence[str]) -> list[str]:
  """Returns how the files of each video begin: its own name, numbered."""
  counts, names = {}, []
  for path in videos:
    # No file may have a longer name than 255 bytes.
    name = tables.short(os.path.basename(path), 60)
    counts[name] = counts.get(name, 0) + 1
    # Videos of one name lie in several folders, as in a folder per class.
    names.append(f'{name}-{counts[name]}' if counts[name] > 1 else name)
  return names


def _inside(folder) -> list[str]:
  tree = files.FileTree(folder)
  return [os.path.join(tree.root, key) for key in tree.keys]
