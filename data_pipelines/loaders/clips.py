"""Batches for training and scoring: decoding in parallel, in a fixed order.

Which clip stands in which row, and what is drawn for it, is a function of
(seed, epoch, clip). So a loader that starts at step N gives exactly the batches
that one started at step 0 gives from there on, at no cost, and `process_count`
loaders share every batch without talking to each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines import randomness
from data_pipelines.errors import UserError
from data_pipelines.loaders import clip_frames
from data_pipelines.loaders.clip_frames import FrameSpec
from data_pipelines.loaders.dataset import Batch, Row, Stream
from data_pipelines.loaders.source import Source
from data_pipelines.video import pool


class TrainLoader:
  """Endless shuffled batches; a context manager and an iterator.

  A batch is {'video': uint8 [b, T, P, P, 3], 'label': int32 [b],
  'mask': float32 [b], 'index': int32 [b]}, with b the share of this process.

  Attributes:
    batch_size: rows over all processes: at most the clips there are.
    steps_per_epoch: whole batches in one pass; the rest of the clips is left
      out, other ones in each epoch.

  Source: EV-CLIP, dassl/data/data_manager.py (RandomSampler, drop_last).
  """

  def __init__(
      self,
      source: Source,
      batch_size: int,
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
      batch_size: rows over all processes (config.batch_size).
      spec: how a clip becomes frames.
      seed: of the order and of the crops.
      start_step: batches that were already consumed.
      process_index, process_count: which share of each batch to give.
      workers: clips read at once, see `pool.number`; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: the batch does not divide over the processes.
    """
    self.batch_size = min(batch_size, len(source))
    self.steps_per_epoch = steps_per_epoch(len(source), batch_size)
    share = share_of(self.batch_size, process_count)
    batch_rows, steps = self.batch_size, self.steps_per_epoch
    orders = _Orders(len(source), seed)
    workers = pool.number(workers)

    def row(number: int) -> Row:
      step, place = divmod(number, share)
      epoch, in_epoch = divmod(step, steps)
      position = in_epoch * batch_rows + process_index * share + place
      index = int(orders.of(epoch)[position])
      generator = randomness.generator(seed, 'clip', epoch, index)
      video = clip_frames.read(
          clip_frames.train_clip(source, index, spec, generator), workers
      )
      return video, source.records[index].label, 1.0, index, 0

    self._stream = Stream(
        row,
        start_step * share,
        # Endless; a multiple of the share keeps the last batch whole.
        share << 50,
        share,
        spec.shape,
        workers,
        prefetch,
    )

  def __iter__(self) -> Iterator[Batch]:
    return self

  def __next__(self) -> Batch:
    batch = next(self._stream)
    del batch['view']
    return batch

  def stats(self) -> dict[str, float]:
    """{'clips_per_second', 'wait_seconds'} since the first batch.

    The wait is the time in which the caller stood still for data.
    """
    return self._stream.stats()

  def close(self):
    """Stops decoding."""
    self._stream.close()

  def __enter__(self) -> 'TrainLoader':
    return self

  def __exit__(self, *_):
    self.close()


class EvalLoader:
  """Every clip of a list once per view, in order.

  A batch has the fields of `TrainLoader` and 'view': int32 [b]. The last one
  is filled up with rows of mask 0.

  Attributes:
    name: of the list.
    class_names: what its labels mean.
    num_clips: clips to score.
    num_views: temporal windows x crops per clip.
    num_batches: batches of one pass.
    batch_sizes: rows of a batch over all processes, by config key.
    episodes: None: the list is scored clip by clip.
  """

  episodes = None

  def __init__(
      self,
      source: Source,
      batch_size: int,
      spec: FrameSpec,
      clips: int = 1,
      crops: int = 1,
      seed: int = 0,
      positions: Sequence[int] | None = None,
      process_index: int = 0,
      process_count: int = 1,
      workers: int = 0,
      prefetch: int = 2,
  ):
    """Decodes nothing yet.

    Args:
      source: the clips to score.
      batch_size: rows over all processes.
      spec: how a clip becomes frames.
      clips: temporal windows per clip (eval.clips).
      crops: 1 = centre, 3 = left, centre and right (eval.crops).
      seed: of the frames, for recipes that draw them in scoring.
      positions: which clips of the list, in this order; None = all. 'index'
        still counts the whole list.
      process_index, process_count: which share of each batch to give.
      workers: clips read at once, see `pool.number`; 0 = one per core.
      prefetch: batches decoded ahead.

    Raises:
      UserError: the batch does not divide over the processes.
    """
    self.name = source.name
    self.class_names = source.class_names
    chosen = range(len(source)) if positions is None else positions
    self.num_clips = len(chosen)
    self.num_views = clips * crops
    self.batch_sizes = {'eval.batch_size': batch_size}
    total = self.num_clips * self.num_views
    self.num_batches = -(-total // batch_size)
    share = share_of(batch_size, process_count)
    padding = np.zeros(spec.shape, np.uint8)
    workers = pool.number(workers)

    def row(number: int) -> Row:
      batch, place = divmod(number, share)
      position = batch * batch_size + process_index * share + place
      if position >= total:
        return padding, 0, 0.0, 0, 0
      clip, view = divmod(position, self.num_views)
      index = int(chosen[clip])
      video = clip_frames.read(
          clip_frames.eval_clip(source, index, spec, view, clips, crops, seed),
          workers,
      )
      return video, source.records[index].label, 1.0, index, view

    self._make = lambda first: Stream(
        row,
        first * share,
        self.num_batches * share,
        share,
        spec.shape,
        workers,
        prefetch,
    )

  def __iter__(self) -> Iterator[Batch]:
    return self.batches()

  def batches(self, first: int = 0) -> Iterator[Batch]:
    """One pass over the list.

    Args:
      first: batches to leave out at the beginning.
    """
    stream = self._make(first)
    try:
      yield from stream
    finally:
      stream.close()


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Whole batches in one pass; 1 if there are fewer clips than rows."""
  return max(num_clips // batch_size, 1)


class _Orders:
  """The order of the clips in each epoch."""

  def __init__(self, num_clips: int, seed: int):
    self._num_clips, self._seed = num_clips, seed
    self._kept = {}

  def of(self, epoch: int) -> np.ndarray:
    """A permutation of all clips, int64 [num_clips]."""
    order = self._kept.get(epoch)
    if order is None:
      generator = randomness.generator(self._seed, 'order', epoch)
      order = generator.permutation(self._num_clips)
      # Threads that decode ahead are in two epochs at most, unless an epoch
      # is shorter than what is fetched ahead; then it costs little.
      self._kept = {
          e: o for e, o in self._kept.items() if e == epoch - 1
      } | {epoch: order}
    return order


def share_of(
    batch_size: int,
    process_count: int,
    what: str = 'clips',
    key: str = 'batch_size',
) -> int:
  """Rows of a batch for each process; UserError if it does not divide."""
  if batch_size % process_count:
    low = batch_size - batch_size % process_count
    fits = [str(n) for n in (low, low + process_count) if n]
    raise UserError(
        f'a batch of {batch_size} {what} does not divide over {process_count} '
        f'processes; {key}={" or ".join(fits)} would.'
    )
  return batch_size // process_count
