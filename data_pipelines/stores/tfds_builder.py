"""The TFDS builder of a data set: encoded clips in the order of its lists.

Each official split is a config. In it, 'train', 'val' and 'test' are the
official lists, and 'unlisted' are the other clips. Clips are stored as they
are: the bytes of a video file, or those of numbered images.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines.datasets.description import Description
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.loaders.source import frames_of
from data_pipelines.stores import tfds as store_lib
from data_pipelines.stores.files import LEAST_BYTES, FileTree
from data_pipelines.video.probes import Probe
from data_pipelines.video.read import VideoError

VERSION = '3.0.0'
# What is stored of a clip's probe.
_NUMBERS = {
    'num_frames': np.int32, 'fps': np.float32, 'width': np.int32,
    'height': np.int32,
}  # fmt: skip
# Of each config by its name: the raw class names in label order, and the clips
# of each TFDS split (label -1 = nothing tells the class).
Plans = dict[str, tuple[Sequence[str], list[ClipList]]]


def make(
    what: Description, store: FileTree, plans: Plans, probes: dict[str, Probe]
):
  """Makes the `tfds.core.GeneratorBasedBuilder` class of a data set.

  `probes` are those of all files by their paths in the store.
  """
  import tensorflow_datasets as tfds

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Encoded clips in the order of the official lists."""

    name = what.archive_name
    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in plans]
    # Nothing is fetched. (TFDS 4.9.10 would look for addresses with a package,
    # importlib_resources, that it does not require.)
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
      # A class file may leave numbers out; names here have to be distinct.
      names, _ = plans[self.builder_config.name]
      names = [name or f'class {k}' for k, name in enumerate(names)]
      encoded = tfds.features.Tensor(shape=(), dtype=np.object_)
      features = {
          # A video file; empty for a folder of numbered images.
          'video': encoded,
          'images': tfds.features.Sequence(encoded),
          'label': tfds.features.ClassLabel(names=names),
          'path': tfds.features.Text(),
          # Why it cannot be decoded; '' if it can.
          'error': tfds.features.Text(),
          **_NUMBERS,
      }
      return tfds.core.DatasetInfo(
          builder=self,
          description=f'{what.title}: encoded clips.',
          homepage=what.homepage,
          features=tfds.features.FeaturesDict(features),
          metadata=tfds.core.MetadataDict(),
          disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      del dl_manager
      names, lists = plans[self.builder_config.name]
      self.info.metadata.update(class_names=list(names), lists={})
      return {clips.name: self._generate_examples(clips) for clips in lists}

    def _generate_examples(self, clips: ClipList):
      # TFDS sorts by key, in memory for keys that share their first bits.
      step = 2**128 // len(clips.records)
      stored = []
      for place, record in enumerate(clips.records):
        video, images, probe = _contents(store, record, probes[record.path])
        stored.append((probe, _digest((video, *images))))
        yield place * step, {
            'video': video,
            'images': images,
            'label': record.label,
            'path': record.path,
            'error': probe.error or '',
        } | {name: getattr(probe, name) for name in _NUMBERS}
      about = store_lib.describe(clips, stored)
      self.info.metadata['lists'][clips.name] = about

  return Builder


def _digest(parts: Sequence[bytes]) -> str:
  if sum(map(len, parts)) < LEAST_BYTES:
    return ''
  digests = (hashlib.sha256(part).digest() for part in parts)
  return hashlib.sha256(b''.join(digests)).hexdigest()


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
