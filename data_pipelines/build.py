"""python -m data_pipelines.build DATASET --root=DIR --out=DIR

Copies a downloaded data set into a few large files by TensorFlow Datasets
(TFDS). Nothing needs to be built to train: it saves opening thousands of small
files, which network disks and object stores are slow at. See docs/tfds.md.
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence

from absl import flags
from tqdm import tqdm

from data_pipelines import cli, datasets, quiet_tensorflow, settings
from data_pipelines.datasets import description, official
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, labels, locate
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.stores import tfds_builder
from data_pipelines.stores.files import FileTree
from data_pipelines.stores.tfds import UNLISTED, config_name
from data_pipelines.video.probes import Probe, probe_many

_EPIC = 'epic_kitchens100_'


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('root', '', 'Folder of the official download.')
  flags.DEFINE_string('out', '', 'Folder to write to (data.tfds_dir).')
  flags.DEFINE_list('splits', [], 'Such as 1,3; all whose lists are there.')
  flags.DEFINE_string('kind', 'verb', 'EPIC-Kitchens-100: verb, noun, action.')
  ways = ['error', 'skip']
  flags.DEFINE_enum('on_missing', 'error', ways, 'If listed clips are missing.')
  rule = 'REGEX=>REPLACEMENT for the paths in the lists (data.path_rule).'
  flags.DEFINE_string('path_rule', '', rule)


def main(args: list[str]):
  """Builds one data set."""
  values = flags.FLAGS
  if len(args) != 1 or not values.out:
    raise UserError(
        'wanted one data set, --root and --out: '
        'python -m data_pipelines.build ucf101 --root=DIR --out=DIR'
    )
  if not all(split.isdigit() for split in values.splits):
    raise UserError(f'--splits={values.splits}: wanted numbers such as 1,3.')
  build(
      args[0],
      values.root,
      values.out,
      values.on_missing,
      values.path_rule,
      [int(split) for split in values.splits],
      values.kind,
  )


def build(
    name: str,
    root: str,
    out: str,
    on_missing: str = 'error',
    rule: str = '',
    splits: Sequence[int] = (),
    kind: str = 'verb',
) -> list[pathlib.Path]:
  """Builds official splits of a data set; those that are there stay.

  Args:
    name: such as 'ucf101'.
    root, out: folder of the download, and folder to write to.
    on_missing: 'error', or 'skip' for clips of lists that are not there.
    rule: rewrites the paths in the lists (data.path_rule).
    splits: which ones; () = all whose lists are there.
    kind: what EPIC-Kitchens-100 is labelled by: 'verb', 'noun' or 'action'.

  Returns:
    The folders with the shards, one for each split.

  Raises:
    UserError: no data, no such split, missing clips, pieces of long videos, or
      a disk that cannot be written.
  """
  if name.startswith(_EPIC):
    name, kind = _EPIC[:-1], name.removeprefix(_EPIC)
  if name not in datasets.OFFICIAL:
    known = ', '.join(datasets.OFFICIAL)
    raise UserError(f'wanted one data set of {known}, found {name}.')
  what = datasets.describe(name, kind)
  out_dir = pathlib.Path(out).expanduser().absolute()
  videos, lists = description.find_parts(what, root, rule)
  store = what.open_store(videos)
  plans = _plans(what, lists, store, on_missing, rule, splits, out_dir)
  quiet_tensorflow.load()
  import tensorflow as tf
  import tensorflow_datasets as tfds

  probes = _probe(store, plans)
  make, folders = tfds_builder.make(what, store, plans, probes), []
  for config in plans:
    try:
      builder = make(
          data_dir=out_dir,
          config=config,
          file_format=tfds.core.FileFormat.ARRAY_RECORD,
      )
      folders.append(pathlib.Path(builder.data_dir))
      if folders[-1].is_dir():
        print(f'{folders[-1]} is there already; delete it to build anew.')
        continue
      # TFDS wants a folder for downloads, of which there are none.
      with tempfile.TemporaryDirectory() as unused:
        builder.download_and_prepare(
            download_dir=unused,
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False
            ),
        )
    except (OSError, tf.errors.OpError) as e:
      raise UserError(f'cannot write to --out={out}: {e}.') from e
  broken = [p.name for p in probes.values() if p.error]
  if broken:
    print(
        f'{len(broken)} clips cannot be decoded, such as {broken[0]}; see '
        'data.on_broken.'
    )
  print(f'use it with --config.data.tfds_dir={out}')
  return folders


def _plans(
    what, lists_folder, store, on_missing, rule, splits, report_folder
) -> tfds_builder.Plans:
  """Reads the lists of all splits."""
  rewrite = locate.path_rule(rule, '--path_rule')
  plans = {}
  for split in splits or what.splits:
    description.check_split(what, split)
    found = []
    for role in what.roles if lists_folder else ():
      listing = description.official_listing(what, lists_folder, role, split)
      if listing is None:
        print(f'note: there is no {what.list_title(role, split)}.')
      else:
        found.append(locate.rewrite(listing, rewrite))
    if not found:
      continue
    found = locate.locate(
        found,
        store,
        what.class_of,
        settings.make(on_missing=on_missing, most_missing=1.0),
        report_folder,
        advice='Complete the download, or build what is there: '
        '--on_missing=skip.',
    )
    table = what.read_classes(lists_folder) or official.infer(what, found)
    lists = labels.number(found, table, what.class_of, what.repeats)
    _check_whole(store, lists)
    if not what.only_listed:
      lists += _unlisted(what, store, table, lists)
    plans[config_name(split)] = table.raw, lists
  if not plans:
    raise UserError(
        f'the official lists of {what.title} were not found near '
        f'{store}.\n  {what.wanted}'
    )
  return plans


def _check_whole(store: FileTree, lists: list[ClipList]):
  for record in (r for clips in lists for r in clips.records):
    piece = record.key != record.path
    if piece and not os.path.isdir(store.media(record.path)):
      raise UserError(
          f'{record.path} is a long video, of which the lists name pieces; '
          'pieces are stored from folders of images only (rgb_frames). Read '
          'the videos themselves: data.root.'
      )


def _unlisted(what, store, table, lists) -> list[ClipList]:
  """The clips that lists of others may name, if any."""
  listed = {r.path for clips in lists for r in clips.records}
  rest = [path for path in store.keys if path not in listed]
  known = classes.match(map(what.class_of, rest), table.raw)
  records = [ClipRecord(p, known.get(what.class_of(p), -1)) for p in rest]
  return [ClipList(UNLISTED, tuple(records))] if records else []


def _probe(store: FileTree, plans: tfds_builder.Plans) -> dict[str, Probe]:
  """Examines each file once; names and keys are the same on every machine."""
  lists = (clips for _, some in plans.values() for clips in some)
  paths = list(dict.fromkeys(r.path for x in lists for r in x.records))
  with tqdm(total=len(paths), desc='check clips', unit='clip') as bar:
    probes = probe_many(
        [store.media(path) for path in paths], progress=lambda *_: bar.update(1)
    )
  return {
      path: dataclasses.replace(probe, name=path, key=f'tfds:{path}')
      for path, probe in zip(paths, probes, strict=True)
  }


if __name__ == '__main__':
  define_flags()
  cli.run(main)
