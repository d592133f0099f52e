"""Everything a run needs of its data, as the training loop wants it."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines import loader, open_data
from data_pipelines.clip_frames import FrameSpec


class Pipeline:
  """The lists of a run and loaders over them.

  Attributes:
    class_names: K names in label order.
    description: JSON values for the run card: lists, hashes, counts.
    batch_size: rows of a training batch over all processes; fewer than
      config.batch_size if the list is shorter.
    steps_per_epoch: whole batches in one pass; 0 without training clips.
    evals: list name -> what scores it; 'val' is for selection.
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
        'spec': FrameSpec.of(config.data),
        'process_index': process_index,
        'process_count': process_count,
        'workers': config.data.workers,
        'prefetch': config.data.prefetch,
    }
    self.class_names = sets.class_names
    self.description = sets.description
    size = len(sets.train) if sets.train else 0
    self.batch_size = min(config.batch_size, size)
    self.steps_per_epoch = (
        loader.steps_per_epoch(size, config.batch_size) if size else 0
    )
    self.evals = {
        name: loader.EvalLoader(
            source,
            config.eval.batch_size or config.batch_size,
            clips=config.eval.clips,
            crops=config.eval.crops,
            **self._shared,
        )
        for name, source in sets.evals().items()
    }

  def train(self, start_step: int) -> loader.TrainLoader:
    """Endless training batches from a step on; use it with `with`."""
    return loader.TrainLoader(
        self._sets.train,
        self._config.batch_size,
        seed=self._config.seed,
        start_step=start_step,
        **self._shared,
    )

  def examples(self, name: str, most: int) -> Iterator[tuple[np.ndarray, str]]:
    """A few clips of a list, spread over it: (frames, class name).

    Frames are uint8 [T, H, W, 3], the middle view.
    """
    source = self._sets.evals()[name]
    chosen = np.linspace(0, len(source) - 1, min(most, len(source)))
    for index in dict.fromkeys(int(i) for i in chosen):
      frames = loader.clip_frames.eval_clip(
          source, index, self._shared['spec'], 0, 1, 1
      )
      yield frames, source.class_names[source.records[index].label]

  def write(self, folder: str | os.PathLike):
    """Writes the lists and class names of a run into its folder."""
    folder = pathlib.Path(folder)
    self._sets.write_lists(folder / 'lists')
    (folder / 'classes.json').write_text(
        json.dumps(self.class_names, ensure_ascii=False, indent=1) + '\n',
        encoding='utf-8',
    )


def open_pipeline(
    config: Any,
    workdir: str | None = None,
    process_index: int = 0,
    process_count: int = 1,
    evaluate_only: bool = False,
) -> Pipeline:
  """Reads the lists of a config and examines their clips.

  Args:
    config: the whole config.
    workdir: the run folder, for reports of many missing or broken clips.
    process_index, process_count: which of several processes this is.
    evaluate_only: there will be no training.

  Raises:
    UserError: see `open_data.open_data`.
  """
  sets = open_data.open_data(
      config.data,
      config.seed,
      config.split,
      workdir,
      config.cache_dir,
      evaluate_only,
  )
  return Pipeline(config, sets, process_index, process_count)
