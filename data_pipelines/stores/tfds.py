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

from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipRecord
from data_pipelines.loaders import quiet_tensorflow
from data_pipelines.stores.files import Names
from data_pipelines.video.probe import Probe

SPLIT = 'clips'
# What the name of a folder ends in while it is being built.
UNFINISHED = '.unfinished'
_INDEX = 'clip_index.json'
_VERSION = 2


class Archive:
  """A folder made by `python -m data_pipelines.build`.

  Attributes:
    folder: where the shards are.
    keys: paths of all clips, in the order of the shards. Pieces of one film
      have one path.
    class_names: raw names in label order.
    counts_from: pieces are cut: their frames count from the first one.
  """

  counts_from: int | None = None

  def __init__(self, folder: str, name: str):
    """Reads the index of the clips; makes it if there is none.

    Args:
      folder: data.tfds_dir, what --out was in building, or the folder in it
        with the shards.
      name: of the TFDS data set, such as 'ucf101_clips'.

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
    self.keys: list[str] = list(
        dict.fromkeys(clip['path'] for clip in index['clips'])
    )
    self._paths = frozenset(self.keys)

  def __str__(self) -> str:
    return str(self.folder)

  def find(self, path: str) -> str | None:
    """The key of the clip a list means by `path`, or None."""
    return path if path in self._paths else self._names.find(path)

  def find_by_name(self, path: str) -> str | None:
    """The same: an archive finds by name in any case."""
    return self.find(path)

  def media(self, key: str) -> bytes:
    """The encoded clip."""
    return self._data[self._clips[key]['row']]['clip']

  def stored(self, record: ClipRecord) -> str:
    """The key under which a record's frames are.

    Raises:
      UserError: a piece of a film of which other pieces are stored.
    """
    for key in (record.key, record.path):
      if key in self._clips:
        return key
    raise UserError(
        f'{self.folder} holds pieces of {record.path}, but not {record.key}: '
        'only pieces of the official lists are stored. Read the videos '
        'themselves (data.root).'
    )

  def stored_keys(self) -> list[str]:
    """The keys of all that is stored, in the order of the shards."""
    return list(self._clips)

  def probes(self, keys: Sequence[str]) -> dict[str, Probe]:
    """What was found out about the files when the folder was built."""
    return {k: Probe.from_dict(self._clips[k]['probe']) for k in keys}

  def official(self, name: str) -> tuple[list[tuple[str, dict]], int]:
    """An official list as far as its clips are stored.

    Args:
      name: role and split, such as 'train1'.

    Returns:
      ([(path, what the list says of it), ...] in the order of the list, the
      length of the list). An `Item` is made of each. The first is empty if
      the folder was built without that list.
    """
    found = {}
    for clip in self._clips.values():
      first = clip['lists'].get(name)
      for said in (first, *first.get('again', ())) if first else ():
        found[said['place']] = clip['path'], said
    items = []
    for place, (path, said) in sorted(found.items()):
      fields = {k: v for k, v in said.items() if k not in ('place', 'again')}
      items.append((path, {'line': place + 1} | fields))
    return items, self._lengths.get(name, 0)

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
    try:
      _write_index(self.folder, index)
    except OSError as e:
      tqdm.write(f'note: {path} cannot be written ({e}); it saves time.')
    return index

  def _make_index(self) -> dict[str, Any]:
    """Goes through the shards once."""
    clips = []
    for row in tqdm(range(len(self._data)), 'index clips', unit='clip'):
      example = self._data[row]
      if 'path' not in example:
        raise UserError(
            f'{self.folder} was built by an earlier version: build it again.'
        )
      fields = 'key', 'path', 'probe', 'lists'
      clips.append(index_entry({f: example[f].decode() for f in fields}))
    info = self._builder.info
    lengths = (info.metadata or {}).get('list_lengths', {})
    return _index(info.features['label'].names, lengths, clips)


def index_entry(example: dict[str, Any]) -> dict[str, Any]:
  """What the index holds of an example: all but the clip itself."""
  return {
      'key': example['key'],
      'path': example['path'],
      'probe': json.loads(example['probe']),
      'lists': json.loads(example['lists']),
  }


def write_index(
    folder: pathlib.Path,
    class_names: list[str],
    list_lengths: dict[str, int],
    entries: list[dict[str, Any]],
):
  """Saves whoever opens the folder from going through the shards.

  Args:
    folder: the one with the shards.
    class_names: raw names in label order.
    list_lengths: lines of the official lists.
    entries: `index_entry` of every example in the order of the shards.
  """
  _write_index(folder, _index(class_names, list_lengths, entries))


def _index(class_names, list_lengths, entries) -> dict[str, Any]:
  return {
      'version': _VERSION,
      'class_names': class_names,
      'list_lengths': dict(list_lengths),
      'clips': entries,
  }


def _write_index(folder: pathlib.Path, index: dict[str, Any]):
  partial = folder / f'.{_INDEX}'
  partial.write_text(json.dumps(index), encoding='utf-8')
  partial.replace(folder / _INDEX)


def _find(folder: str, name: str) -> pathlib.Path:
  base = pathlib.Path(folder).expanduser().absolute()
  places = [base, *sorted(base.glob(f'{name}/*'), reverse=True)]
  for place in places:
    file = place / 'dataset_info.json'
    if not file.is_file() or place.name.endswith(UNFINISHED):
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
