"""Reads a list to be scored: every clip once per view, or episodes of clips."""

from collections.abc import Iterator

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.loaders.batches import Batch, Batches, Row, Rows
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.loader import Loader
from data_pipelines.loaders.source import Source


class EvalSet:
  """Reads a list to be scored: its clips in order, or episodes of them.

  Attributes:
    name, class_names: of the list.
    num_clips: clips of the list.
    num_views: views of each clip, temporal windows x crops.
    num_batches: batches that hold all views of all clips.
    batch_sizes: config key -> batch size over all processes.
    skips: whether clips that cannot be read are left out (data.on_broken).
    episodes, from_bank: as given.
  """

  def __init__(
      self,
      loader: Loader,
      source: Source,
      batch_size: int,
      clips: int = 1,
      crops: int = 1,
      episodes: EpisodeList | None = None,
      per_batch: int = 1,
      from_bank: bool = True,
  ):
    """Reads nothing yet.

    Args:
      loader, source: how to read, and which list.
      batch_size: clips per batch over all processes.
      clips, crops: temporal windows and crops (eval.clips, eval.crops).
      episodes: a finite number of them; None = score clips one by one.
      per_batch: episodes per batch over all processes.
      from_bank: whether to compute the features of each clip only once, since
        its view is the same in all episodes.

    Raises:
      UserError: a batch does not divide over the processes.
    """
    self.name, self.class_names = source.name, source.class_names
    self.num_clips, self.num_views = len(source), clips * crops
    self.num_batches = -(-self.num_clips * self.num_views // batch_size)
    self.batch_sizes = {'eval.batch_size': batch_size}
    self.skips = loader.on_unread is not None
    self.episodes, self.from_bank = episodes, from_bank
    self._loader, self._source = loader, source
    self._batch_size, self._views = batch_size, (clips, crops)
    self._per_batch = per_batch
    loader.share(batch_size, 'eval.batch_size')
    if episodes:
      loader.share(per_batch, 'episodes.per_step')
      if not from_bank:
        self.batch_sizes['episodes.per_step'] = per_batch

  @property
  def digest(self) -> str:
    """Hashes all that decides the pixels of `batches`, whatever their size."""
    return self._loader.digest(self._source, *self._views)

  def rows(self, start: int = 0) -> Rows:
    """Returns rows with every clip once per view, from batch `start` on."""
    loader, source, size = self._loader, self._source, self._batch_size
    share = loader.share(size)

    def row(number: int) -> Row:
      position = loader.place(number, size)
      if position >= self.num_clips * self.num_views:
        return Row()
      index, view = divmod(position, self.num_views)
      label = source.records[index].label
      return Row(self._reading(index, view), label, index, view)

    def instead(number: int, unread: list[int], error):
      loader.on_unread(self.name, source.records[unread[0]].key, str(error), '')

    fields = 'label', 'mask', 'index', 'view'
    how = {'stop': self.num_batches, 'fields': fields, 'instead': instead}
    return loader.rows(source, row, share, start=start, **how)

  def batches(self) -> Iterator[Batch]:
    """Yields every clip once per view, with the fields of `Loader.train`.

    And 'view', int32 [b]. Rows with mask 0 pad the last batch, or stand for
    clips that could not be read.
    """
    with Batches(self.rows()) as batches:
      yield from batches

  def episode_batches(self) -> Iterator[Batch]:
    """Yields batches of episodes with their pixels; the last one is padded."""
    rows = self._loader.episodes(
        self._source,
        self.episodes,
        self._per_batch,
        lambda episode, slot, clip: self._reading(clip),
        stop=-(-self.episodes.num // self._per_batch),
    )
    with Batches(rows) as batches:
      yield from batches

  def without(self, clips: np.ndarray, unread: set[int]) -> np.ndarray:
    """Replaces the clips in `unread` in episodes, int32 [E, V].

    Raises:
      UserError: a class has no other clip that is not in the episode yet.
    """
    clips = clips.copy()
    for drawn in clips if unread else ():
      taken = unread.union(drawn.tolist())
      for slot in np.flatnonzero(np.isin(drawn, list(unread))):
        other = self._source.instead(self._loader.seed, int(drawn[slot]), taken)
        if other is None:
          raise UserError(
              f'{self._source.records[drawn[slot]].key} cannot be read, and no '
              f'other clip of its class in the {self.name} list is left.'
          )
        drawn[slot] = other
        taken.add(other)
    return clips

  def keys(self) -> list[str]:
    """Returns the keys of the clips, which name their files."""
    return [record.key for record in self._source.records]

  def clip(self, index: int) -> tuple[np.ndarray, int, str]:
    """Reads the middle view of a clip: (uint8 [T, P, P, 3], label, key)."""
    record, loader = self._source.records[index], self._loader
    how = loader.spec, 0, 1, 1, loader.seed
    reading = one_clip.eval_clip(self._source, index, *how)
    pixels = one_clip.read(reading, loader.workers)
    return pixels, record.label, record.key

  def _reading(self, index: int, view: int = 0) -> one_clip.Reading:
    loader = self._loader
    return one_clip.eval_clip(
        self._source, index, loader.spec, view, *self._views, loader.seed
    )
