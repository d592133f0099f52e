"""What is written of one predicted video: picture, timeline, overlay."""

import functools
import os
import pathlib
from collections.abc import Callable, Sequence

from data_pipelines import whole_file
from data_pipelines.loaders import one_clip
from evclip_jax.evaluation import look
from evclip_jax.reporting import charts, log, page, pictures, tables
from evclip_jax.runs import overlay
from evclip_jax.runs.trained_model import TrainedModel

NONE = 'none of these'
# Lines of the chart along a video.
_LINES = 5


def write(
    out: pathlib.Path,
    stem: str,
    path: str,
    seen: look.Seen,
    names: Sequence[str],
    model: TrainedModel,
    draw: bool,
    least: float = 0.0,
    timeline: bool = False,
    overlays: Sequence[str] = (),
) -> list[page.Section]:
  """Writes the files of one video, whose names begin with `stem`.

  What fails costs its own file only. `draw` says whether there is a picture;
  for the others see `prediction.predict`. Returns their places on the page.
  """
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
  if timeline:
    file = f'{stem}.timeline.csv'
    make = functools.partial(_timeline, out / file, path, seen, names, least)
    makers.append(('timeline', make))
  if draw:
    makers.append(('picture', picture))
  for ending in overlays:
    makers.append(('overlay', functools.partial(overlaid, ending)))
  sections = []
  for what, make in makers:
    try:
      sections.append(page.Section(pictures=[make()]))
    # No picture is worth the predictions that are still to come.
    except Exception as e:
      reason = f'{title}: no {what}, {type(e).__name__}: {e}'
      log.log(reason)
      sections.append(page.Section(text=reason))
  return sections


def _timeline(file, path, seen, names, least: float) -> page.Picture:
  """Writes the scores along a video; returns a chart of the highest."""
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
  lines = {
      names[k]: [
          ((a + b) / 2, 100 * float(p))
          for (a, b), p in zip(times, windows[:, k], strict=True)
      ]
      for k in (-windows.max(axis=0)).argsort(kind='stable')[:_LINES]
  }
  chart = functools.partial(
      charts.curves, lines, 'seconds', 'probability in percent'
  )
  caption = f'{path}: the classes that score highest; {file.name} has all'
  return page.Picture(chart, caption)
