"""python -m evclip_jax.predict --workdir=RUN VIDEO... [--out=DIR]

Prints the five best classes of each video by a trained run, as a table or, with
--json, as one JSON object per line. A VIDEO may be a folder, for all videos in
it. The probabilities are means over windows spread over the whole video; the
table says how many frames were looked at.

  --out=DIR              predictions.jsonl, predictions.csv, index.html and a
                         picture of each video (frames, mask, scores)
  --timeline             with --out: the scores along each video
  --overlay, --gif       with --out: the video with answers and mask, as MP4 or
                         GIF
  --min-probability=0.5  less probable answers become "none of these"
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
_JSON = flags.DEFINE_bool('json', False, 'Print JSON lines, not a table.')
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
    'overlay', False, 'Write each video with answers and mask, as MP4.'
)
_GIF = flags.DEFINE_bool('gif', False, 'Like --overlay, as GIF.')
_LEAST = flags.DEFINE_float(
    'min_probability',
    0.0,
    'A less probable answer becomes "none of these".',
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_alias('min-probability', 'min_probability')
_CORRUPT = flags.DEFINE_string(
    'corrupt', '', "Corrupt the frames like data.corrupt: 'darken:3'."
)

# Most videos in the message about those that could not be read.
_SHOWN = 3


def main(args: list[str]):
  """Predicts and prints; videos that cannot be read are reported last."""
  if not _WORKDIR.value:
    raise UserError('--workdir is missing: the folder of a trained run.')
  for flag in (_TIMELINE, _OVERLAY, _GIF):
    if flag.value and not _OUT.value:
      raise UserError(f'--{flag.name} writes files: say where with --out=DIR.')
  # With --json, anything but JSON goes to stderr.
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
  # Not at the top, so that a wrong flag is reported before JAX is imported.
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
