"""Which clip stands in which row of which batch, for training and scoring.

A row, and what is drawn for it, is a function of (seed, epoch, clip), in
episodes of (seed, episode, clip). So batches that start at step N are those
that started at step 0 from there on, at no cost, and `process_count` processes
share every batch without talking to each other.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import clips as clip_lib
from data_pipelines.loaders.dataset import Batch, Batches, Row, Rows
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.source import Source
from data_pipelines.views.view import Recipe


@dataclasses.dataclass(frozen=True)
class Loader:
  """How lists are read: what they have in common.

  Attributes:
    spec: how a clip becomes frames.
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
  ) -> Batches:
    """Returns endless batches of `train_rows`.

    A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b], 'mask':
    float32 [b], 'index': int32 [b]}, with b the share of this process.
    """
    return Batches(self.train_rows(source, batch_size, start_step))

  def train_rows(
      self, source: Source, batch_size: int, start_step: int = 0
  ) -> Rows:
    """Shuffles clips anew in each epoch.

    An epoch has whole batches; the rest of the clips is left out, other ones
    each time. With fewer clips than `batch_size` a batch is all of them.

    Raises:
      UserError: the batch does not divide over the processes.

    Source: EV-CLIP, dassl/data/data_manager.py (RandomSampler, drop_last).
    """
    share, clips_of = self.train_clips(source, batch_size)

    def row(number: int) -> Row:
      step, place = divmod(number, share)
      epoch, clips = clips_of(step)
      return view(epoch, int(clips[place]))

    def view(epoch: int, index: int) -> Row:
      reading = self.train_view(source, index, epoch)
      return Row(reading, source.records[index].label, index)

    def instead(number: int, unread: list[int], error) -> Row | None:
      index = self.instead(source, unread, error)
      return index if index is None else view(
          clips_of(number // share)[0], index
      )

    return self.rows(row, share, start=start_step, instead=instead)

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
      first = in_epoch * batch_size + self.process_index * share
      return epoch, order(epoch)[first : first + share]

    return share, clips_of

  def train_view(
      self, source: Source, index: int, turn: int, stream: str = 'clip',
      query: bool = False,
  ) -> clip_lib.Reading:
    """Draws how a training clip looks in an epoch, or in an episode."""
    turn = turn % self.views if self.views else turn
    generator = randomness.generator(self.seed, stream, turn, index)
    return clip_lib.train_clip(source, index, self.spec, generator, query)

  def train_episodes(
      self,
      source: Source,
      episodes: EpisodeList,
      per_step: int,
      start_step: int = 0,
  ) -> Batches:
    """Returns endless batches of distinct episodes, `per_step` in each.

    A batch has the fields of `batch.EPISODES`, with E the share of this
    process. A clip looks different in every episode.

    Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
    Differs: there all processes train on the same episodes.
    """

    def reading(episode: int, slot: int, clip: int) -> clip_lib.Reading:
      query = slot >= episodes.num_support
      return self.train_view(source, clip, episode, 'episode clip', query)

    return self.episodes(source, episodes, per_step, reading, start=start_step)

  def episodes(
      self,
      source: Source,
      episodes: EpisodeList,
      per_batch: int,
      reading: Callable[[int, int, int], clip_lib.Reading],
      **range_of_batches: int,
  ) -> Batches:
    """Returns batches of episodes with their pixels.

    There are `per_batch` over all processes; `reading` says for (episode, place
    in it, clip) what to read, and the rest where `Rows` start and stop.
    """
    share = self.share(per_batch, 'episodes', 'episodes.per_step')
    size = episodes.clips_per_episode
    clips_of = functools.lru_cache(maxsize=256)(episodes.episode)

    def first(batch: int) -> int:
      return batch * per_batch + self.process_index * share

    def place(number: int) -> tuple[int, int]:
      number, slot = divmod(number, size)
      batch, inside = divmod(number, share)
      return first(batch) + inside, slot

    def row(number: int) -> Row:
      episode, slot = place(number)
      if episodes.num and episode >= episodes.num:
        return Row()
      clip = int(clips_of(episode)[slot])
      return Row(reading(episode, slot, clip), index=clip)

    def instead(number: int, unread: list[int], error) -> Row | None:
      episode, slot = place(number)
      clip = self.instead(source, unread, error, clips_of(episode).tolist())
      if clip is None:
        return None
      return Row(reading(episode, slot, clip), index=clip)

    def finish(batch: int, rows: Batch) -> Batch:
      fields = episodes.batch(first(batch), share)
      shape = fields.pop('clips').shape
      video = rows['video'].reshape(*shape, *self.spec.shape)
      return {'video': video} | fields

    values = {'fields': (), 'instead': instead} | range_of_batches
    return Batches(self.rows(row, share * size, **values), finish)

  def rows(
      self, row: Callable[[int], Row], size: int, instead, **values
  ) -> Rows:
    """Returns rows that are read as this loader does; see `Rows`."""
    values['instead'] = instead if self.on_unread else None
    return Rows(row, size, self.spec, self.workers, self.prefetch, **values)

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

  def instead(
      self, source: Source, unread: list[int], error, others=()
  ) -> int | None:
    """Finds what stands in for a clip, beside `others`, and says so."""
    other = source.instead(self.seed, unread[0], {*unread, *others})
    if other is not None:
      gone, placed = (source.records[k].key for k in (unread[-1], other))
      self.on_unread(source.name, gone, str(error), placed)
    return other


class EvalSet:
  """A list to score: its clips in their order, or episodes of them.

  Attributes:
    name: of the list.
    class_names: what its labels mean.
    num_clips: clips to score.
    num_views: temporal windows x crops per clip.
    num_batches: batches of all clips.
    batch_sizes: of all processes, by config key.
    skips: whether clips that cannot be read are left out (data.on_broken).
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
      loader, source: how to read, and what.
      batch_size: clips per batch over all processes.
      clips, crops: windows in time per clip; 1 = centre, 3 = left, centre and
        right of each (eval.clips, eval.crops).
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
    self.skips = loader.on_unread is not None
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

  @property
  def digest(self) -> str:
    """Hashes what decides the pixels of `batches`, all but their number."""
    return self._loader.digest(self._source, *self._views)

  def rows(self, start: int = 0) -> Rows:
    """Takes every clip once per view, from a batch on."""
    loader, source, size = self._loader, self._source, self._batch_size
    share = loader.share(size)

    def row(number: int) -> Row:
      batch, place = divmod(number, share)
      position = batch * size + loader.process_index * share + place
      if position >= self.num_clips * self.num_views:
        return Row()
      index, view = divmod(position, self.num_views)
      label = source.records[index].label
      return Row(self._reading(index, view), label, index, view)

    def instead(number: int, unread: list[int], error) -> Row:
      del number
      loader.on_unread(self.name, source.records[unread[0]].key, str(error), '')
      return Row()

    return loader.rows(
        row,
        share,
        instead,
        start=start,
        stop=self.num_batches,
        fields=('label', 'mask', 'index', 'view'),
    )

  def batches(self) -> Iterator[Batch]:
    """Gives every clip once per view, with the fields of `Loader.train`.

    And 'view', int32 [b]. Rows of mask 0 fill up the last batch, and stand for
    clips left out.
    """
    with Batches(self.rows()) as batches:
      yield from batches

  def episode_batches(self) -> Iterator[Batch]:
    """Gives batches of episodes with their pixels; the last is filled up."""
    with self._loader.episodes(
        self._source,
        self.episodes,
        self._per_batch,
        lambda episode, slot, clip: self._reading(clip),
        stop=-(-self.episodes.num // self._per_batch),
    ) as batches:
      yield from batches

  def without(self, clips: np.ndarray, unread: set[int]) -> np.ndarray:
    """Returns the clips of episodes, int32 [E, V], with others for `unread`.

    Raises:
      UserError: a class has no other clip that the episode lacks.
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

  def examples(self, most: int) -> Iterator[tuple[np.ndarray, str]]:
    """Yields (uint8 [T, P, P, 3], class name) of clips spread over the list."""
    chosen = np.linspace(0, self.num_clips - 1, min(most, self.num_clips))
    for index in dict.fromkeys(int(i) for i in chosen):
      pixels, label, _ = self.clip(index)
      yield pixels, self.class_names[label]

  def clip(self, index: int) -> tuple[np.ndarray, int, str]:
    """Reads the middle view of a clip: (uint8 [T, P, P, 3], label, its key)."""
    record = self._source.records[index]
    reading = clip_lib.eval_clip(
        self._source, index, self._loader.spec, seed=self._loader.seed
    )
    pixels = clip_lib.read(reading, self._loader.workers)
    return pixels, record.label, record.key

  def _reading(self, index: int, view: int = 0) -> clip_lib.Reading:
    loader = self._loader
    return clip_lib.eval_clip(
        self._source, index, loader.spec, view, *self._views, loader.seed
    )


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Returns the whole batches in one pass; 1 for fewer clips than rows."""
  return max(num_clips // batch_size, 1)
