"""What every builder stores of a clip: the file's bytes and what is known.

No frame is decoded into the data set: frames are read from the bytes when they
are needed, only those that are needed. A builder for another data set adds a
`make_plan` and a class of a few lines.
"""

import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipelines.stores.archive import SPLIT
from data_pipelines.stores.file_tree import FileTree
from data_pipelines.video_files.probe_cache import probe_many

# Files examined in parallel before the next ones are written.
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip to store.

  Attributes:
    key: path below the data set's folder.
    label: class number.
    lists: its position in the official lists it is in, such as
      {'train1': 17, 'test2': 3}.
  """

  key: str
  label: int
  lists: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a download holds.

  Attributes:
    store: its videos.
    raw_names: class names in label order.
    clips: what will be stored, in order.
    list_lengths: lines of the official lists, such as {'train1': 9537}.
    missing: clips of these lists that are not there.
  """

  store: FileTree
  raw_names: list[str]
  clips: list[Clip]
  list_lengths: dict[str, int]
  missing: list[str]


class ClipBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A data set of encoded clips; `manual_dir` is the download's folder.

  The shards are in the order of the keys' hashes, the same every time. (In an
  order of its own TFDS would hold all clips in memory at once.)

  A subclass sets `name`, `VERSION`, `HOMEPAGE`,
  `MANUAL_DOWNLOAD_INSTRUCTIONS`, and defines `make_plan`.
  """

  HOMEPAGE = ''
  # Nothing is fetched. (TFDS 4.9.10 would look for a list of addresses with
  # the help of a package, importlib_resources, that it does not require.)
  url_infos = None

  @staticmethod
  def make_plan(root: str) -> Plan:
    """What to store of the download in `root`."""
    raise NotImplementedError

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description='Encoded clips, and how to read each of them.',
        homepage=self.HOMEPAGE,
        features=features(),
        metadata=tfds.core.MetadataDict(),
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    plan = self.make_plan(str(dl_manager.manual_dir))
    self.info.features['label'].names = plan.raw_names
    self.info.metadata['list_lengths'] = plan.list_lengths
    return {SPLIT: self._generate_examples(plan)}

  def _generate_examples(self, plan: Plan):
    return examples(plan.store, plan.clips)


def features() -> tfds.features.FeaturesDict:
  """The fields of an example; the plan adds the names of the classes."""
  text = tfds.features.Text()
  return tfds.features.FeaturesDict(
      {
          'clip': tfds.features.Tensor(
              shape=(), dtype=tf.string, doc='the file as it is'
          ),
          'key': text,
          'label': tfds.features.ClassLabel(),
          'sha1': text,
          'num_frames': tf.int32,
          'fps': tf.float32,
          'codec': text,
          'width': tf.int32,
          'height': tf.int32,
          'decoder': text,
          'error': text,
          # JSON: all that probe.Probe says, and positions in official lists.
          'probe': text,
          'lists': text,
      }
  )


def examples(
    store: FileTree, clips: Iterable[Clip], workers: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
  """(key, example) of every clip, in order.

  A broken file is stored too, with the reason: whether it is an error or left
  out is decided when it is used (data.on_broken).

  Args:
    store: the files.
    clips: what to store.
    workers: processes that examine files; 0 = one per core.
  """
  clips = iter(clips)
  while some := list(itertools.islice(clips, _AT_ONCE)):
    paths = [store.media(clip.key) for clip in some]
    probes = probe_many(paths, workers)
    for clip, path, probe in zip(some, paths, probes, strict=True):
      contents = pathlib.Path(path).read_bytes()
      sha1 = hashlib.sha1(contents).hexdigest()
      # The same on every machine: no path, no time of change.
      probe = dataclasses.replace(probe, name=clip.key, key=f'sha1:{sha1}')
      yield (
          clip.key,
          {
              'clip': contents,
              'key': clip.key,
              'label': clip.label,
              'sha1': sha1,
              'num_frames': probe.num_frames,
              'fps': probe.fps,
              'codec': probe.codec,
              'width': probe.width,
              'height': probe.height,
              'decoder': probe.decoder,
              'error': probe.error or '',
              'probe': json.dumps(probe.to_dict(), sort_keys=True),
              'lists': json.dumps(clip.lists, sort_keys=True),
          },
      )
