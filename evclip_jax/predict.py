"""python -m evclip_jax.predict --workdir=RUN VIDEO... [--out=DIR]

The five best classes of each video, by a trained run: a table, then one JSON
object per line, both on the standard output. With --out the JSON lines also go
to DIR/predictions.jsonl, and a picture of each video (frames, mask, scores)
beside it. A VIDEO may be a folder, for all videos in it. With --classes the run
chooses among other classes than those it was trained on. A method that compares
with examples needs --support=DIR, with a folder of example clips per class.
"""

import json

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError
from evclip_jax import predict_videos, predictions, support
from evclip_jax.reporting import log
from evclip_jax.runs import trained_run

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_CLASSES = flags.DEFINE_list(
    'classes', [], 'Other classes than those of the training.'
)
_SUPPORT = flags.DEFINE_string(
    'support', '', 'Folder of examples: a folder of clips per class.'
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
  videos = predict_videos.find_videos(args)
  classes = predict_videos.check_classes(_CLASSES.value)
  examples = support.find(_SUPPORT.value) if _SUPPORT.value else None
  if examples and classes:
    raise UserError('--support names the classes: leave --classes out.')
  if examples:
    classes = examples.class_names
  run = trained_run.load(_WORKDIR.value, classes)
  out = predictions.make_folder(_OUT.value) if _OUT.value else None
  with run.config.unlocked():
    run.config.eval.clips = _CLIPS.value or run.config.eval.clips
    run.config.eval.crops = int(_CROPS.value) or run.config.eval.crops
  rows, errors = [], []
  with log.progress(len(videos), 'predict', unit='video') as bar:
    for path, seen in predict_videos.predict(run, videos, bool(out), examples):
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


if __name__ == '__main__':
  cli.run(main)
