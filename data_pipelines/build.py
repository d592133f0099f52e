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
from data_pipelines.lists.clips import ClipList, ClipRecord, Listing
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
  splits = [int(split) for split in values.splits]
  ways = values.on_missing, values.path_rule, splits, values.kind
  build(args[0], values.root, values.out, *ways)


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

  The arguments are those of the command; without `splits`, all whose lists are
  there.

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
  store = what.open_store(description.find_videos(what, root, rule))
  plans, folder = {}, description.find_lists(what, root)
  for split in splits or what.splits:
    description.check_split(what, split)
    if found := _listings(what, folder, split, rule):
      found = locate.locate(
          found,
          store,
          what.class_of,
          settings.make(on_missing=on_missing, most_missing=1.0),
          out_dir,
          advice='Complete the download, or build what is there: '
          '--on_missing=skip.',
      )
      plans[config_name(split)] = _plan(what, folder, store, found)
  if not plans:
    raise UserError(
        f'the official lists of {what.title} were not found near '
        f'{store}.\n  {what.wanted}'
    )
  quiet_tensorflow.load()
  import tensorflow as tf
  import tensorflow_datasets as tfds

  probes = _probe(store, plans)
  make, folders = tfds_builder.make(what, store, plans, probes), []
  for config in plans:
    try:
      form = tfds.core.FileFormat.ARRAY_RECORD
      builder = make(data_dir=out_dir, config=config, file_format=form)
      folders.append(pathlib.Path(builder.data_dir))
      if folders[-1].is_dir():
        print(f'{folders[-1]} is there already; delete it to build anew.')
        continue
      # TFDS wants a folder for downloads, of which there are none.
      with tempfile.TemporaryDirectory() as unused:
        how = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_dir=unused, download_config=how)
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


def _listings(what, folder, split: int, rule: str) -> list[Listing]:
  """Reads the official lists of a split, as far as they are there."""
  rewrite, found = locate.path_rule(rule, '--path_rule'), []
  for role in what.roles if folder else ():
    if listing := description.official_listing(what, folder, role, split):
      found.append(locate.rewrite(listing, rewrite))
    else:
      print(f'note: there is no {what.list_title(role, split)}.')
  return found


def _plan(
    what, folder, store: FileTree, listings: list[Listing]
) -> tuple[Sequence[str], list[ClipList]]:
  """Returns the raw class names, and the clips of the lists and of no list."""
  table = what.read_classes(folder) or official.infer(what, listings)
  lists = labels.number(listings, table, what.class_of, what.repeats)
  records = [record for clips in lists for record in clips.records]
  for record in records:
    piece = record.key != record.path
    if piece and not os.path.isdir(store.media(record.path)):
      raise UserError(
          f'{record.path} is a long video, of which the lists name pieces; '
          'pieces are stored from folders of images only (rgb_frames). Read '
          'the videos themselves: data.root.'
      )
  # Lists of others may name more clips.
  listed = {record.path for record in records}
  keys = () if what.only_listed else store.keys
  rest = [key for key in keys if key not in listed]
  known = classes.match(map(what.class_of, rest), table.raw)
  rest = tuple(ClipRecord(k, known.get(what.class_of(k), -1)) for k in rest)
  return table.raw, lists + ([ClipList(UNLISTED, rest)] if rest else [])


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
