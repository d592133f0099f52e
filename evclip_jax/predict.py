"""python -m evclip_jax.predict --workdir=RUN VIDEO... [--out=DIR]

The five best classes of each video, by a trained run, as a table or, with
--json, as one JSON object per line. With --out DIR gets predictions.jsonl,
predictions.csv, index.html and a picture of each video (frames, mask, scores).
A VIDEO may be a folder, for all videos in it. With --classes the run chooses
among other classes than those it was trained on. A method that compares with
examples needs --support=DIR, with a folder of example clips per class.
"""

import json

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
    'clips', 0, 'Windows per video; 0 = eval.clips.', lower_bound=0
)
_CROPS = flags.DEFINE_enum(
    'crops', '0', ['0', '1', '3'], 'Crops per window; 0 = eval.crops.'
)
_CORRUPT = flags.DEFINE_string(
    'corrupt', '', "Make the frames worse, as data.corrupt: 'darken:3'."
)

# Named in the message about videos that could not be read.
_SHOWN = 3


def main(args: list[str]):
  """Predicts and prints; bad videos are reported after the good ones."""
  if not _WORKDIR.value:
    raise UserError('--workdir is missing: the folder of a trained run.')
  # Not at the top: a wrong flag is answered before JAX is there.
  from evclip_jax.models import corruptions
  from evclip_jax.runs import prediction, trained_model

  if _CORRUPT.value:
    corruptions.parse(_CORRUPT.value, '--corrupt')
  videos = prediction.find_videos(args)
  support = prediction.find_examples(_SUPPORT.value) if _SUPPORT.value else None
  model = trained_model.TrainedModel(_WORKDIR.value, _CORRUPT.value)
  config = model.config
  with config.unlocked():
    config.eval.clips = _CLIPS.value or config.eval.clips
    config.eval.crops = int(_CROPS.value) or config.eval.crops
  rows = prediction.predict(
      model, videos, _OUT.value or None, _CLASSES.value or None, support
  )
  if _JSON.value:
    for row in rows:
      print(json.dumps(row, ensure_ascii=False))
  else:
    print(prediction.as_text(rows))
  errors = [row['error'] for row in rows if 'error' in row]
  if errors:
    raise UserError(
        f'{len(errors)} of {len(videos)} videos could not be read: '
        + '\n  '.join(errors[:_SHOWN])
        + ('\n  ...' if len(errors) > _SHOWN else '')
    )


if __name__ == '__main__':
  cli.run(main)
