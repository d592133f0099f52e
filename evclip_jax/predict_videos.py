"""From paths of videos to what a trained run makes of them."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence

import ml_collections
import numpy as np

from data_pipelines.errors import UserError
from evclip_jax import support
from evclip_jax.evaluation import look, look_beside
from evclip_jax.runs import loaded_run


def predict(
    run: loaded_run.LoadedRun,
    videos: Sequence[str],
    closely: bool = False,
    examples: support.Support | None = None,
) -> Iterator[tuple[str, look.Seen | UserError]]:
  """Looks at videos, several at once, in their order.

  Args:
    run: with the views of `config.eval`.
    videos: paths.
    closely: whether to make the pictures that cost passes of their own.
    examples: for methods that compare with examples.

  Yields:
    (path, what the run sees there, or why the file cannot be read).

  Raises:
    UserError: the method needs examples, or has no use for them.
  """
  from data_pipelines.video import readers

  config = run.config
  read = make_reader(config)
  clips, crops = config.eval.clips, config.eval.crops
  views = clips * crops
  most = max(1, (config.eval.batch_size or config.batch_size) // views)
  group_size = min(most, len(videos))
  rows = group_size * views
  _check_examples(run, examples)
  if examples:
    beside = look_beside.ExampleLooker(run.session, run.weights, rows)
    looker = beside.beside(examples.read(read), examples.class_names)
  else:
    looker = look.Looker(
        run.session, run.weights, rows, clips, crops, closely=closely
    )
  workers = readers.number(config.data.workers)
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    for start in range(0, len(videos), group_size):
      group = videos[start : start + group_size]
      results = list(pool.map(lambda path: _try(read, path), group))
      good = [r for r in results if not isinstance(r, UserError)]
      seen = iter(looker(good) if good else [])
      for path, result in zip(group, results, strict=True):
        failed = isinstance(result, UserError)
        yield path, result if failed else next(seen)


def _check_examples(run, examples):
  name = run.config.method.name
  if run.session.model.method.episodic and not examples:
    raise UserError(
        f'{name} compares videos with examples: give --support=DIR with a '
        'folder of example clips for each class.'
    )
  if examples and not run.session.model.method.episodic:
    raise UserError(
        f'{name} does not compare with examples: leave --support out; '
        '--classes names other classes.'
    )


def make_reader(
    config: ml_collections.ConfigDict,
) -> Callable[[str], np.ndarray]:
  """Builds path -> uint8 [views, T, P, P, 3], the pixels of an evaluation."""
  from data_pipelines.lists import clips as records
  from data_pipelines.loaders import clip_frames, source
  from data_pipelines.stores import files
  from data_pipelines.video import probes, readers

  spec = clip_frames.spec_of(config.data)
  clips, crops = config.eval.clips, config.eval.crops
  pixels = readers.reader(readers.number(config.data.workers))

  def read(path):
    path = os.path.abspath(path)
    # A list of one clip, so that it is read as those of an evaluation are.
    alone = source.Source(
        records.ClipList('predict', (records.ClipRecord(path, 0),)),
        [],
        files.FileTree(os.path.dirname(path)),
        {path: probes.probe(path)},
    )
    return np.stack([
        pixels(clip_frames.eval_clip(alone, 0, spec, view, clips, crops))
        for view in range(clips * crops)
    ])

  return read


def _try(
    read: Callable[[str], np.ndarray], path: str
) -> np.ndarray | UserError:
  try:
    return read(path)
  except UserError as e:
    return e


def find_videos(arguments: Sequence[str]) -> list[str]:
  """The files that arguments name, folders opened.

  Raises:
    UserError: nothing named, a path that does not exist, a folder without
      videos.
  """
  from data_pipelines.stores import files as file_tree

  if not arguments:
    raise UserError('name at least one video, or a folder of videos.')
  videos = []
  for path in arguments:
    if os.path.isdir(path):
      tree = file_tree.FileTree(path)
      inside = [os.path.join(path, key) for key in tree.keys]
      if not inside:
        raise UserError(f'the folder {path} has no videos in it.')
      videos += inside
    elif os.path.exists(path):
      videos.append(path)
    else:
      raise UserError(f'the video {path} does not exist.')
  return list(dict.fromkeys(videos))


def check_classes(names: Sequence[str]) -> list[str] | None:
  """The names of --classes, cleaned; None if there are none.

  Raises:
    UserError: one class only, or two that are the same.
  """
  names = [name.strip() for name in names if name.strip()]
  if not names:
    return None
  if len(names) == 1:
    raise UserError(
        f'--classes={names[0]} leaves nothing to choose: name two or more.'
    )
  from data_pipelines.lists import classes

  classes.check_distinct(names, '--classes')
  return [classes.clean(name) for name in names]
