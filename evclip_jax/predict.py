"""python -m evclip_jax.predict --workdir=RUN VIDEO... [--out=DIR]

The five best classes of each video, by a trained run, as a table or, with
--json, as one JSON object per line. A VIDEO may be a folder, for all videos in
it. The whole video is looked at, in windows spread over it whose probabilities
are averaged; the table says how many frames that were.

  --out=DIR              predictions.jsonl, predictions.csv, index.html and a
                         picture of each video (frames, mask, scores)
  --timeline             with --out: the scores along each video
  --overlay, --gif       with --out: the video with words and mask, MP4 or GIF
  --min-probability=0.5  less sure answers are "none of these"
  --classes=a,b,c        other classes than those of the training
  --support=DIR          examples, a folder of clips per class, for a method
                         that compares
"""

import contextlib
import json
import sys

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_CLASSES = flags.DEFINE_list(
    'classes', [], 'Other classes than those of the training.'
)
_SUPPORT = flags.DEFINE_string(
    'support', '', 'Folder of examples: a folder of clips per class.'
)
_OUT = flags.DEFINE_string('out', '', 'A folder for results and pictures.')
_JSON = flags.DEFINE_bool('json', False, 'Print JSON lines, no table.')
_CLIPS = flags.DEFINE_integer(
    'clips',
    0,
    'Windows per video; 0 = as many as cover it, at most 16.',
    lower_bound=0,
)
_CROPS = flags.DEFINE_enum(
    'crops', '0', ['0', '1', '3'], 'Crops per window; 0 = eval.crops.'
)
_TIMELINE = flags.DEFINE_bool(
    'timeline', False, 'Write the scores along each video: a chart and a CSV.'
)
_OVERLAY = flags.DEFINE_bool(
    'overlay', False, 'Write each video with words and mask, as MP4.'
)
_GIF = flags.DEFINE_bool('gif', False, 'As --overlay, as GIF.')
_LEAST = flags.DEFINE_float(
    'min_probability',
    0.0,
    'A best class that is less probable is "none of these".',
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_alias('min-probability', 'min_probability')
_CORRUPT = flags.DEFINE_string(
    'corrupt', '', "Make the frames worse, as data.corrupt: 'darken:3'."
)

# Named in the message about videos that could not be read.
_SHOWN = 3


def main(args: list[str]):
  """Predicts and prints; bad videos are reported after the good ones."""
  if not _WORKDIR.value:
    raise UserError('--workdir is missing: the folder of a trained run.')
  for flag in (_TIMELINE, _OVERLAY, _GIF):
    if flag.value and not _OUT.value:
      raise UserError(f'--{flag.name} writes files: say where with --out=DIR.')
  # JSON alone goes to the terminal's output, not what is said by the way.
  output = sys.stdout
  aside = sys.stderr if _JSON.value else output
  with contextlib.redirect_stdout(aside):
    rows = _predict(args, output)
  if not _JSON.value:
    from evclip_jax.runs import prediction

    print(prediction.as_text(rows))
  errors = [row['error'] for row in rows if 'error' in row]
  if errors:
    raise UserError(
        f'{len(errors)} of {len(rows)} videos could not be read: '
        + '\n  '.join(errors[:_SHOWN])
        + ('\n  ...' if len(errors) > _SHOWN else '')
    )


def _predict(args: list[str], output) -> list[dict]:
  # Not at the top: a wrong flag is answered before JAX is there.
  from evclip_jax.models import corruptions
  from evclip_jax.runs import prediction, trained_model

  if _CORRUPT.value:
    corruptions.parse(_CORRUPT.value, '--corrupt')
  videos = prediction.find_videos(args)
  support = prediction.find_examples(_SUPPORT.value) if _SUPPORT.value else None
  model = trained_model.TrainedModel(_WORKDIR.value, _CORRUPT.value or None)
  config = model.config
  with config.unlocked():
    config.eval.crops = int(_CROPS.value) or config.eval.crops

  def tell(row):
    if _JSON.value:
      print(json.dumps(row, ensure_ascii=False), file=output, flush=True)

  overlays = (_OVERLAY.value and '.mp4', _GIF.value and '.gif')
  return prediction.predict(
      model,
      videos,
      _OUT.value or None,
      _CLASSES.value or None,
      support,
      tell,
      _CLIPS.value,
      _LEAST.value,
      _TIMELINE.value,
      tuple(filter(None, overlays)),
  )


if __name__ == '__main__':
  cli.run(main)
