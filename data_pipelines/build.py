"""python -m data_pipelines.build DATASET --root=DIR --out=DIR

Copies a downloaded data set into a few large files of TensorFlow Datasets
(TFDS). Training does not need this, but it avoids opening thousands of small
files, which is slow on network disks and object stores. See docs/tfds.md.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from data_pipelines import cli, datasets, quiet_tensorflow, settings
from data_pipelines.datasets import description, official
from data_pipelines.errors import UserError
from data_pipelines.lists import classes, labels, locate
from data_pipelines.lists.clips import ClipList, ClipRecord, Listing
from data_pipelines.loaders.source import frames_of
from data_pipelines.stores.files import LEAST_BYTES, FileTree
from data_pipelines.stores.tfds import UNLISTED, config_name
from data_pipelines.video.probes import Probe, probe_many
from data_pipelines.video.read import VideoError

VERSION = '3.0.0'
# Fields of a clip's probe that are features of the data set.
_NUMBERS = {
    'num_frames': np.int32, 'fps': np.float32, 'width': np.int32,
    'height': np.int32,
}  # fmt: skip
_EPIC = 'epic_kitchens100_'


def define_flags():
  """Defines this command's flags, some of which other commands have as well."""
  flags.DEFINE_string('root', '', 'Folder of the official download.')
  flags.DEFINE_string('out', '', 'Folder to write to (data.tfds_dir).')
  flags.DEFINE_list('splits', [], 'Such as 1,3; default: all with lists.')
  flags.DEFINE_string('kind', 'verb', 'EPIC-Kitchens-100: verb, noun, action.')
  ways = ['error', 'skip']
  flags.DEFINE_enum('on_missing', 'error', ways, 'For missing listed clips.')
  rule = 'REGEX=>REPLACEMENT for the paths in the lists (data.path_rule).'
  flags.DEFINE_string('path_rule', '', rule)


def main(args: list[str]):
  """Builds the data set that the command line names."""
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
  """Builds official splits of a data set; existing ones are kept.

  The arguments are those of the command; without `splits`, it builds all whose
  lists are found. Returns the folders with the shards, one for each split.

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
  plans, folders = {}, []
  lists = description.find_lists(what, root)
  for split in splits or what.splits:
    description.check_split(what, split)
    config = config_name(split)
    place = out_dir / what.archive_name / config / VERSION
    if place.is_dir():
      print(f'{place} exists already; delete it to build it again.')
    elif found := _listings(what, lists, split, rule):
      with _writing(out):
        # Before the clips are examined, which may take hours.
        out_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out_dir).close()
      for left in place.parent.glob('incomplete.*'):
        print(f'note: if no other build is running, delete {left}.')
      found = locate.locate(
          found,
          store,
          what.class_of,
          settings.make(on_missing=on_missing, most_missing=1.0),
          out_dir,
          advice='Complete the download, or build what is there: '
          '--on_missing=skip.',
      )
      plans[config] = _plan(what, lists, store, found)
    else:
      continue
    folders.append(place)
  if not folders:
    raise UserError(
        f'the official lists of {what.title} were not found near '
        f'{store}.\n  {what.wanted}'
    )
  quiet_tensorflow.load()
  import tensorflow_datasets as tfds

  probes = _probe(store, plans)
  for config, plan in plans.items():
    with _writing(out), tempfile.TemporaryDirectory() as unused:
      builder = _builder(what, store, out_dir, config, *plan, probes)
      # TFDS wants a folder for downloads, though there are none.
      how = tfds.download.DownloadConfig(try_download_gcs=False)
      builder.download_and_prepare(download_dir=unused, download_config=how)
  broken = [p.name for p in probes.values() if p.error]
  if broken:
    print(
        f'{len(broken)} clips cannot be decoded, such as {broken[0]}; see '
        'data.on_broken.'
    )
  print(f'use it with --config.data.tfds_dir={out}')
  return folders


@contextlib.contextmanager
def _writing(out: str):
  """Says of which folder an error of writing is."""
  tf = quiet_tensorflow.load()
  try:
    yield
  except (OSError, tf.errors.OpError, RuntimeError) as e:
    # What ArrayRecord raises of a full disk.
    if isinstance(e, RuntimeError) and 'write() failed' not in str(e):
      raise
    raise UserError(f'cannot write to --out={out}: {e}.') from e


def _listings(what, folder, split: int, rule: str) -> list[Listing]:
  """Reads the official lists of a split that are found."""
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
  """Returns (raw class names, lists, with the unlisted clips as the last)."""
  table = what.read_classes(folder) or official.infer(what, listings)
  lists = labels.number(listings, table, what.class_of, what.repeats)
  records = [record for clips in lists for record in clips.records]
  for record in records:
    piece = record.key != record.path
    if piece and not os.path.isdir(store.media(record.path)):
      raise UserError(
          f'{record.path} is a long video of which the lists name segments; '
          'these are stored only from folders of images (rgb_frames). Read '
          'the videos themselves: data.root.'
      )
  # Unlisted clips are stored too: other authors' lists may name them.
  listed = {record.path for record in records}
  keys = () if what.only_listed else store.keys
  rest = [key for key in keys if key not in listed]
  known = classes.match(map(what.class_of, rest), table.raw)
  rest = tuple(ClipRecord(k, known.get(what.class_of(k), -1)) for k in rest)
  return table.raw, lists + ([ClipList(UNLISTED, rest)] if rest else [])


def _probe(store: FileTree, plans) -> dict[str, Probe]:
  """Examines each file; names and keys do not depend on the machine."""
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


def _builder(what, store: FileTree, out_dir, config, names, lists, probes):
  """Makes the `tfds.core.DatasetBuilder` of a split, with encoded clips.

  'train', 'val' and 'test' are the official lists in their order, 'unlisted'
  are the other clips (label -1 = unknown class).
  """
  import tensorflow_datasets as tfds

  # TFDS wants distinct names; a class file may leave out numbers.
  distinct = [name or f'class {k}' for k, name in enumerate(names)]
  encoded = tfds.features.Tensor(shape=(), dtype=np.object_)
  features = {
      # A video file; empty for a folder of numbered images.
      'video': encoded,
      'images': tfds.features.Sequence(encoded),
      'label': tfds.features.ClassLabel(names=distinct),
      'path': tfds.features.Text(),
      # Why the clip cannot be decoded; '' if it can.
      'error': tfds.features.Text(),
      **_NUMBERS,
  }
  # `stores.tfds` reads this; lists are added as their clips are written.
  metadata = tfds.core.MetadataDict(class_names=list(names), lists={})

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = what.archive_name
    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)]
    # No downloads. (To look for URLs, TFDS 4.9.10 would import
    # importlib_resources, which it does not require.)
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
      return tfds.core.DatasetInfo(
          builder=self,
          description=f'{what.title}: encoded clips.',
          homepage=what.homepage,
          features=tfds.features.FeaturesDict(features),
          metadata=metadata,
          disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      return {clips.name: self._generate_examples(clips) for clips in lists}

    def _generate_examples(self, clips: ClipList):
      # TFDS sorts by key, in memory where keys share their first bits: spread
      # them out.
      step, about = 2**128 // len(clips.records), []
      for place, record in enumerate(clips.records):
        video, images, probe = _contents(store, record, probes[record.path])
        about.append({
            'record': vars(record),
            'probe': probe.to_dict(),
            'sha256': _digest((video, *images)),
        })
        yield place * step, {
            'video': video,
            'images': images,
            'label': record.label,
            # As bytes, since file names need not be UTF-8.
            'path': os.fsencode(record.path),
            'error': os.fsencode(probe.error or ''),
        } | {name: getattr(probe, name) for name in _NUMBERS}
      where = {'from': clips.origin, 'missing': list(clips.missing)}
      metadata['lists'][clips.name] = where | {'clips': about}

  array_record = tfds.core.FileFormat.ARRAY_RECORD
  return Builder(data_dir=out_dir, config=config, file_format=array_record)


def _digest(parts: Sequence[bytes]) -> str:
  """Returns the SHA-256 of the contents; '' if they are too short to tell."""
  if sum(map(len, parts)) < LEAST_BYTES:
    return ''
  digests = (hashlib.sha256(part).digest() for part in parts)
  return hashlib.sha256(b''.join(digests)).hexdigest()


def _contents(
    store: FileTree, record: ClipRecord, probe: Probe
) -> tuple[bytes, list[bytes], Probe]:
  """Returns (bytes of a video file, bytes of images, probe).

  Broken clips are stored too: data.on_broken decides when they are used.
  """
  path = pathlib.Path(store.media(record.path))
  try:
    if path.is_file():
      return path.read_bytes(), [], probe
    first, stop = frames_of(record, probe, store.counts_from)
    numbers = range(probe.first_image + first, probe.first_image + stop)
    images = [(path / probe.images.format(n)).read_bytes() for n in numbers]
  except (OSError, VideoError) as e:
    return b'', [], dataclasses.replace(probe, error=probe.error or str(e))
  probe = dataclasses.replace(
      probe,
      num_frames=len(images),
      size_bytes=sum(map(len, images)),
      first_image=numbers[0],
      broken=(),
      piece=() if record.key == record.path else (0, len(images)),
  )
  return b'', images, probe


if __name__ == '__main__':
  define_flags()
  cli.run(main)
