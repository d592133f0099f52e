"""python -m data_pipelines.build DATASET --root=DIR --out=DIR

Copies a downloaded data set into a few large files by TensorFlow Datasets
(TFDS). Nothing needs to be built to train: it saves opening thousands of small
files, which network disks and object stores are slow at.

Each official split becomes a config of the TFDS data set. In it, 'train',
'val' and 'test' are the official lists in their order, and 'unlisted' are the
other clips. Clips are stored as they are: the bytes of a video file, or those
of numbered images.
"""

import collections
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from data_pipelines import cli, datasets
from data_pipelines.datasets import description
from data_pipelines.datasets.description import Description
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, labels, locate
from data_pipelines.lists.classes import Classes
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders import quiet_tensorflow
from data_pipelines.loaders.source import frames_of
from data_pipelines.stores import tfds as store_lib
from data_pipelines.stores.files import FileTree
from data_pipelines.video.probes import Probe, probe_many
from data_pipelines.video.read import VideoError

_VERSION = '3.0.0'
_EPIC = 'epic_kitchens100'


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a config will hold.

  Attributes:
    store: the files.
    class_names: raw names in label order.
    lists: the clips of each TFDS split; label -1 = nothing tells the class.
  """

  store: FileTree
  class_names: list[str]
  lists: dict[str, ClipList]


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('root', '', 'Folder of the official download.')
  flags.DEFINE_string('out', '', 'Folder to write to (data.tfds_dir).')
  flags.DEFINE_list(
      'splits', [], 'Official splits, such as 1,3; all whose lists are there.'
  )
  flags.DEFINE_string(
      'kind', 'verb', 'Of EPIC-Kitchens-100: verb, noun or action.'
  )
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


def main(args: list[str]):
  """Builds one data set."""
  values = flags.FLAGS
  if len(args) != 1:
    raise UserError(
        f'wanted one data set, found {" ".join(args) or "none"}: '
        'python -m data_pipelines.build ucf101 --root=DIR --out=DIR'
    )
  if not values.out:
    raise UserError('--out is missing: the folder to write to.')
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
    root: the download.
    out: folder to write to.
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
  what = _describe(name, kind)
  out_dir = pathlib.Path(out).expanduser().absolute()
  plans = _plans(what, root, on_missing, rule, splits, out_dir)
  quiet_tensorflow.load()
  import tensorflow as tf
  import tensorflow_datasets as tfds

  probes = _probe(plans)
  make, folders = builder(what, plans, probes), []
  for config in plans:
    try:
      made = make(
          data_dir=out_dir,
          config=config,
          file_format=tfds.core.FileFormat.ARRAY_RECORD,
      )
      folders.append(pathlib.Path(made.data_dir))
      if folders[-1].is_dir():
        print(f'{folders[-1]} is there already; delete it to build anew.')
        continue
      # TFDS wants a folder for downloads, of which there are none.
      with tempfile.TemporaryDirectory() as unused:
        made.download_and_prepare(
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


def builder(
    what: Description, plans: dict[str, Plan], probes: dict[str, Probe]
):
  """Makes the TFDS builder class of a data set; needs TensorFlow.

  Args:
    what: the data set.
    plans: what each config holds, by its name.
    probes: of all files, by their paths in the store.

  Returns:
    A `tfds.core.GeneratorBasedBuilder` class with one config for each plan.
  """
  import tensorflow_datasets as tfds

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Encoded clips in the order of the official lists."""

    name = what.archive_name
    VERSION = tfds.core.Version(_VERSION)
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=config) for config in plans
    ]
    # Nothing is fetched. (TFDS 4.9.10 would look for addresses with a package,
    # importlib_resources, that it does not require.)
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
      # A class file may leave numbers out; names here have to be distinct.
      names = plans[self.builder_config.name].class_names
      names = [name or f'class {k}' for k, name in enumerate(names)]
      encoded = tfds.features.Tensor(shape=(), dtype=np.object_)
      return tfds.core.DatasetInfo(
          builder=self,
          description=f'{what.title}: encoded clips.',
          homepage=what.homepage,
          features=tfds.features.FeaturesDict(
              {
                  # A video file; empty for a folder of numbered images.
                  'video': encoded,
                  'images': tfds.features.Sequence(encoded),
                  'label': tfds.features.ClassLabel(names=names),
                  'path': tfds.features.Text(),
                  'num_frames': np.int32,
                  'fps': np.float32,
                  'width': np.int32,
                  'height': np.int32,
                  # Why it cannot be decoded; '' if it can.
                  'error': tfds.features.Text(),
              }
          ),
          metadata=tfds.core.MetadataDict(),
          disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      del dl_manager
      plan = plans[self.builder_config.name]
      self.info.metadata.update(class_names=plan.class_names, lists={})
      return {
          role: self._generate_examples(plan.store, clips)
          for role, clips in plan.lists.items()
      }

    def _generate_examples(self, store: FileTree, clips: ClipList):
      # TFDS sorts by key, in memory for keys that share their first bits.
      step = 2**128 // len(clips.records)
      stored = []
      for place, record in enumerate(clips.records):
        video, images, probe = _contents(store, record, probes[record.path])
        stored.append(probe)
        yield (
            place * step,
            {
                'video': video,
                'images': images,
                'label': record.label,
                'path': record.path,
                'num_frames': probe.num_frames,
                'fps': probe.fps,
                'width': probe.width,
                'height': probe.height,
                'error': probe.error or '',
            },
        )
      about = store_lib.describe(clips, stored)
      self.info.metadata['lists'][clips.name] = about

  return Builder


def _describe(name: str, kind: str) -> Description:
  if name.startswith(f'{_EPIC}_'):
    name, kind = _EPIC, name.removeprefix(f'{_EPIC}_')
  if name not in datasets.OFFICIAL:
    known = ', '.join(datasets.OFFICIAL)
    raise UserError(f'wanted one data set of {known}, found {name}.')
  return datasets.describe(name, kind)


def _plans(
    what: Description, root, on_missing, rule, splits, report_folder
) -> dict[str, Plan]:
  """Reads the lists of all splits, so that what is missing is told at once."""
  layout = description.find_layout(what, root, rule)
  store = what.open_store(layout.videos)
  table = _table(what, layout.lists, store)
  rewrite = locate.path_rule(rule, '--path_rule')
  plans = {}
  for split in splits or what.splits:
    description.check_split(what, split)
    lists = {}
    for role in what.roles if layout.lists else ():
      listing = description.official_listing(what, layout.lists, role, split)
      if listing is None:
        print(f'note: there is no {what.list_title(role, split)}.')
        continue
      listing = locate.rewrite(listing, rewrite)
      located = locate.locate(
          [listing],
          store,
          what.class_of,
          report_folder,
          on_missing,
          advice='Complete the download, or build what there is: '
          '--on_missing=skip.',
      )
      (lists[role],) = labels.number(
          located, table, what.class_of, what.repeats
      )
    if not lists:
      continue
    if not what.only_listed:
      lists |= _unlisted(what, store, table, lists)
    _check_whole(store, lists)
    plans[store_lib.config_name(split)] = Plan(store, list(table.raw), lists)
  if not plans:
    raise UserError(
        f'the official lists of {what.title} were not found near '
        f'{layout.videos}.\n  {what.wanted}'
    )
  return plans


def _unlisted(what, store, table, lists) -> dict[str, ClipList]:
  """The clips that lists of others may name."""
  listed = {r.path for clips in lists.values() for r in clips.records}
  known = classes.match(map(what.class_of, store.keys), table.raw)
  records = []
  for path in store.keys:
    name = what.class_of(path)
    label = known.get(name) if name else -1
    if path not in listed and label is not None:
      records.append(ClipRecord(path, label))
  if not records:
    return {}
  name = store_lib.UNLISTED
  return {name: ClipList(name, tuple(records), 'clips in no list')}


def _check_whole(store: FileTree, lists: dict[str, ClipList]):
  for clips in lists.values():
    for record in clips.records:
      piece = record.key != record.path
      if piece and not os.path.isdir(store.media(record.path)):
        raise UserError(
            f'{record.path} is a long video, of which the lists name pieces; '
            'pieces are stored from folders of images only (rgb_frames). Read '
            'the videos themselves: data.root.'
        )


def _table(what: Description, lists, store: FileTree) -> Classes:
  table = what.read_classes(lists)
  if table is not None:
    return table
  counts = collections.Counter(what.class_of(key) for key in store.keys)
  if '' in counts:
    raise UserError(
        f'{[*what.class_files, "the file of the class names"][0]} of '
        f'{what.title} was not found beside the lists ({lists}).\n'
        f'  {what.wanted}'
    )
  return Classes.of(sorted(counts), 'the class folders, sorted')


def _probe(plans: dict[str, Plan]) -> dict[str, Probe]:
  """Examines each file once; names and keys are the same on every machine."""
  store = next(iter(plans.values())).store
  lists = [x for plan in plans.values() for x in plan.lists.values()]
  paths = list(dict.fromkeys(r.path for x in lists for r in x.records))
  with tqdm(total=len(paths), desc='check clips', unit='clip') as bar:
    found = probe_many(
        [store.media(path) for path in paths],
        progress=lambda *_: bar.update(1),
    )
  return {
      path: dataclasses.replace(probe, name=path, key=f'tfds:{path}')
      for path, probe in zip(paths, found, strict=True)
  }


def _contents(
    store: FileTree, record: ClipRecord, probe: Probe
) -> tuple[bytes, list[bytes], Probe]:
  """A video file's bytes or those of images, and what is known of them.

  Broken clips are stored too: what is done with them is decided when they are
  used (data.on_broken).
  """
  path = pathlib.Path(store.media(record.path))
  try:
    if path.is_file():
      return path.read_bytes(), [], probe
    first, stop = frames_of(record, probe, store.counts_from)
    names = [
        probe.images.format(probe.first_image + k)
        for k in range(first, stop)
    ]
    images = [(path / name).read_bytes() for name in names]
  except (OSError, VideoError) as e:
    return b'', [], dataclasses.replace(probe, error=probe.error or str(e))
  probe = dataclasses.replace(
      probe,
      num_frames=stop - first,
      size_bytes=sum(map(len, images)),
      first_image=probe.first_image + first,
      broken=(),
  )
  if record.key != record.path:
    probe = dataclasses.replace(probe, piece=(0, stop - first))
  return b'', images, probe


if __name__ == '__main__':
  define_flags()
  cli.run(main)
