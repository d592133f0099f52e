"""Everything a run needs of its data, as the training loop wants it."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.lists import episodes
from data_pipelines.loaders import clip_frames, clips, open_data
from data_pipelines.loaders import episodes as episode_loader
from data_pipelines.video import pool


class Lists:
  """The lists of a run, whatever their batches are.

  Attributes:
    class_names: K names in label order.
    description: JSON values for the run card: lists, hashes, counts.
  """

  def __init__(
      self,
      config,
      sets: open_data.DataSets,
      process_index: int,
      process_count: int,
  ):
    """Decodes nothing yet.

    Args:
      config: the whole config.
      sets: the lists.
      process_index, process_count: which share of each batch to give.
    """
    self._config, self._sets = config, sets
    self._shared = {
        'spec': clip_frames.spec_of(config.data),
        'process_index': process_index,
        'process_count': process_count,
        'workers': pool.number(config.data.workers),
        'prefetch': config.data.prefetch,
    }
    self.class_names = sets.class_names
    self.description = sets.description

  def examples(self, name: str, most: int) -> Iterator[tuple[np.ndarray, str]]:
    """A few clips of a list, spread over it: (frames, class name).

    Frames are uint8 [T, H, W, 3], the middle view.
    """
    source = self._sets.evals()[name]
    chosen = np.linspace(0, len(source) - 1, min(most, len(source)))
    for index in dict.fromkeys(int(i) for i in chosen):
      clip = clip_frames.eval_clip(
          source, index, self._shared['spec'], seed=self._config.seed
      )
      pixels = clip_frames.read(clip, self._shared['workers'])
      yield pixels, source.class_names[source.records[index].label]

  def write(self, folder: str | os.PathLike):
    """Writes the lists and class names of a run into its folder."""
    folder = pathlib.Path(folder)
    self._sets.write_lists(folder / 'lists')
    (folder / 'classes.json').write_text(
        json.dumps(self.class_names, ensure_ascii=False, indent=1) + '\n',
        encoding='utf-8',
    )


class ClipPipeline(Lists):
  """Batches of clips.

  Attributes:
    batch_size: rows of a training batch over all processes; fewer than
      config.batch_size if the list is shorter.
    steps_per_epoch: whole batches in one pass; 0 without training clips.
    total_steps, eval_every_steps, checkpoint_every_steps: config.train's
      epochs in steps.
    evals: list name -> what scores it; 'val' is for selection.
  """

  batch_key = 'batch_size'

  def __init__(self, *args):
    """As `Lists`."""
    super().__init__(*args)
    config, sets = self._config, self._sets
    size = len(sets.train) if sets.train else 0
    self.batch_size = min(config.batch_size, size)
    self.steps_per_epoch = (
        clips.steps_per_epoch(size, config.batch_size) if size else 0
    )
    self.total_steps = config.train.epochs * self.steps_per_epoch
    self.eval_every_steps = (
        config.train.eval_every_epochs * self.steps_per_epoch
    )
    self.checkpoint_every_steps = (
        config.train.checkpoint_every_epochs * self.steps_per_epoch
    )
    self.evals = {
        name: clips.EvalLoader(
            source,
            config.eval.batch_size or config.batch_size,
            clips=config.eval.clips,
            crops=config.eval.crops,
            seed=config.seed,
            **self._shared,
        )
        for name, source in sets.evals().items()
    }

  def train(self, start_step: int) -> clips.TrainLoader:
    """Endless training batches from a step on; use it with `with`."""
    return clips.TrainLoader(
        self._sets.train,
        self._config.batch_size,
        seed=self._config.seed,
        start_step=start_step,
        **self._shared,
    )


class EpisodePipeline(Lists):
  """Batches of episodes.

  Attributes:
    batch_size: episodes of a training batch over all processes.
    steps_per_epoch, total_steps, eval_every_steps, checkpoint_every_steps:
      config.episodes in steps.
    evals: list name -> what scores it; 'val' is for selection.
  """

  batch_key = 'episodes.per_step'

  def __init__(self, *args):
    """As `Lists`.

    Raises:
      UserError: lists that the episodes cannot be drawn from.
    """
    super().__init__(*args)
    config, sets = self._config, self._sets
    own = config.episodes
    self.batch_size = own.per_step

    def steps(number: int) -> int:
      return max(number // own.per_step, 1)

    if own.train_episodes % own.per_step:
      low = own.train_episodes - own.train_episodes % own.per_step
      fits = [n for n in (low, low + own.per_step) if n]
      raise UserError(
          f'episodes.train_episodes={own.train_episodes} is no whole number '
          f'of steps of episodes.per_step={own.per_step}. Use '
          f'{" or ".join(map(str, fits))}.'
      )
    self.steps_per_epoch = steps(own.epoch_episodes)
    self.total_steps = steps(own.train_episodes)
    self.eval_every_steps = steps(own.eval_every_episodes)
    self.checkpoint_every_steps = self.eval_every_steps
    self._train = None
    if sets.train:
      self._train = self._episodes(sets.train, own.way, own.shot, own.query)
    self.evals = {
        name: episode_loader.EvalEpisodes(
            source,
            self._to_score(source),
            config.eval.batch_size or config.batch_size,
            seed=config.seed,
            from_bank=own.bank,
            per_batch=own.per_step,
            **self._shared,
        )
        for name, source in sets.evals().items()
    }
    for name, data in self.evals.items():
      self.description['lists'][name]['episodes'] = {
          'sha256': data.episodes.hash,
          'way': data.episodes.way,
          'shot': data.episodes.shot,
          'query': data.episodes.query,
          'number': data.episodes.num,
      }

  def train(self, start_step: int) -> episode_loader.TrainEpisodes:
    """Endless training batches from a step on; use it with `with`."""
    return episode_loader.TrainEpisodes(
        self._sets.train,
        self._train,
        self._config.episodes.per_step,
        seed=self._config.seed,
        start_step=start_step,
        **self._shared,
    )

  def write(self, folder: str | os.PathLike):
    """Also writes which clips each episode to score is made of."""
    super().write(folder)
    for name, data in self.evals.items():
      data.episodes.write(pathlib.Path(folder) / 'lists' / _listing(name))

  def _to_score(self, source) -> episodes.EpisodeList:
    own = self._config.episodes
    way, shot = own.test_way or own.way, own.test_shot or own.shot
    return self._episodes(source, way, shot, own.test_query, own.test_episodes)

  def _episodes(self, source, way, shot, query, num=0) -> episodes.EpisodeList:
    return episodes.EpisodeList(
        source.clips,
        source.class_names,
        way,
        shot,
        query,
        self._config.seed,
        num,
    )


def _listing(name: str) -> str:
  return f'{name}-episodes.txt'


def open_pipeline(
    config: Any,
    workdir: str | None = None,
    process_index: int = 0,
    process_count: int = 1,
    evaluate_only: bool = False,
    episodic: bool = False,
) -> ClipPipeline | EpisodePipeline:
  """Reads the lists of a config and examines their clips.

  Args:
    config: the whole config.
    workdir: the run folder, for reports of many missing or broken clips.
    process_index, process_count: which of several processes this is.
    evaluate_only: there will be no training.
    episodic: batches are episodes.

  Raises:
    UserError: see `open_data.open_data`, `episodes.EpisodeList`.
  """
  sets = open_data.open_data(
      config.data,
      config.seed,
      config.split,
      workdir,
      config.cache_dir,
      evaluate_only,
  )
  kind = EpisodePipeline if episodic else ClipPipeline
  return kind(config, sets, process_index, process_count)
