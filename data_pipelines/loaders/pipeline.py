"""Gives the training loop a run's data: batches, lists, numbers of steps."""

import json
import os
import pathlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from data_pipelines import whole_file
from data_pipelines.errors import UserError
from data_pipelines.loaders import loader, one_clip, open_data
from data_pipelines.loaders.batches import Batches
from data_pipelines.loaders.episodes import EpisodeList
from data_pipelines.loaders.eval_set import EvalSet
from data_pipelines.loaders.fixed_views import FixedViews
from data_pipelines.loaders.loader import Loader


class Pipeline:
  """Makes the batches of a run, of clips or of episodes.

  Attributes:
    class_names: K names in label order.
    description: JSON values for the run card: lists, hashes, counts.
    batch_size: clips or episodes of a training batch over all processes; less
      than config.batch_size if the list has fewer clips.
    batch_key: the config key that sets `batch_size`, for messages.
    steps_per_epoch: an epoch of the learning rate schedule; 0 without training
      clips.
    total_steps, eval_every_steps, checkpoint_every_steps: the config's epochs
      (config.train) or episodes (config.episodes), converted to steps.
    evals: list name -> the list to be scored; 'val' is for selection.
  """

  def __init__(
      self,
      config: Any,
      workdir: str | None = None,
      process_index: int = 0,
      process_count: int = 1,
      evaluate_only: bool = False,
      episodic: bool = False,
      check: Callable[['Pipeline'], None] | None = None,
  ):
    """Reads the lists of a config and examines their clips.

    Args:
      config: the whole config.
      workdir, evaluate_only: as for `open_data.open_data`.
      process_index, process_count: which of several processes this is.
      episodic: whether batches consist of episodes.
      check: called with this before clips are examined; `class_names`, the
        numbers of steps and the names in `evals` are known.

    Raises:
      UserError: see `open_data.open_data`; or episodes cannot be drawn from a
        list, or batches do not divide over the processes.
    """
    self._config, self._folder, self._episodes = config, None, None
    self._lock = threading.Lock()
    plan = self._plan_episodes if episodic else self._plan_clips

    def listed(class_names: list[str], num_clips: int, scored: list[str]):
      self.class_names, self.evals = class_names, dict.fromkeys(scored)
      plan(num_clips)
      if check:
        check(self)

    self._sets = sets = open_data.open_data(
        config.data, config.seed, config.split, workdir, config.cache_dir,
        evaluate_only, listed,
    )
    self.description = sets.description
    self._read = Loader(
        one_clip.spec_of(config.data),
        config.seed,
        process_index,
        process_count,
        config.data.workers,
        config.data.prefetch,
        self._note if config.data.on_broken == 'skip' else None,
        config.train.bank_views,
    )
    # Again, since broken clips may have been left out.
    plan(len(sets.train) if sets.train else 0)
    if not episodic:
      self._read.share(self.batch_size)
    elif sets.train:
      own = config.episodes
      how = own.way, own.shot, own.query
      self._episodes = self._episodes_of(sets.train, *how)
    self.evals = {
        name: self._eval_set(source, episodic)
        for name, source in sets.evals().items()
    }

  def train(self, start_step: int) -> Batches:
    """Returns endless training batches from a step on; use as a context."""
    source, size = self._sets.train, self.batch_size
    if self._episodes:
      how = self._episodes, size, start_step
      return Batches(self._read.train_episodes(source, *how))
    return Batches(self._read.train(source, size, start_step))

  def fixed_views(self) -> FixedViews:
    """Returns the views that training cycles through (train.bank_views)."""
    size = self.batch_size if self._episodes else self._config.batch_size
    return FixedViews(self._read, self._sets.train, size, self._episodes)

  def write(self, folder: str | os.PathLike):
    """Writes the lists and class names of a run into its folder."""
    self._folder = folder = pathlib.Path(folder)
    self._sets.write_lists(folder / 'lists')
    names = json.dumps(self.class_names, ensure_ascii=False, indent=1)
    whole_file.write(folder / 'classes.json', names + '\n')

  def _note(self, name: str, clip: str, why: str, other: str):
    """Records and prints, once, that a clip is replaced or left out."""
    about = self.description['lists'][name]
    noted = about.setdefault('replaced' if other else 'unread', {})
    with self._lock:
      if clip in noted:
        return
      noted[clip] = other or why
    what = f'{other} takes its place' if other else f'left out of {name}'
    print(f'note: {what}: {why}', file=sys.stderr)
    if self._folder:
      end = f' Replaced by {other}.' if other else ''
      line = f'{name}\t{clip}\t{why}{end}\n'
      with open(self._folder / 'lists' / 'skipped.txt', 'ab') as file:
        file.write(line.encode(errors='surrogateescape'))

  def _plan_clips(self, size: int):
    config, train = self._config, self._config.train
    self.batch_key = 'batch_size'
    self.batch_size = min(config.batch_size, size)
    epoch = loader.steps_per_epoch(size, config.batch_size) if size else 0
    self.steps_per_epoch = epoch
    self.total_steps = train.epochs * epoch
    self.eval_every_steps = train.eval_every_epochs * epoch
    self.checkpoint_every_steps = train.checkpoint_every_epochs * epoch

  def _plan_episodes(self, size: int):
    own = self._config.episodes
    if size and own.train_episodes % own.per_step:
      low = own.train_episodes - own.train_episodes % own.per_step
      fits = [n for n in (low, low + own.per_step) if n]
      raise UserError(
          f'episodes.train_episodes={own.train_episodes} is not a multiple of '
          f'episodes.per_step={own.per_step}. Use '
          f'{" or ".join(map(str, fits))}.'
      )
    self.batch_key, self.batch_size = 'episodes.per_step', own.per_step
    numbers = own.epoch_episodes, own.train_episodes, own.eval_every_episodes
    self.steps_per_epoch, self.total_steps, self.eval_every_steps = (
        max(number // own.per_step, 1) for number in numbers
    )
    self.checkpoint_every_steps = self.eval_every_steps

  def _eval_set(self, source, episodic: bool) -> EvalSet:
    config, own = self._config, self._config.episodes
    size = config.eval.batch_size or config.batch_size
    views = (1, 1) if episodic else (config.eval.clips, config.eval.crops)
    if not episodic and not own.score:
      return EvalSet(self._read, source, size, *views)
    way, shot = own.test_way or own.way, own.test_shot or own.shot
    number, bank = own.test_episodes, own.bank or not episodic
    episodes = self._episodes_of(source, way, shot, own.test_query, number)
    self.description['lists'][source.name]['episodes'] = {
        'sha256': episodes.hash, 'way': way, 'shot': shot,
        'query': own.test_query, 'number': number,
    }  # fmt: skip
    more = episodes, own.per_step, bank
    return EvalSet(self._read, source, size, *views, *more)

  def _episodes_of(self, source, way, shot, query, num=0) -> EpisodeList:
    names, seed = source.class_names, self._config.seed
    return EpisodeList(source.clips, names, way, shot, query, seed, num)
