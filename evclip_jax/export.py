"""python -m evclip_jax.export --workdir=RUN --out=FILE.safetensors

Writes the trained weights of a run into one small file, without optimizer and
frozen networks: for `config.method.weights`, for `python -m evclip_jax.convert`
and for any program that reads safetensors.
"""

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_OUT = flags.DEFINE_string('out', '', 'The .safetensors file to write.')


def main(args: list[str]):
  """Writes the file that the flags name."""
  if args or not _WORKDIR.value or not _OUT.value:
    raise UserError(
        'wanted python -m evclip_jax.export --workdir=RUN '
        '--out=FILE.safetensors.'
    )
  # Not at the top: a wrong flag is answered before JAX is there.
  from evclip_jax.runs import export

  print(export.save_trained(_WORKDIR.value, _OUT.value))


if __name__ == '__main__':
  cli.run(main)
