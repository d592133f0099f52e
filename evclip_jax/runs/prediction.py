"""Predicts many videos, and writes the results and pictures to a folder."""

import collections
import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.stores import files
from evclip_jax.evaluation import look
from evclip_jax.reporting import charts, log, page, pictures, tables
from evclip_jax.runs import overlay
from evclip_jax.runs.trained_model import TrainedModel

NONE, _UNREAD = 'none of these', '(cannot be read)'
# Best classes to name for each video, and to draw along one.
_BEST = 5
# With more videos, the terminal shows one line for each, or only a summary.
_FEW, _MANY = 20, 1000
# Most videos to draw, since each takes a moment and a file.
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
  """Predicts videos, given as paths, in order.

  Args:
    model, videos, classes, support, clips: see `TrainedModel.predict`.
    out: a folder for predictions.jsonl, predictions.csv, index.html, a picture
      of each video, and what is named below; None = write nothing.
    tell: called with each row once it is known.
    least: answers that are less probable become 'none of these'.
    timeline: whether to write the scores along each video.
    overlays: any of '.mp4' and '.gif', to write videos with answers and maps.

  Returns:
    A row per video: 'video', then 'answer' (None = none of these), 'top5'
    (dicts of 'class' and 'probability'), 'looked_at', 'step' and 'selected_by';
    or 'error' for a video that cannot be read.

  Raises:
    UserError: the folder cannot be written, or classes or examples do not fit
      the method.
  """
  names, rows, shown = model.names(classes, support), [], []
  seen = model.see(
      videos, classes, support, closely=bool(out), every=bool(overlays),
      clips=clips, along=timeline,
  )  # fmt: skip
  try:
    with contextlib.ExitStack() as stack:
      if out:
        out = pathlib.Path(out)
        out.mkdir(parents=True, exist_ok=True)
        lines = (out / 'predictions.jsonl').open('w', encoding='utf-8')
        stack.enter_context(lines)
      bar = log.progress(len(videos), 'predict', unit='video')
      stack.enter_context(bar)
      stems = _file_names(videos)
      for path, stem, found in zip(videos, stems, seen, strict=True):
        rows.append(_row(path, found, names, model, least))
        tell(rows[-1])
        bar.update(1)
        if out:
          # Results are on disk before anything is drawn.
          lines.write(json.dumps(rows[-1], ensure_ascii=False) + '\n')
          lines.flush()
        if out and not isinstance(found, UserError):
          draw = len(rows) <= _DRAWN
          own = out, stem, path, found, names, model, draw
          shown += _files(*own, least, timeline, overlays)
    if out:
      _write_tables(out, model, rows, shown)
  except OSError as e:
    # What is told may go to a program that has ended.
    if not out or isinstance(e, BrokenPipeError):
      raise
    raise UserError(
        f'{e.filename or out} cannot be written: {e.strerror or e}. Give '
        'another --out.'
    ) from e
  return rows


def _write_tables(out: pathlib.Path, model, rows: list[Row], shown):
  """Writes predictions.csv and index.html."""
  flat = _flat(rows)
  whole_file.write(out / 'predictions.csv', tables.as_csv(flat))
  text = f'Predicted by {model.name}, step {model.step}.'
  if len(rows) > _DRAWN:
    text += f' The first {_DRAWN} videos have pictures.'
  text += ' predictions.csv has the best classes of each.'
  title = f'{len(rows):,} video' + 's' * (len(rows) != 1)
  kept = 'video', 'answer', 'probability', 'looked at', 'error'
  short = [{k: row.get(k) for k in kept} for row in flat]
  table = page.Section(rows=tables.without_empty(short))
  page.write_page(out / 'index.html', title, text, [table, *shown])


def _files(
    out, stem, path, seen, names, model, draw, least, with_timeline, overlays
) -> list[page.Section]:
  """Writes the files of a video; the page says which of them failed."""
  title = tables.printable(os.path.basename(path))

  def picture() -> page.Picture:
    file = f'{stem}.png'
    pictures.draw(seen.picture(title, names, model.method)).save(out / file)
    return page.Picture(file=file)

  def overlaid(ending: str) -> page.Picture:
    file, spec = f'{stem}.overlay{ending}', one_clip.spec_of(model.config.data)
    fill = look.fill_colour(model.method)
    overlay.write(out / file, path, seen, names, spec, fill, least)
    return page.Picture(caption=f'{file}: what was answered when', file=file)

  makers: list[tuple[str, Callable[[], page.Picture]]] = []
  if with_timeline:
    file = out / f'{stem}.timeline.csv'
    make = functools.partial(timeline, file, path, seen, names, least)
    makers.append(('timeline', make))
  if draw:
    makers.append(('picture', picture))
  makers += [('overlay', functools.partial(overlaid, x)) for x in overlays]
  sections = []
  for what, make in makers:
    try:
      sections.append(page.Section(pictures=[make()]))
    # A picture must not stop the predictions that are still to come.
    except Exception as e:
      reason = f'{title}: no {what}, {type(e).__name__}: {e}'
      log.log(reason)
      sections.append(page.Section(text=reason))
  return sections


def timeline(
    file: pathlib.Path,
    path: str,
    seen: look.Seen,
    names: Sequence[str],
    least: float,
) -> page.Picture:
  """Writes the scores along a video and returns a chart of the best classes."""
  film, windows = seen.film, seen.windows
  times = [film.seconds(i) for i in range(len(film.spans))]
  rows = []
  for (start, end), shares in zip(times, windows, strict=True):
    best = shares.argmax()
    chances = zip(names, shares, strict=True)
    rows.append({
        'start in s': round(start, 3),
        'end in s': round(end, 3),
        'answer': names[best] if shares[best] >= least else NONE,
        **{f'p: {name}': round(float(p), 6) for name, p in chances},
    })
  whole_file.write(file, tables.as_csv(rows))
  middles = np.mean(times, axis=1)
  lines = {
      names[k]: list(zip(middles, 100 * windows[:, k], strict=True))
      for k in (-windows.max(axis=0)).argsort(kind='stable')[:_BEST]
  }
  axes = 'seconds', 'probability in percent'
  return page.Picture(
      functools.partial(charts.curves, lines, *axes),
      f'{path}: the classes that score highest; {file.name} has all',
  )


def find_videos(arguments: Sequence[str]) -> list[str]:
  """Returns the videos that the arguments name, also those in folders.

  Raises:
    UserError: nothing is named, a path does not exist, or a folder has no
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
  """Returns {class: videos} of the folders FOLDER/<class>/.

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

  For many videos it has only the answers, for thousands only their counts.
  """
  if len(rows) > _MANY:
    counts = collections.Counter(row['answer'] for row in _flat(rows))
    table = [
        {'answer': answer or _UNREAD, 'videos': n}
        for answer, n in counts.most_common()
    ]
    return f'{tables.as_text(table)}\n{len(rows):,} videos'
  lines = []
  for row in rows:
    best = row.get('top5', [{'class': _UNREAD}])
    if 'top5' in row and row['answer'] is None:
      best = [{'class': NONE}, *best]
    for place, one in enumerate(best[:1] if len(rows) > _FEW else best):
      share = one.get('probability')
      lines.append({
          'video': '' if place else row['video'],
          'class': one['class'],
          'probability': '' if share is None else f'{100 * share:.1f} %',
          'looked at': '' if place else _looked_at(row),
      })
  return tables.as_text(lines)


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
    out.append(flat | {'looked at': _looked_at(row), 'error': row.get('error')})
  return out


def _file_names(videos: Sequence[str]) -> list[str]:
  """Returns how the file names of each video begin: its name, made unique."""
  counts, names = {}, []
  for path in videos:
    # A file name may have at most 255 bytes.
    name = tables.short(os.path.basename(path), 60)
    counts[name] = counts.get(name, 0) + 1
    # Several folders may have videos of the same name.
    names.append(f'{name}-{counts[name]}' if counts[name] > 1 else name)
  return names


def _inside(folder) -> list[str]:
  tree = files.FileTree(folder)
  return [os.path.join(tree.root, key) for key in tree.keys]
