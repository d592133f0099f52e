"""python -m evclip_jax.export --workdir=RUN --out=PATH [--to=KIND]

Writes a run for other programs. --to names the format:

  safetensors  the trained weights in one small file, without optimizer and
               frozen networks: for `config.method.weights`, for
               `python -m evclip_jax.convert`, for any reader of safetensors
  orbax        a folder with all weights and a program that takes them
  stablehlo    a folder with one program, its weights inside
  savedmodel   a folder for TensorFlow and TF Serving

The last three map uint8 clips to logits, need nothing of this project, and are
compared with the run at once; model.json beside them has the classes and says
how to prepare a video. docs/export.md shows how to load them. With --classes
they choose among other classes; a method that compares needs --support=DIR,
with a folder of example clips per class.
"""

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_OUT = flags.DEFINE_string('out', '', 'The file or the new folder to write.')
_TO = flags.DEFINE_enum(
    'to',
    'safetensors',
    ['safetensors', 'orbax', 'stablehlo', 'savedmodel'],
    'What to write.',
)
_CLASSES = flags.DEFINE_list(
    'classes', [], 'Other classes than those of the training.'
)
_SUPPORT = flags.DEFINE_string(
    'support', '', 'Folder of examples: a folder of clips per class.'
)


def main(args: list[str]):
  """Writes what the flags ask for."""
  if args or not _WORKDIR.value or not _OUT.value:
    raise UserError(
        'wanted python -m evclip_jax.export --workdir=RUN --out=PATH '
        '[--to=safetensors|orbax|stablehlo|savedmodel].'
    )
  if _TO.value == 'safetensors' and (_CLASSES.value or _SUPPORT.value):
    raise UserError(
        '--classes and --support are for whole models: name one with --to.'
    )
  # Not at the top, so that a wrong flag is reported before JAX is imported.
  from evclip_jax.runs import export, prediction

  if _TO.value == 'safetensors':
    print(export.save_trained(_WORKDIR.value, _OUT.value))
    return
  support = prediction.find_examples(_SUPPORT.value) if _SUPPORT.value else None
  given = _WORKDIR.value, _OUT.value, _TO.value, _CLASSES.value or None, support
  print(export.save_model(*given))


if __name__ == '__main__':
  cli.run(main)
