"""python -m evclip_jax.shift --workdir=RUN [--reference=LIST] [--lists=A,B]

Says how the lists of a finished run or comparison differ in what they show and
in their class names, how far apart they lie, and what right and wrong depend
on. Writes shift.json, shift.csv (a row per clip) and shift.html into the run
folder. --corruptions=darken,blur (or all) also scores the reference under them.
See docs/shift.md.
"""

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run folder.')
_REFERENCE = flags.DEFINE_string(
    'reference', '', "A list that was scored, or 'train'; '' = the first one."
)
_LISTS = flags.DEFINE_list(
    'lists', [], 'Lists to compare; default: all others.'
)
_CORRUPTIONS = flags.DEFINE_list(
    'corruptions', [], "Kinds of corruption to score under, or 'all'."
)


def main(args: list[str]):
  """Analyses a run and prints the result in sentences."""
  if args:
    raise UserError(f'unexpected argument {args[0]!r}; flags begin with --.')
  if not _WORKDIR.value:
    raise UserError('--workdir is missing: the folder of a finished run.')
  from evclip_jax.domain_shift import analyse

  analyse.analyse(
      _WORKDIR.value, _REFERENCE.value, _LISTS.value, _CORRUPTIONS.value
  )


if __name__ == '__main__':
  cli.run(main)
