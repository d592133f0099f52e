"""python -m evclip_jax.predict --workdir=RUN VIDEO... [--out=DIR]

The five best classes of each video, by a trained run: a table, then one JSON
object per line, both on the standard output. With --out the JSON lines also go
to DIR/predictions.jsonl, and a picture of each video (frames, mask, scores)
beside it. A VIDEO may be a folder, for all videos in it. With --classes the run
chooses among other classes than those it was trained on.
"""

import concurrent.futures
import json
import os
from collections.abc import Callable, Iterator, Sequence

import ml_collections
import numpy as np
from absl import flags

from evclip_jax import cli, loaded_run, look, predictions, reporting
from evclip_jax.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_CLASSES = flags.DEFINE_list(
    'classes', [], 'Other classes than those of the training.'
)
_OUT = flags.DEFINE_string(
    'out', '', 'A folder for pictures and predictions.jsonl.'
)
_JSON = flags.DEFINE_bool('json', False, 'Print the JSON lines only.')
_CLIPS = flags.DEFINE_integer(
    'clips', 0, 'Windows per video; 0 = eval.clips.', lower_bound=0
)
_CROPS = flags.DEFINE_enum(
    'crops', '0', ['0', '1', '3'], 'Crops per window; 0 = eval.crops.'
)

# Named in the message about videos that could not be read.
_SHOWN = 3


def main(args: list[str]):
  """Predicts and prints; bad videos are reported after the good ones."""
  if not _WORKDIR.value:
    raise UserError('--workdir is missing: the folder of a trained run.')
  videos = find_videos(args)
  classes = check_classes(_CLASSES.value)
  run = loaded_run.load(_WORKDIR.value, classes)
  out = predictions.make_folder(_OUT.value) if _OUT.value else None
  with run.config.unlocked():
    run.config.eval.clips = _CLIPS.value or run.config.eval.clips
    run.config.eval.crops = int(_CROPS.value) or run.config.eval.crops
  rows, errors = [], []
  with reporting.progress(len(videos), 'predict', unit='video') as bar:
    for path, seen in predict(run, videos):
      bar.update(1)
      if isinstance(seen, UserError):
        errors.append(seen)
        rows.append({'video': path, 'error': str(seen)})
        continue
      rows.append(predictions.row(path, seen, run))
      if out:
        predictions.save_picture(out, path, seen, run, videos)
  lines = [json.dumps(r, ensure_ascii=False) for r in rows]
  if out:
    predictions.write_lines(out / 'predictions.jsonl', lines)
  if not _JSON.value:
    print(predictions.table(rows) + '\n')
  print('\n'.join(lines), flush=True)
  if errors:
    raise UserError(
        f'{len(errors)} of {len(videos)} videos could not be read: '
        + '\n  '.join(str(e) for e in errors[:_SHOWN])
        + ('\n  ...' if len(errors) > _SHOWN else '')
    )


def predict(
    run: loaded_run.LoadedRun, videos: Sequence[str]
) -> Iterator[tuple[str, look.Seen | UserError]]:
  """Looks at videos, several at once, in their order.

  Args:
    run: with the views of `config.eval`.
    videos: paths.

  Yields:
    (path, what the run sees there, or why the file cannot be read).
  """
  config = run.config
  read = make_reader(config)
  clips, crops = config.eval.clips, config.eval.crops
  views = clips * crops
  most = max(1, (config.eval.batch_size or config.batch_size) // views)
  group_size = min(most, len(videos))
  looker = look.Looker(
      run.session, run.trainable, group_size * views, clips, crops
  )
  workers = config.data.workers or os.cpu_count() or 1
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    for start in range(0, len(videos), group_size):
      group = videos[start : start + group_size]
      results = list(pool.map(lambda path: _try(read, path), group))
      good = [r for r in results if not isinstance(r, UserError)]
      seen = iter(looker(good) if good else [])
      for path, result in zip(group, results, strict=True):
        failed = isinstance(result, UserError)
        yield path, result if failed else next(seen)


def make_reader(
    config: ml_collections.ConfigDict,
) -> Callable[[str], np.ndarray]:
  """Builds path -> uint8 [views, T, P, P, 3], the pixels of an evaluation."""
  from data_pipelines import clip_frames, probe, records, source, tree

  spec = clip_frames.FrameSpec.of(config.data)
  clips, crops = config.eval.clips, config.eval.crops

  def read(path):
    path = os.path.abspath(path)
    # A list of one clip, so that it is read as those of an evaluation are.
    alone = source.Source(
        records.ClipList('predict', (records.ClipRecord(path, 0),)),
        [],
        tree.FileTree(os.path.dirname(path)),
        {path: probe.probe(path)},
    )
    return np.stack([
        clip_frames.eval_clip(alone, 0, spec, view, clips, crops)
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
  from data_pipelines import tree

  if not arguments:
    raise UserError('name at least one video, or a folder of videos.')
  videos = []
  for path in arguments:
    if os.path.isdir(path):
      inside = [os.path.join(path, key) for key in tree.FileTree(path).keys]
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
  from data_pipelines import class_names

  class_names.check_distinct(names, '--classes')
  return [class_names.clean(name) for name in names]


if __name__ == '__main__':
  cli.run(main)
