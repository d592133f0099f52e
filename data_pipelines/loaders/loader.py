"""Which clip stands in which row of which batch; `eval_set` for scoring.

A row, and what is drawn for it, is a function of (seed, epoch, clip), in
episodes of (seed, episode, clip). So batches that start at step N are those
that started at step 0 from there on, at no cost, and `process_count` processes
share every batch without talking to each other.
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
  """Reads lists of clips or episodes, all in the same way.

  Attributes:
    seed: of orders, frames and crops.
    process_index, process_count: which share of each batch to give.
    workers: processes that read clips, see `pool.number`.
    prefetch: batches read ahead.
    on_unread: told (list, clip's key, why, key of what takes its place or '')
      of clips that cannot be read; None = they are errors.
    views: how many views of a training clip there are, which epochs (or
      episodes) take by turns; 0 = another one each time.
  """

  spec: Recipe
  seed: int = 0
  process_index: int = 0
  process_count: int = 1
  workers: int = 0
  prefetch: int = 2
  on_unread: Callable[[str, str, str, str], None] | None = None
  views: int = 0

  def train(
      self, source: Source, batch_size: int, start_step: int = 0
  ) -> Rows:
    """Returns the rows of endless batches, shuffled anew in each epoch.

    A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b], 'mask':
    float32 [b], 'index': int32 [b]}, with b the share of this process. An epoch
    has whole batches; the rest of the clips is left out, other ones each time.
    With fewer clips than `batch_size` a batch is all of them.

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
    """Returns the clips in a batch, and (step) -> (epoch, which clips)."""
    steps = steps_per_epoch(len(source), batch_size)
    batch_size = min(batch_size, len(source))
    share = self.share(batch_size)

    # Those who read ahead are in two epochs at most, unless they are short.
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
    """Draws how a training clip looks in an epoch, or in an episode."""
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

    A batch has the fields of `batch.EPISODES`, with E the share of this
    process. A clip looks different in every episode.

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

    There are `per_batch` over all processes; `reading` says for (episode, place
    in it, clip) what to read, and the rest where `Rows` start and stop.
    """
    share = self.share(per_batch, 'episodes', 'episodes.per_step')
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
    """Returns rows of a list that are read as this loader does; see `Rows`.

    A clip that cannot be read, if that is no error, has its place taken by one
    of its class that is none of the `others` of the row number.
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
    """Returns where a row of this process stands in batches of all of them."""
    share = size // self.process_count
    batch, inside = divmod(row, share)
    return batch * size + self.process_index * share + inside

  def share(
      self, rows: int, what: str = 'clips', key: str = 'batch_size'
  ) -> int:
    """Returns the rows of a batch for each process.

    Raises:
      UserError: the batch does not divide over the processes.
    """
    if rows % self.process_count:
      low = rows - rows % self.process_count
      fits = [str(n) for n in (low, low + self.process_count) if n]
      raise UserError(
          f'a batch of {rows} {what} does not divide over '
          f'{self.process_count} processes; {key}={" or ".join(fits)} would.'
      )
    return rows // self.process_count

  def digest(self, source: Source, *more: object) -> str:
    """Hashes what decides the pixels of a list's clips."""
    files = [source.probe(k).key for k in range(len(source))]
    what = source.hash, files, self.spec, self.seed, *more
    return hashlib.sha256(repr(what).encode()).hexdigest()


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Returns the whole batches in one pass; 1 for fewer clips than rows."""
  return max(num_clips // batch_size, 1)
