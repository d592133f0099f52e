"""What is written of one predicted video: picture, timeline, overlay."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence

from data_pipelines import whole_file
from data_pipelines.loaders import clips as clip_lib
from evclip_jax.evaluation import look
from evclip_jax.reporting import charts, log, page, pictures, tables
from evclip_jax.runs import overlay
from evclip_jax.runs.trained_model import TrainedModel

NONE = 'none of these'
# Lines of the chart along a video.
_LINES = 5


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What is wanted of a prediction beside the best classes.

  Attributes:
    clips: windows of each video; 0 = as many as cover it.
    least: answers that are less probable are 'none of these'.
    timeline: whether to write the scores along each video.
    overlays: '.mp4' and '.gif', for videos with words and map.
  """

  clips: int = 0
  least: float = 0.0
  timeline: bool = False
  overlays: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class VideoFiles:
  """The files of one video; what fails costs its own file only.

  Attributes:
    out: the folder.
    stem: how the names of the files begin.
    path: of the video.
    seen: what the model saw in it.
    names: of the classes.
    model: the run.
    wanted: which files there are.
  """

  out: pathlib.Path
  stem: str
  path: str
  seen: look.Seen
  names: Sequence[str]
  model: TrainedModel
  wanted: Wanted

  def write(self, draw: bool) -> list[page.Section]:
    """Writes the files and returns their places on the page."""
    out = []
    if self.wanted.timeline:
      out += self._tried(self._timeline, 'timeline')
    if draw:
      out += self._tried(self._picture, 'picture')
    for ending in self.wanted.overlays:
      write = functools.partial(self._overlay, ending)
      out += self._tried(write, 'overlay')
    return out

  def _tried(self, function: Callable, what: str) -> list[page.Section]:
    try:
      return [function()]
    # No picture is worth the predictions that are still to come.
    except Exception as e:
      title = tables.printable(os.path.basename(self.path))
      reason = f'{title}: no {what}, {type(e).__name__}: {e}'
      log.log(reason)
      return [page.Section(text=reason)]

  def _picture(self) -> page.Section:
    title = tables.printable(os.path.basename(self.path))
    drawn = self.seen.picture(title, self.names, self.model.method)
    file = f'{self.stem}.png'
    pictures.draw(drawn).save(self.out / file)
    return page.Section(pictures=[page.Picture(file=file)])

  def _timeline(self) -> page.Section:
    film, windows = self.seen.film, self.seen.windows
    times = [film.seconds(i) for i in range(len(film.spans))]
    rows = []
    for (start, end), shares in zip(times, windows, strict=True):
      best = shares.argmax()
      sure = shares[best] >= self.wanted.least
      rows.append({
          'start in s': round(start, 3),
          'end in s': round(end, 3),
          'answer': self.names[best] if sure else NONE,
          **{
              f'p: {name}': round(float(p), 6)
              for name, p in zip(self.names, shares, strict=True)
          },
      })
    file = f'{self.stem}.timeline.csv'
    whole_file.write(self.out / file, tables.as_csv(rows))
    lines = {
        name: [
            ((a + b) / 2, 100 * float(p))
            for (a, b), p in zip(times, windows[:, k], strict=True)
        ]
        for k in (-windows.max(axis=0)).argsort(kind='stable')[:_LINES]
        for name in [self.names[k]]
    }
    chart = functools.partial(
        charts.curves, lines, 'seconds', 'probability in percent'
    )
    caption = f'{self.path}: the classes that score highest; {file} has all'
    return page.Section(pictures=[page.Picture(chart, caption)])

  def _overlay(self, ending: str) -> page.Section:
    file = f'{self.stem}.overlay{ending}'
    overlay.write(
        self.out / file,
        self.path,
        self.seen,
        self.names,
        clip_lib.spec_of(self.model.config.data),
        look.fill_colour(self.model.method),
        self.wanted.least,
    )
    caption = f'{file}: what was answered when'
    return page.Section(pictures=[page.Picture(caption=caption, file=file)])
