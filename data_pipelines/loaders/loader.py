"""Which clip stands in which row of which batch, for training and scoring.

A row, and what is drawn for it, is a function of (seed, epoch, clip), in
episodes of (seed, episode, clip). So batches that start at step N are those
that started at step 0 from there on, at no cost, and `process_count` processes
share every batch without talking to each other.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import clips as clip_lib
from data_pipelines.loaders.dataset import Batch, Batches, Row, Rows
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.source import Source


@dataclasses.dataclass(frozen=True)
class Loader:
  """How lists are read: what they have in common.

  Attributes:
    spec: how a clip becomes frames.
    seed: of orders, frames and crops.
    process_index, process_count: which share of each batch to give.
    workers: processes that read clips, see `pool.number`.
    prefetch: batches read ahead.
    on_unread: told (clip's key, why, key of what takes its place) of training
      clips that cannot be read; None = they are errors.
  """

  spec: clip_lib.Spec
  seed: int = 0
  process_index: int = 0
  process_count: int = 1
  workers: int = 0
  prefetch: int = 2
  on_unread: Callable[[str, str, str], None] | None = None

  def train(
      self, source: Source, batch_size: int, start_step: int = 0
  ) -> Batches:
    """Returns endless shuffled batches; see `train_rows`.

    A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b], 'mask':
    float32 [b], 'index': int32 [b]}, with b the share of this process.
    """
    return Batches(self.train_rows(source, batch_size, start_step))

  def train_rows(
      self, source: Source, batch_size: int, start_step: int = 0
  ) -> Rows:
    """Shuffles clips anew in each epoch.

    An epoch has whole batches; the rest of the clips is left out, other ones
    each time.

    Args:
      source: the training clips.
      batch_size: rows over all processes; fewer if there are fewer clips.
      start_step: batches that were already consumed.

    Raises:
      UserError: the batch does not divide over the processes.

    Source: EV-CLIP, dassl/data/data_manager.py (RandomSampler, drop_last).
    """
    steps = steps_per_epoch(len(source), batch_size)
    batch_size = min(batch_size, len(source))
    share = self.share(batch_size)

    # Those who read ahead are in two epochs at most, unless they are short.
    @functools.lru_cache(maxsize=4)
    def order(epoch: int) -> np.ndarray:
      generator = randomness.generator(self.seed, 'order', epoch)
      return generator.permutation(len(source))

    def row(number: int) -> Row:
      step, place = divmod(number, share)
      epoch, in_epoch = divmod(step, steps)
      position = in_epoch * batch_size + self.process_index * share + place
      return view(epoch, int(order(epoch)[position]))

    def view(epoch: int, index: int) -> Row:
      generator = randomness.generator(self.seed, 'clip', epoch, index)
      reading = clip_lib.train_clip(source, index, self.spec, generator)
      return Row(reading, source.records[index].label, index)

    def instead(number: int, failed: list[int], error) -> Row | None:
      index = self._instead(source, failed, error)
      epoch = number // share // steps
      return None if index is None else view(epoch, index)

    return self.rows(
        row,
        share,
        start=start_step,
        instead=instead if self.on_unread else None,
    )

  def train_episodes(
      self,
      source: Source,
      episodes: EpisodeList,
      per_step: int,
      start_step: int = 0,
  ) -> Batches:
    """Returns endless batches of distinct episodes.

    A batch has the fields of `batch.EPISODES`, with E the share of this
    process. A clip looks different in every episode.

    Args:
      source: the training clips.
      episodes: of them, without end.
      per_step: episodes per optimizer step over all processes.
      start_step: batches that were already consumed.

    Raises:
      UserError: the episodes of a step do not divide over the processes.

    Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
    Differs: there all processes train on the same episodes.
    """

    def reading(episode: int, slot: int, clip: int) -> clip_lib.Reading:
      generator = randomness.generator(
          self.seed, 'episode clip', episode, clip
      )
      query = slot >= episodes.num_support
      return clip_lib.train_clip(source, clip, self.spec, generator, query)

    return self.episodes(episodes, per_step, reading, start=start_step)

  def episodes(
      self,
      episodes: EpisodeList,
      per_batch: int,
      reading: Callable[[int, int, int], clip_lib.Reading],
      **range_of_batches: int,
  ) -> Batches:
    """Returns batches of episodes with their pixels.

    Args:
      episodes: which clips each is made of.
      per_batch: episodes over all processes.
      reading: (episode, place in it, clip) -> what to read.
      **range_of_batches: start and stop of `Rows`.
    """
    share = self.share(per_batch, 'episodes', 'episodes.per_step')
    size = episodes.clips_per_episode
    clips_of = functools.lru_cache(maxsize=256)(episodes.episode)

    def first(batch: int) -> int:
      return batch * per_batch + self.process_index * share

    def row(number: int) -> Row:
      place, slot = divmod(number, size)
      batch, inside = divmod(place, share)
      episode = first(batch) + inside
      if episodes.num and episode >= episodes.num:
        return Row()
      clip = int(clips_of(episode)[slot])
      return Row(reading(episode, slot, clip), index=clip)

    def finish(batch: int, rows: Batch) -> Batch:
      fields = episodes.batch(first(batch), share)
      shape = fields.pop('clips').shape
      video = rows['video'].reshape(*shape, *self.spec.shape)
      return {'video': video} | fields

    rows = self.rows(row, share * size, fields=(), **range_of_batches)
    return Batches(rows, finish)

  def rows(self, row: Callable[[int], Row], size: int, **values) -> Rows:
    """Returns rows that are read as this loader does; see `Rows`."""
    return Rows(row, size, self.spec, self.workers, self.prefetch, **values)

  def _instead(self, source: Source, failed: list[int], error) -> int | None:
    """Draws a clip of the same class in place of some, by the seed alone."""
    record = source.records[failed[0]]
    generator = randomness.generator(self.seed, 'instead', failed[0])
    for index in generator.permutation(len(source)).tolist():
      other = source.records[index]
      if index not in failed and other.label == record.label:
        self.on_unread(source.records[failed[-1]].key, str(error), other.key)
        return index
    return None

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


class EvalSet:
  """A list to score: its clips in their order, or episodes of them.

  Attributes:
    name: of the list.
    class_names: what its labels mean.
    num_clips: clips to score.
    num_views: temporal windows x crops per clip.
    num_batches: batches of all clips.
    batch_sizes: rows of a batch over all processes, by config key.
    episodes: which clips each episode is made of; None: the list is scored
      clip by clip.
    from_bank: whether the features of each clip should be computed once, as
      it looks the same in all episodes.
  """

  def __init__(
      self,
      loader: Loader,
      source: Source,
      batch_size: int,
      clips: int = 1,
      crops: int = 1,
      episodes: EpisodeList | None = None,
      per_batch: int = 0,
      from_bank: bool = True,
  ):
    """Reads nothing yet.

    Args:
      loader: how to read.
      source: the clips to score.
      batch_size: clips per batch over all processes.
      clips: temporal windows per clip (eval.clips).
      crops: 1 = centre, 3 = left, centre and right (eval.crops).
      episodes: of the clips, with an end.
      per_batch: episodes per batch over all processes; 0 = one per process.
      from_bank: see the attribute.

    Raises:
      UserError: a batch does not divide over the processes.
    """
    self.name, self.class_names = source.name, source.class_names
    self.num_clips, self.num_views = len(source), clips * crops
    self.num_batches = -(-self.num_clips * self.num_views // batch_size)
    self.batch_sizes = {'eval.batch_size': batch_size}
    self.episodes, self.from_bank = episodes, from_bank
    self._loader, self._source = loader, source
    self._batch_size, self._views = batch_size, (clips, crops)
    self._per_batch = per_batch or loader.process_count
    loader.share(batch_size, key='eval.batch_size')
    if episodes:
      if not episodes.num:
        raise ValueError('scoring needs a number of episodes.')
      loader.share(self._per_batch, 'episodes', 'episodes.per_step')
      if not from_bank:
        self.batch_sizes['episodes.per_step'] = self._per_batch

  def rows(self, start: int = 0) -> Rows:
    """Takes every clip once per view, from a batch on."""
    loader, size = self._loader, self._batch_size
    share = loader.share(size)

    def row(number: int) -> Row:
      batch, place = divmod(number, share)
      position = batch * size + loader.process_index * share + place
      if position >= self.num_clips * self.num_views:
        return Row()
      index, view = divmod(position, self.num_views)
      label = self._source.records[index].label
      return Row(self._reading(index, view), label, index, view)

    fields = 'label', 'mask', 'index', 'view'
    return loader.rows(
        row, share, start=start, stop=self.num_batches, fields=fields
    )

  def batches(self) -> Iterator[Batch]:
    """Gives every clip once per view.

    A batch has the fields of `Loader.train` and 'view': int32 [b]. The last
    one is filled up with rows of mask 0.
    """
    with Batches(self.rows()) as batches:
      yield from batches

  def episode_batches(self) -> Iterator[Batch]:
    """Gives batches of episodes with their pixels; the last is filled up."""
    count = -(-self.episodes.num // self._per_batch)
    batches = self._loader.episodes(
        self.episodes,
        self._per_batch,
        lambda episode, slot, clip: self._reading(clip),
        stop=count,
    )
    with batches:
      yield from batches

  def examples(self, most: int) -> Iterator[tuple[np.ndarray, str]]:
    """Gives the middle view of a few clips, spread over the list.

    Yields:
      (uint8 [T, P, P, 3], class name).
    """
    chosen = np.linspace(0, self.num_clips - 1, min(most, self.num_clips))
    for index in dict.fromkeys(int(i) for i in chosen):
      reading = clip_lib.eval_clip(
          self._source, index, self._loader.spec, seed=self._loader.seed
      )
      label = self._source.records[index].label
      pixels = clip_lib.read(reading, self._loader.workers)
      yield pixels, self.class_names[label]

  def _reading(self, index: int, view: int = 0) -> clip_lib.Reading:
    return clip_lib.eval_clip(
        self._source,
        index,
        self._loader.spec,
        view,
        *self._views,
        self._loader.seed,
    )


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Returns the whole batches in one pass; 1 for fewer clips than rows."""
  return max(num_clips // batch_size, 1)
