"""python -m data_pipelines.build DATASET --root=DIR --out=DIR

Copies a downloaded data set into a few large files (TFDS, ArrayRecord) that
hold every clip as it is, with all that is known of it. Nothing needs to be
built to train: it saves opening thousands of small files, which network disks
and object stores are slow at.
"""

import importlib
import pathlib

from absl import flags

from data_pipelines import cli
from data_pipelines.errors import UserError
from data_pipelines.loaders import quiet_tensorflow


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('root', '', 'Folder of the official download.')
  flags.DEFINE_string('out', '', 'Folder to write to (data.tfds_dir).')
  flags.DEFINE_enum(
      'on_missing',
      'error',
      ['error', 'skip'],
      'What to do if clips of the official lists are not there.',
  )
  flags.DEFINE_string(
      'path_rule',
      '',
      "'REGEX=>REPLACEMENT' for the paths in the lists, where a mirror calls "
      'clips otherwise (data.path_rule).',
  )
  flags.DEFINE_integer(
      'clips_per_shard',
      256,
      'Clips in one file; fewer make more files, for builds of few clips.',
      lower_bound=1,
  )


def main(args: list[str]):
  """Builds one data set."""
  if len(args) != 1 or args[0] not in names():
    raise UserError(
        f'wanted one data set of {", ".join(names())}, found '
        f'{" ".join(args) or "none"}: python -m data_pipelines.build ucf101 '
        '--root=DIR --out=DIR'
    )
  values = flags.FLAGS
  if not values.out:
    raise UserError('--out is missing: the folder to write to.')
  build(
      args[0],
      values.root,
      values.out,
      values.on_missing,
      values.path_rule,
      values.clips_per_shard,
  )


def names() -> list[str]:
  """The data sets there are builders of: builders/NAME/NAME_builder.py."""
  folder = pathlib.Path(__file__).parent / 'builders'
  return sorted(
      file.parent.name
      for file in folder.glob('*/*_builder.py')
      if file.stem == f'{file.parent.name}_builder'
  )


def build(
    name: str,
    root: str,
    out: str,
    on_missing: str = 'error',
    path_rule: str = '',
    clips_per_shard: int = 256,
) -> pathlib.Path:
  """Builds a data set; one that is already built stays as it is.

  What an interrupted call has finished is kept.

  Args:
    name: such as 'ucf101'.
    root: the download.
    out: folder to write to. It gets missing.txt if clips are missing.
    on_missing: 'error' or 'skip'.
    path_rule: rewrites the paths in the lists.
    clips_per_shard: clips in one file.

  Returns:
    The folder with the shards.

  Raises:
    UserError: no data, missing clips, or a disk that cannot be written.
  """
  quiet_tensorflow.load()
  import tensorflow_datasets as tfds

  from data_pipelines.builders import plan as plan_lib
  from data_pipelines.stores import tfds as archive

  module = importlib.import_module(
      f'data_pipelines.builders.{name}.{name}_builder'
  )
  plan = plan_lib.make(
      module.Builder.DESCRIPTION, root, path_rule, clips_per_shard
  )
  out_dir = pathlib.Path(out).expanduser().absolute()
  _tell_missing(plan, out_dir, on_missing)
  if plan.absent:
    print(
        'note: these official lists were not found and will not be stored: '
        f'{", ".join(plan.absent)}'
    )
  try:
    builder = module.Builder(
        data_dir=out_dir, file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    if (builder.folder / 'dataset_info.json').is_file():
      print(f'{builder.folder} is there already; delete it to build anew.')
    else:
      print(f'{len(plan.clips)} clips from {plan.store} to {out_dir}')
      builder.prepare(plan)
  except OSError as e:
    raise UserError(f'cannot write to --out={out}: {e}.') from e
  built = archive.Archive(out_dir, builder.name)
  probes = built.probes(built.stored_keys())
  broken = [p.name for p in probes.values() if p.error]
  if broken:
    print(
        f'{len(broken)} clips cannot be decoded, such as {broken[0]}; see '
        'data.on_broken.'
    )
  print(f'use it with --config.data.tfds_dir={out}')
  return built.folder


def _tell_missing(plan, out_dir: pathlib.Path, on_missing: str):
  """Names the clips that are missing before any work is done."""
  if not plan.missing:
    return
  try:
    out_dir.mkdir(parents=True, exist_ok=True)
    report = out_dir / 'missing.txt'
    report.write_text(''.join(path + '\n' for path in plan.missing))
  except OSError as e:
    raise UserError(f'cannot write to --out={out_dir}: {e}.') from e
  text = (
      f'{len(plan.missing)} clips of the official lists are not in '
      f'{plan.store}, such as {plan.missing[0]}; all are named in {report}.'
  )
  if on_missing == 'error':
    raise UserError(
        f'{text}\n  Complete the download, or build what there is with '
        '--on_missing=skip.'
    )
  print(text)


if __name__ == '__main__':
  define_flags()
  cli.run(main)
