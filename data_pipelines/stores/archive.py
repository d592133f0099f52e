"""Clips in a prepared TFDS folder, read at random by their keys.

The folder holds every clip of a data set once, as encoded bytes with what is
known of the file. Lists choose among them, so that one folder serves all.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from data_pipelines import quiet_tensorflow
from data_pipelines.stores.file_tree import Names
from data_pipelines.video_files.probe import Probe
from evclip_jax.errors import UserError

SPLIT = 'clips'
_INDEX = 'clip_index.json'
_VERSION = 1


class Archive:
  """A folder made by `python -m data_pipelines.build`.

  Attributes:
    folder: where the shards are.
    keys: all clips, in the order of the shards.
    class_names: raw names in label order.
  """

  def __init__(self, folder: str, name: str = 'ucf101_clips'):
    """Reads the index of the clips; makes it if there is none.

    Args:
      folder: data.tfds_dir, what --out was in building, or the folder in it
        with the shards.
      name: of the TFDS data set.

    Raises:
      UserError: no such folder, not built, or built by another version.
    """
    self.folder = _find(folder, name)
    index = self._load_index()
    self.class_names: list[str] = index['class_names']
    self._lengths: dict[str, int] = index['list_lengths']
    self._clips: dict[str, dict[str, Any]] = {
        clip['key']: clip | {'row': row}
        for row, clip in enumerate(index['clips'])
    }
    self.keys: list[str] = list(self._clips)

  def __str__(self) -> str:
    return str(self.folder)

  def find(self, path: str) -> str | None:
    """The key of the clip a list means by `path`, or None."""
    return path if path in self._clips else self._names.find(path)

  def media(self, key: str) -> bytes:
    """The encoded clip."""
    return self._data[self._clips[key]['row']]['clip']

  def probes(self, keys: Sequence[str]) -> dict[str, Probe]:
    """What was found out about the files when the folder was built."""
    return {k: Probe.from_dict(self._clips[k]['probe']) for k in keys}

  def official(self, name: str, split: int) -> list[str]:
    """Keys of an official list in its order.

    Args:
      name: 'train' or 'test'.
      split: 1, 2 or 3.

    Returns:
      [] if the folder was built without that list.

    Raises:
      UserError: clips of the list were missing in building.
    """
    place = f'{name}{split}'
    found = sorted(
        (clip['lists'][place], key)
        for key, clip in self._clips.items()
        if place in clip['lists']
    )
    if len(found) < self._lengths.get(place, 0):
      raise UserError(
          f'{self.folder} was built from an incomplete download: it has '
          f'{len(found)} of the {self._lengths[place]} clips of the official '
          f'{name} list {split}. Give data.{name}_list with the clips there '
          'are, or build it again.'
      )
    return [key for _, key in found]

  @functools.cached_property
  def _names(self) -> Names:
    return Names(self.keys)

  @functools.cached_property
  def _data(self):
    return self._builder.as_data_source(SPLIT)

  @functools.cached_property
  def _builder(self):
    quiet_tensorflow.load()
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(self.folder)

  def _load_index(self) -> dict[str, Any]:
    path = self.folder / _INDEX
    if path.is_file():
      index = json.loads(path.read_text(encoding='utf-8'))
      if index['version'] == _VERSION:
        return index
    index = self._make_index()
    partial = path.with_name(f'.{_INDEX}')
    try:
      partial.write_text(json.dumps(index), encoding='utf-8')
      partial.replace(path)
    except OSError as e:
      tqdm.write(f'note: {path} cannot be written ({e}); it saves time.')
    return index

  def _make_index(self) -> dict[str, Any]:
    """Goes through the shards once."""
    clips = []
    for row in tqdm(range(len(self._data)), 'index clips', unit='clip'):
      example = self._data[row]
      clips.append(
          {
              'key': example['key'].decode(),
              'probe': json.loads(example['probe']),
              'lists': json.loads(example['lists']),
          }
      )
    info = self._builder.info
    return {
        'version': _VERSION,
        'class_names': info.features['label'].names,
        'list_lengths': (info.metadata or {}).get('list_lengths', {}),
        'clips': clips,
    }


def _find(folder: str, name: str) -> pathlib.Path:
  base = pathlib.Path(folder).expanduser().absolute()
  places = [base, *sorted(base.glob(f'{name}/*'), reverse=True)]
  for place in places:
    file = place / 'dataset_info.json'
    if not file.is_file():
      continue
    found = json.loads(file.read_text(encoding='utf-8')).get('name')
    if found != name:
      raise UserError(f'{place} holds the data set {found!r}, not {name!r}.')
    return place
  raise UserError(
      f'data.tfds_dir={folder} holds no finished {name}. Build it with '
      f'python -m data_pipelines.build {name.removesuffix("_clips")} '
      f'--root=DIR --out={folder}'
  )
