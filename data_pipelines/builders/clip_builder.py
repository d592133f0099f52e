"""The TFDS builder of every data set: encoded clips, written shard by shard.

No frame is decoded into the data set: frames are read from the bytes when they
are needed, only those that are needed. A builder of a data set names the
`Description` of it and nothing else.
"""

import json
import os
import pathlib
import shutil
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from data_pipelines.builders import encoded
from data_pipelines.builders.plan import Clip, Plan, make
from data_pipelines.datasets.description import Description
from data_pipelines.stores import tfds as archive

_DIGEST = 'plan.sha256'
# Suffix of the part of the index that belongs to a shard.
_PART = '.index'


class ClipBuilder(
    tfds.core.dataset_builder.FileReaderBuilder, skip_registration=True
):
  """A data set of encoded clips in the order of their keys.

  A subclass sets `name` and `DESCRIPTION`. TFDS's own writer sorts all clips
  through a temporary file and begins anew after a kill; `prepare` writes each
  shard to its place and keeps those that are whole. The shards are the same
  whatever happened in between.
  """

  VERSION = tfds.core.Version('2.0.0')
  RELEASE_NOTES = {'2.0.0': 'Encoded clips with probes and official lists.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'Give the folder of the official download.'
  DESCRIPTION: Description
  # Nothing is fetched. (TFDS 4.9.10 would look for a list of addresses with
  # the help of a package, importlib_resources, that it does not require.)
  url_infos = None

  @property
  def folder(self) -> pathlib.Path:
    """Where the finished data set is."""
    return pathlib.Path(self.data_dir)

  def prepare(self, plan: Plan):
    """Writes the data set, or what is left of it after an interruption.

    Args:
      plan: what to store. What was begun with another plan is thrown away.

    Raises:
      OSError: the disk is full or cannot be written.
    """
    unfinished = self.folder.with_name(self.folder.name + archive.UNFINISHED)
    digest = unfinished / _DIGEST
    mark = plan.digest()
    if not digest.is_file() or digest.read_text() != mark:
      shutil.rmtree(unfinished, ignore_errors=True)
      unfinished.mkdir(parents=True)
      digest.write_text(mark)
    self._write(plan, unfinished)
    unfinished.rename(self.folder)
    # Until here a further call could still go on.
    _tidy(self.folder)
    self.info.update_data_dir(str(self.folder))

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description='Encoded clips, and how to read each of them.',
        homepage=self.DESCRIPTION.homepage,
        features=features(),
        metadata=tfds.core.MetadataDict(),
    )

  def _download_and_prepare(self, dl_manager, download_config):
    """What TFDS calls; it does not go on after an interruption."""
    del download_config
    plan = make(self.DESCRIPTION, str(dl_manager.manual_dir))
    self._write(plan, self.folder)
    _tidy(self.folder)

  def _write(self, plan: Plan, folder: pathlib.Path):
    # A class file may leave numbers out; names here have to be distinct.
    self.info.features['label'].names = [
        name or f'class {k}' for k, name in enumerate(plan.raw_names)
    ]
    self.info.metadata['list_lengths'] = plan.list_lengths
    name = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=self.name,
        split=archive.SPLIT,
        filetype_suffix='array_record',
    )
    shards = [
        plan.clips[k : k + plan.clips_per_shard]
        for k in range(0, len(plan.clips), plan.clips_per_shard)
    ]
    files = [
        pathlib.Path(file) for file in name.sharded_filepaths(len(shards))
    ]
    left = sum(not file.is_file() for file in files)
    if left < len(shards):
      print(f'{len(shards) - left} of {len(shards)} shards are there already')
    progress = tfds.core.utils.tqdm(total=left, desc='write', unit='shard')
    for file, clips in zip(files, shards, strict=True):
      if not file.is_file():
        self._write_shard(plan, clips, file)
        progress.update()
    progress.close()
    self.info.set_splits(
        tfds.core.splits.SplitDict(
            [
                tfds.core.splits.SplitInfo(
                    name=archive.SPLIT,
                    shard_lengths=[len(clips) for clips in shards],
                    num_bytes=sum(file.stat().st_size for file in files),
                    filename_template=name,
                )
            ]
        )
    )
    self.info.write_to_directory(folder)
    parts = [_index_part(file) for file in files]
    entries = [e for part in parts for e in json.loads(part.read_text())]
    archive.write_index(folder, plan.raw_names, plan.list_lengths, entries)

  def _write_shard(self, plan: Plan, clips: Sequence[Clip], file: pathlib.Path):
    """A file has its name only when it is whole and on the disk."""
    # Of this process: another one that builds the same writes the same.
    partial = file.with_name(f'{file.name}.{os.getpid()}.partial')
    entries = []
    writer = ArrayRecordWriter(str(partial), 'group_size:1')
    try:
      for example in encoded.examples(plan.store, clips):
        writer.write(_serialize(self.info.features, example))
        entries.append(archive.index_entry(example))
    finally:
      writer.close()
    _index_part(file).write_text(json.dumps(entries))
    for written in (partial, _index_part(file)):
      with open(written, 'rb+') as opened:
        os.fsync(opened.fileno())
    # Last, for it says that the shard is done.
    partial.replace(file)


def _index_part(shard: pathlib.Path) -> pathlib.Path:
  return shard.with_name(shard.name + _PART)


def _tidy(folder: pathlib.Path):
  left_over = [*folder.glob(f'*{_PART}'), *folder.glob('*.partial')]
  for file in (*left_over, folder / _DIGEST):
    file.unlink(missing_ok=True)


def _serialize(fields: tfds.features.FeaturesDict, example) -> bytes:
  """As TFDS does, but the same bytes in every process."""
  message = tf.train.Example.FromString(fields.serialize_example(example))
  # The fields are a protobuf map, which has no order of its own.
  return message.SerializeToString(deterministic=True)


def features() -> tfds.features.FeaturesDict:
  """The fields of an example; the plan adds the names of the classes."""
  text = tfds.features.Text()
  return tfds.features.FeaturesDict(
      {
          'clip': tfds.features.Tensor(
              shape=(), dtype=tf.string, doc='the file as it is, or a piece'
          ),
          # The piece of a film has the film's path and a key of its own.
          'key': text,
          'path': text,
          # -1 if nothing tells the class.
          'label': tfds.features.ClassLabel(),
          'sha1': text,
          'num_frames': tf.int32,
          'fps': tf.float32,
          'codec': text,
          'width': tf.int32,
          'height': tf.int32,
          'decoder': text,
          'error': text,
          # JSON: all that probe.Probe says; what official lists say.
          'probe': text,
          'lists': text,
      }
  )
