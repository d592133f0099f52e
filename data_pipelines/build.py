"""python -m data_pipelines.build DATASET --root=DIR --out=DIR

Copies a downloaded data set into a few large files (TFDS, ArrayRecord) that
hold every clip as it is, with all that is known of it. Nothing needs to be
built to train: it saves opening thousands of small files, which network disks
and object stores are slow at.
"""

import importlib
import pathlib
import shutil

from absl import flags

from data_pipelines import quiet_tensorflow
from evclip_jax import cli
from evclip_jax.errors import UserError

_ROOT = flags.DEFINE_string('root', '', 'Folder of the official download.')
_OUT = flags.DEFINE_string('out', '', 'Folder to write to (data.tfds_dir).')
_ON_MISSING = flags.DEFINE_enum(
    'on_missing',
    'error',
    ['error', 'skip'],
    'What to do if clips of the official lists are not there.',
)
# Name -> (module, class of the builder).
_BUILDERS = {
    'ucf101': ('data_pipelines.builders.ucf101.ucf101_builder', 'Ucf101Clips'),
}


def main(args: list[str]):
  """Builds one data set."""
  if len(args) != 1 or args[0] not in _BUILDERS:
    raise UserError(
        f'wanted one data set of {", ".join(sorted(_BUILDERS))}, found '
        f'{" ".join(args) or "none"}: python -m data_pipelines.build ucf101 '
        '--root=DIR --out=DIR'
    )
  if not _OUT.value:
    raise UserError('--out is missing: the folder to write to.')
  build(args[0], _ROOT.value, _OUT.value, _ON_MISSING.value)


def build(
    name: str, root: str, out: str, on_missing: str = 'error'
) -> pathlib.Path:
  """Builds a data set; one that is already built stays as it is.

  Args:
    name: such as 'ucf101'.
    root: the download.
    out: folder to write to. It gets missing.txt if clips are missing.
    on_missing: 'error' or 'skip'.

  Returns:
    The folder with the shards.

  Raises:
    UserError: no data, missing clips, or a disk that cannot be written.
  """
  quiet_tensorflow.load()
  import tensorflow_datasets as tfds

  from data_pipelines.stores import archive

  module_name, class_name = _BUILDERS[name]
  builder_class = getattr(importlib.import_module(module_name), class_name)
  plan = builder_class.make_plan(root)
  out_dir = pathlib.Path(out).expanduser().absolute()
  _tell_missing(plan, out_dir, on_missing)
  try:
    builder = builder_class(
        data_dir=out_dir, file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    if (pathlib.Path(builder.data_dir) / 'dataset_info.json').is_file():
      print(f'{builder.data_dir} is there already; delete it to build anew.')
    else:
      for left_over in out_dir.glob(f'{builder.name}/incomplete.*'):
        shutil.rmtree(left_over)
      print(f'{len(plan.clips)} clips from {plan.store} to {out_dir}')
      builder.download_and_prepare(
          download_config=tfds.download.DownloadConfig(
              manual_dir=pathlib.Path(root).expanduser().absolute()
          )
      )
  except OSError as e:
    raise UserError(f'cannot write to --out={out}: {e}.') from e
  built = archive.Archive(out_dir, builder.name)
  broken = [p.name for p in built.probes(built.keys).values() if p.error]
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
  cli.run(main)
