"""Batches of episodes with their pixels, for training and for scoring.

As in `loader`, what stands in a row is a function of (seed, number of the
episode, clip): starting later costs nothing, and processes share each batch
without talking to each other.
"""

from collections.abc import Iterator

import numpy as np

from data_pipelines import randomness
from data_pipelines.lists.episodes import EpisodeList
from data_pipelines.loaders import clip_frames
from data_pipelines.loaders.clip_frames import FrameSpec
from data_pipelines.loaders.clips import EvalLoader, share_of
from data_pipelines.loaders.dataset import Batch, Row, Stream
from data_pipelines.loaders.source import Source
from data_pipelines.video import pool


class TrainEpisodes:
  """Endless batches of distinct episodes; a context manager and an iterator.

  A batch has the fields of `batch.EPISODES`, with E the share of this process.
  A clip looks different in every episode.

  Attributes:
    batch_size: episodes per optimizer step over all processes.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py.
  Differs: there all processes train on the same episodes.
  """

  def __init__(
      self,
      source: Source,
      episodes: EpisodeList,
      per_step: int,
      spec: FrameSpec,
      seed: int,
      start_step: int = 0,
      process_index: int = 0,
      process_count: int = 1,
      workers: int = 0,
      prefetch: int = 2,
  ):
    """Decodes nothing before the first batch is asked for.

    Args:
      source: the training clips.
      episodes: of them; after the last one the first follows again.
      per_step: episodes per optimizer step over all processes.
      spec: how a clip becomes frames.
      seed: of frames, crops and colours.
      start_step: batches that were already consumed.
      process_index, process_count: which share of each batch to give.
      workers: clips read at once, see `pool.number`; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: the episodes of a step do not divide over the processes.
    """
    self.batch_size = per_step
    share = share_of(
        per_step, process_count, 'episodes', 'episodes.per_step'
    )
    self._episodes, self._share = episodes, share
    size, support = episodes.clips_per_episode, episodes.num_support
    kept = _Kept(episodes)
    workers = pool.number(workers)

    def first(step: int) -> int:
      return step * per_step + process_index * share

    def row(number: int) -> Row:
      place, slot = divmod(number, size)
      step, inside = divmod(place, share)
      episode = first(step) + inside
      clip = int(kept.clips(episode)[slot])
      generator = randomness.generator(seed, 'episode clip', episode, clip)
      query = slot >= support
      video = clip_frames.read(
          clip_frames.train_clip(source, clip, spec, generator, query),
          workers,
      )
      return video, 0, 1.0, clip, 0

    self._first, self._kept, self._step = first, kept, start_step
    rows = share * size
    self._stream = Stream(
        row,
        start_step * rows,
        # Endless; a multiple of the rows keeps the last batch whole.
        rows << 40,
        rows,
        spec.shape,
        workers,
        prefetch,
    )

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    rows = next(self._stream)
    start, self._step = self._first(self._step), self._step + 1
    return _batch(rows, self._kept.batch(start, self._share))

  def stats(self) -> dict[str, float]:
    """{'clips_per_second', 'wait_seconds'} since the first batch."""
    return self._stream.stats()

  def close(self):
    """Stops decoding."""
    self._stream.close()

  def __enter__(self) -> 'TrainEpisodes':
    return self

  def __exit__(self, *_):
    self.close()


class EvalEpisodes:
  """A list that is scored in episodes (`episode_eval.EpisodeSet`).

  A clip looks the same in all of them: what is drawn for it depends on the
  seed and the clip. So its features can be computed once.

  Attributes:
    name, class_names: of the list.
    num_clips: clips in the list.
    num_views: 1.
    num_batches: batches of episodes in one pass.
    episodes: which clips each is made of.
    from_bank: whether each clip's features should be computed once.
    batch_sizes: rows of a batch over all processes, by config key.
    views: what decides how clips look and in which batches they come.
  """

  num_views = 1

  def __init__(
      self,
      source: Source,
      episodes: EpisodeList,
      batch_size: int,
      spec: FrameSpec,
      seed: int = 0,
      from_bank: bool = True,
      per_batch: int = 0,
      process_index: int = 0,
      process_count: int = 1,
      workers: int = 0,
      prefetch: int = 2,
  ):
    """Decodes nothing yet.

    Args:
      source: the clips.
      episodes: of them, with an end.
      batch_size: clips per batch over all processes, for the bank.
      spec: how a clip becomes frames.
      seed: of the frames, for recipes that draw them in scoring.
      from_bank: kept for the reader of `episodes`.
      per_batch: episodes per batch over all processes; 0 = one per process.
      process_index, process_count: which share of each batch to give.
      workers: clips read at once, see `pool.number`; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: a batch does not divide over the processes.
    """
    if not episodes.num:
      raise ValueError('scoring needs a number of episodes.')
    shared = {'workers': pool.number(workers), 'prefetch': prefetch}
    self._clips = EvalLoader(
        source,
        batch_size,
        spec,
        seed=seed,
        process_index=process_index,
        process_count=process_count,
        **shared,
    )
    self.name, self.class_names = source.name, source.class_names
    self.num_clips = len(source)
    self.episodes, self.from_bank = episodes, from_bank
    per_batch = per_batch or process_count
    self.batch_sizes = {'eval.batch_size': batch_size}
    if not from_bank:
      self.batch_sizes['episodes.per_step'] = per_batch
    self.views = repr((spec, seed, batch_size))
    self._share = share_of(per_batch, process_count, 'episodes')
    self._per_batch, self._offset = per_batch, process_index * self._share
    self.num_batches = -(-episodes.num // per_batch)
    self._source, self._spec, self._seed = source, spec, seed
    self._shared = shared

  def batches(self, first: int = 0) -> Iterator[Batch]:
    """Every clip of the list once, as `EvalLoader.batches`."""
    return self._clips.batches(first)

  def episode_batches(self, start: int = 0) -> Iterator[Batch]:
    """Batches of episodes with their pixels; the last one is filled up.

    Args:
      start: episodes to leave out at the beginning.
    """
    size = self.episodes.clips_per_episode
    padding = np.zeros(self._spec.shape, np.uint8)
    kept = _Kept(self.episodes)

    def first(batch: int) -> int:
      return start + batch * self._per_batch + self._offset

    def row(number: int) -> Row:
      place, slot = divmod(number, size)
      batch, inside = divmod(place, self._share)
      episode = first(batch) + inside
      if episode >= self.episodes.num:
        return padding, 0, 0.0, 0, 0
      clip = int(kept.clips(episode)[slot])
      video = clip_frames.read(
          clip_frames.eval_clip(
              self._source, clip, self._spec, seed=self._seed
          ),
          self._shared['workers'],
      )
      return video, 0, 1.0, clip, 0

    rows = self._share * size
    count = -(-max(self.episodes.num - start, 0) // self._per_batch)
    stream = Stream(
        row, 0, count * rows, rows, self._spec.shape, **self._shared
    )
    try:
      for number, pixels in enumerate(stream):
        yield _batch(pixels, self.episodes.batch(first(number), self._share))
    finally:
      stream.close()


class _Kept:
  """Episodes that are in work: every one of their clips asks for them."""

  def __init__(self, episodes: EpisodeList):
    self._episodes = episodes
    self._clips: dict[int, np.ndarray] = {}

  def clips(self, number: int) -> np.ndarray:
    """The clips of an episode; numbers behind the end begin anew."""
    found = self._clips.get(number)
    if found is None:
      found = self._episodes.episode(self._within(number))
      if len(self._clips) > 64:
        self._clips = {}
      self._clips[number] = found
    return found

  def batch(self, start: int, rows: int) -> dict[str, np.ndarray]:
    """As `EpisodeList.batch`, where every episode exists."""
    parts = [
        self._episodes.batch(self._within(start + k), 1) for k in range(rows)
    ]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}

  def _within(self, number: int) -> int:
    return number % self._episodes.num if self._episodes.num else number


def _batch(rows: Batch, episodes: dict[str, np.ndarray]) -> Batch:
  """Joins the pixels of rows of clips with what the episodes are."""
  video = rows['video']
  video = video.reshape(*episodes['clips'].shape, *video.shape[1:])
  return {'video': video} | {
      k: v for k, v in episodes.items() if k != 'clips'
  }
