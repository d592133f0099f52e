"""Decides which clip fills which row of which training batch.

Everything drawn for a row depends on (seed, epoch, clip) alone, or in episodes
on (seed, episode, clip). So training can resume at any step at no cost and sees
the same batches, and `process_count` processes share every batch without
communicating. For scoring see `eval_set`.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import one_clip
from data_pipelines.loaders.batches import Batch, Row, Rows
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.source import Source
from data_pipelines.views.view import Recipe


@dataclasses.dataclass(frozen=True)
class Loader:
  """Turns lists of clips or episodes into rows of batches.

  Attributes:
    spec: chooses frames and makes pixels of them.
    seed: decides orders, frames and crops.
    process_index, process_count: which share of each batch to return.
    workers: processes that read clips, see `pool.number`.
    prefetch: batches read ahead.
    on_unread: called with (list, key of the clip, why, key of its replacement
      or '') for each clip that cannot be read; None = raise an error instead.
    views: number of fixed views of a training clip, which epochs (or episodes)
      cycle through; 0 = a new one each time.
  """

  spec: Recipe
  seed: int = 0
  process_index: int = 0
  process_count: int = 1
  workers: int = 0
  prefetch: int = 2
  on_unread: Callable[[str, str, str, str], None] | None = None
  views: int = 0

  def train(self, source: Source, batch_size: int, start_step: int = 0) -> Rows:
    """Returns the rows of endless batches, reshuffled in each epoch.

    A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b], 'mask':
    float32 [b], 'index': int32 [b]}, with b the share of this process. An epoch
    drops the clips that do not fill a whole batch, different ones each time.
    With fewer clips than `batch_size` every batch holds all of them.

    Raises:
      UserError: the batch does not divide over the processes.

    Source: EV-CLIP, dassl/data/data_manager.py (RandomSampler, drop_last).
    """
    share, clips_of = self.train_clips(source, batch_size)

    def row(number: int, clip: int | None = None) -> Row:
      step, place = divmod(number, share)
      epoch, clips = clips_of(step)
      index = int(clips[place]) if clip is None else clip
      reading = self.train_view(source, index, epoch)
      return Row(reading, source.records[index].label, index)

    return self.rows(source, row, share, start=start_step)

  def train_clips(
      self, source: Source, batch_size: int
  ) -> tuple[int, Callable[[int], tuple[int, np.ndarray]]]:
    """Returns this process's clips per batch, and step -> (epoch, clips)."""
    steps = steps_per_epoch(len(source), batch_size)
    batch_size = min(batch_size, len(source))
    share = self.share(batch_size)

    # Batches read ahead span two epochs at most, unless epochs are tiny.
    @functools.lru_cache(maxsize=4)
    def order(epoch: int) -> np.ndarray:
      generator = randomness.generator(self.seed, 'order', epoch)
      return generator.permutation(len(source))

    def clips_of(step: int) -> tuple[int, np.ndarray]:
      epoch, in_epoch = divmod(step, steps)
      first = self.place(in_epoch * share, batch_size)
      return epoch, order(epoch)[first : first + share]

    return share, clips_of

  def train_view(
      self, source: Source, index: int, turn: int, stream: str = 'clip',
      query: bool = False,
  ) -> one_clip.Reading:
    """Draws the view of a training clip for an epoch, or for an episode."""
    turn = turn % self.views if self.views else turn
    generator = randomness.generator(self.seed, stream, turn, index)
    return one_clip.train_clip(source, index, self.spec, generator, query)

  def train_episodes(
      self,
      source: Source,
      episodes: EpisodeList,
      per_step: int,
      start_step: int = 0,
  ) -> Rows:
    """Returns the rows of endless batches of distinct episodes.

    A batch has the fields of `EpisodeList.batch` and, in place of 'clips',
    'video': uint8 [E, V, T, P, P, 3], with E the share of this process. The
    view of a clip is drawn anew for every episode.

    Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
    Differs: there all processes train on the same episodes.
    """

    def reading(episode: int, slot: int, clip: int) -> one_clip.Reading:
      query = slot >= episodes.num_support
      return self.train_view(source, clip, episode, 'episode clip', query)

    return self.episodes(source, episodes, per_step, reading, start=start_step)

  def episodes(
      self,
      source: Source,
      episodes: EpisodeList,
      per_batch: int,
      reading: Callable[[int, int, int], one_clip.Reading],
      **range_of_batches: int,
  ) -> Rows:
    """Returns the rows of batches of episodes.

    `per_batch` counts those of all processes; `reading` maps (episode, place in
    it, clip) to what is read; the rest is `start` and `stop` of `Rows`.
    """
    share = self.share(per_batch, 'episodes.per_step')
    size = episodes.clips_per_episode
    clips_of = functools.lru_cache(maxsize=256)(episodes.episode)

    def place(number: int) -> tuple[int, int]:
      number, slot = divmod(number, size)
      return self.place(number, per_batch), slot

    def row(number: int, clip: int | None = None) -> Row:
      episode, slot = place(number)
      if episodes.num and episode >= episodes.num:
        return Row()
      clip = int(clips_of(episode)[slot]) if clip is None else clip
      return Row(reading(episode, slot, clip), index=clip)

    def finish(batch: int, rows: Batch) -> Batch:
      fields = episodes.batch(self.place(batch * share, per_batch), share)
      shape = fields.pop('clips').shape
      video = rows['video'].reshape(*shape, *self.spec.shape)
      return {'video': video} | fields

    return self.rows(
        source, row, share * size, lambda n: clips_of(place(n)[0]).tolist(),
        fields=(), finish=finish, **range_of_batches,
    )  # fmt: skip

  def rows(
      self,
      source: Source,
      row: Callable[..., Row],
      size: int,
      others: Callable[[int], Iterable[int]] = lambda number: (),
      **values,
  ) -> Rows:
    """Returns `Rows` with this loader's settings.

    With `on_unread`, a clip that cannot be read is replaced by another of its
    class; `others` maps a row number to clips that must not be taken for it.
    """

    def instead(number: int, unread: list[int], error: Exception) -> int:
      without = {*unread, *others(number)}
      other = source.instead(self.seed, unread[0], without)
      if other is None:
        raise error
      gone, placed = (source.records[k].key for k in (unread[-1], other))
      self.on_unread(source.name, gone, str(error), placed)
      return other

    values = {'instead': instead} | values
    if not self.on_unread:
      values['instead'] = None
    return Rows(row, size, self.spec, self.workers, self.prefetch, **values)

  def place(self, row: int, size: int) -> int:
    """Maps a row number of this process to that over all processes."""
    share = size // self.process_count
    batch, inside = divmod(row, share)
    return batch * size + self.process_index * share + inside

  def share(self, rows: int, key: str = 'batch_size') -> int:
    """Returns how many rows of a batch each process reads.

    Raises:
      UserError: the batch, whose size `key` sets, does not divide over the
        processes.
    """
    if rows % self.process_count:
      what = 'episodes' if key == 'episodes.per_step' else 'clips'
      low = rows - rows % self.process_count
      fits = [str(n) for n in (low, low + self.process_count) if n]
      raise UserError(
          f'a batch of {rows} {what} does not divide evenly over '
          f'{self.process_count} processes; use {key}={" or ".join(fits)}.'
      )
    return rows // self.process_count

  def digest(self, source: Source, *more: object) -> str:
    """Hashes everything that decides the pixels of a list's clips."""
    files = [source.probe(k).key for k in range(len(source))]
    what = source.hash, files, self.spec, self.seed, *more
    return hashlib.sha256(repr(what).encode()).hexdigest()


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Returns the number of whole batches in an epoch, at least 1."""
  return max(num_clips // batch_size, 1)
