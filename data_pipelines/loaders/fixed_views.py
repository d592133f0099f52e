"""Gives training clips a fixed number of views, so features can be cached."""

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
  """Numbers the fixed views of the training clips, and makes batches of them.

  They are the views that `Loader.train` and `Loader.train_episodes` cycle
  through, in this order: all clips in view 0, all in view 1, ...; then, if
  queries of episodes are augmented differently, all once more as queries.
  `batch_size` counts the clips, or episodes, of a batch over all processes.
  """

  loader: Loader
  source: Source
  batch_size: int
  episodes: EpisodeList | None = None

  name = 'train'
  num_views = 1
  # A broken clip is replaced, never left out.
  skips = False

  @property
  def num_clips(self) -> int:
    """Returns the number of views of all clips: each counts as a clip here."""
    kinds = 2 if self._queries_differ else 1
    return kinds * self.loader.views * len(self.source)

  @property
  def digest(self) -> str:
    """Hashes all that decides the pixels of `batches`, whatever their size."""
    kind = self._stream, self._queries_differ, self.loader.views
    return self.loader.digest(self.source, *kind)

  def batches(self) -> Iterator[Batch]:
    """Yields every view once, in order: 'video', 'label', 'mask', 'index'."""
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
      # The number of the view, even where its clip was replaced.
      first = loader.place(batch * share, size)
      return rows | {'index': first + np.arange(share, dtype=np.int32)}

    stop = -(-self.num_clips // size)
    rows = loader.rows(self.source, row, share, stop=stop, finish=finish)
    with Batches(rows) as batches:
      yield from batches

  def train(self, start_step: int) -> Iterator[Batch]:
    """Yields endless training batches from a step on.

    They are those of `Loader`, but with 'clips', int32 [b] or [e, V], numbers
    of views, in place of 'video'.
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
    """Returns the episodes of a step; each uses one view of all its clips."""
    views, count = self.loader.views, len(self.source)
    share = self.loader.share(self.batch_size, 'episodes.per_step')
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
