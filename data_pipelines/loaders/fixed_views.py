"""Training clips in a fixed number of views, whose features can be kept."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from data_pipelines.loaders.batches import Batch, Batches, Row
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.loader import Loader
from data_pipelines.loaders.source import Source


@dataclasses.dataclass(frozen=True)
class FixedViews:
  """All views of the training clips, and which of them a batch has.

  The views are those that `Loader.train` and `Loader.train_episodes` go
  through. They are counted clip by clip: all clips in the first view, then all
  in the next; where queries of episodes look different, then all as queries.
  `batch_size` is clips, or episodes, of a batch over all processes.
  """

  loader: Loader
  source: Source
  batch_size: int
  episodes: EpisodeList | None = None

  name = 'train'
  num_views = 1
  # Another clip takes the place of one that is broken.
  skips = False

  @property
  def num_clips(self) -> int:
    """Returns the number of views of all clips together."""
    kinds = 2 if self._queries_differ else 1
    return kinds * self.loader.views * len(self.source)

  @property
  def digest(self) -> str:
    """Hashes what decides the pixels of `batches`, all but their number."""
    kind = self._stream, self._queries_differ, self.loader.views
    return self.loader.digest(self.source, *kind)

  def batches(self) -> Iterator[Batch]:
    """Gives every view once, in order: 'video', 'label', 'mask', 'index'."""
    # Episodes have more clips than a step of single ones.
    loader, size = self.loader, self.batch_size
    share = loader.share(size)

    def row(number: int, clip: int | None = None) -> Row:
      position = loader.place(number, size)
      if position >= self.num_clips:
        return Row()
      turn, index = divmod(position, len(self.source))
      index = index if clip is None else clip
      query, view = divmod(turn, loader.views)
      reading = loader.train_view(
          self.source, index, view, self._stream, bool(query)
      )
      return Row(reading, self.source.records[index].label, index)

    def finish(batch: int, rows: Batch) -> Batch:
      # Of the view, also where another clip stands in for the one meant.
      first = loader.place(batch * share, size)
      return rows | {'index': first + np.arange(share, dtype=np.int32)}

    stop = -(-self.num_clips // size)
    rows = loader.rows(self.source, row, share, stop=stop, finish=finish)
    with Batches(rows) as batches:
      yield from batches

  def train(self, start_step: int) -> Iterator[Batch]:
    """Gives training batches from a step on, without end.

    Returns:
      Batches of clips or episodes, with 'clips' int32 [b] or [e, V], numbers of
      views, in place of 'video'.
    """
    steps = itertools.count(start_step)
    if self.episodes:
      yield from map(self._episodes, steps)
    count = len(self.source)
    labels = np.asarray([r.label for r in self.source.records], np.int32)
    share, clips_of = self.loader.train_clips(self.source, self.batch_size)
    for epoch, clips in map(clips_of, steps):
      clips = clips.astype(np.int32)
      yield {
          'clips': clips + count * (epoch % self.loader.views),
          'label': labels[clips],
          'mask': np.ones(share, np.float32),
          'index': clips,
      }

  def _episodes(self, step: int) -> Batch:
    """The episodes of a step, each in its own view."""
    views, count = self.loader.views, len(self.source)
    share = self.loader.share(
        self.batch_size, 'episodes', 'episodes.per_step'
    )
    start = self.loader.place(step * share, self.batch_size)
    batch = self.episodes.batch(start, share)
    turn = (start + np.arange(share)) % views  # [e]
    batch['clips'] = batch['clips'] + (count * turn[:, None]).astype(np.int32)
    if self._queries_differ:
      batch['clips'][:, self.episodes.num_support :] += count * views
    return batch

  @property
  def _stream(self) -> str:
    return 'episode clip' if self.episodes else 'clip'

  @property
  def _queries_differ(self) -> bool:
    return bool(self.episodes and getattr(self.loader.spec, 'query_augment', 0))
