"""Reads encoded clips by key from a folder of TensorFlow Datasets.

`data_pipelines.build` makes such a folder: a data set with one config for each
official split, which holds the clips of its lists as originally encoded. Lists
and probes of the clips are in its `metadata.json`.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from data_pipelines import quiet_tensorflow
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.stores.files import FileTree, Names
from data_pipelines.video.probes import Probe

# Name of the TFDS split with the clips that are in no official list.
UNLISTED = 'unlisted'
_INFO, _METADATA = 'dataset_info.json', 'metadata.json'


class TfdsStore:
  """Reads one official split of a data set that `data_pipelines.build` wrote.

  `folder` is where the shards are, `keys` are the paths of all clips (pieces of
  one video share a path), `class_names` are raw names in label order. `lists`
  maps roles to the official lists, as far as their clips are stored; labels are
  positions in `class_names`. Pieces count from their first frame
  (`counts_from`, as in `files.FileTree`).
  """

  counts_from: int | None = None

  def __init__(self, folder: str, name: str, split: int):
    """Reads the metadata only.

    `folder` is data.tfds_dir (the builder's --out, or the folder in it with the
    shards), `name` that of the TFDS data set, such as 'ucf101_clips'.

    Raises:
      UserError: no such folder, or nothing of that name and split in it.
    """
    self.folder = _find(folder, name, split)
    stored = json.loads((self.folder / _METADATA).read_text(encoding='utf-8'))
    self.class_names: list[str] = stored['class_names']
    self.lists: dict[str, ClipList] = {}
    # Key of a clip -> (TFDS split, row), and -> its metadata.
    self._rows: dict[str, tuple[str, int]] = {}
    self._about: dict[str, dict[str, Any]] = {}
    for role, about in stored['lists'].items():
      records = [ClipRecord(**clip['record']) for clip in about['clips']]
      self.lists[role] = ClipList(
          role, tuple(records), about['from'], missing=tuple(about['missing'])
      )
      for row, record in enumerate(records):
        self._rows[record.key] = role, row
        self._about[record.key] = about['clips'][row]
    self._paths = {r.path for x in self.lists.values() for r in x.records}
    self.keys = sorted(self._paths)

  def __str__(self) -> str:
    return str(self.folder)

  def find(self, path: str, by_name: bool = True) -> str | None:
    """Returns the key of the clip that a list means by `path`, or None.

    The file name is enough, whatever `by_name` says.
    """
    return path if path in self._paths else self._names.find(path)

  def media(self, key: str) -> bytes | tuple[bytes, ...]:
    """Returns the encoded clip: a video file, or numbered images in order."""
    role, row = self._rows[key]
    example = self._data[role][row]
    return example['video'] or tuple(example['images'])

  def stored(self, record: ClipRecord) -> str:
    """Returns the key under which a record's frames are stored.

    Raises:
      UserError: only other pieces of the record's video are stored.
    """
    for key in (record.key, record.path):
      if key in self._rows:
        return key
    raise UserError(
        f'{self.folder} holds pieces of {record.path}, but not {record.key}: '
        'only pieces of the official lists are stored. Read the videos '
        'themselves (data.root).'
    )

  def probes(self, keys: Sequence[str]) -> dict[str, Probe]:
    """Returns the probes, which were made when the folder was built."""
    return {k: Probe.from_dict(self._about[k]['probe']) for k in keys}

  def originals(self, keys: Sequence[str]) -> dict[str, str]:
    """Maps each key to the first key with the same content, by stored hash."""
    first, about = {}, self._about
    # Folders that older versions built have no hashes.
    hashes = {k: about.get(k, {}).get('sha256') or k for k in keys}
    return {k: first.setdefault(content, k) for k, content in hashes.items()}

  @functools.cached_property
  def _names(self) -> Names:
    return Names(self.keys)

  @functools.cached_property
  def _data(self) -> dict[str, Sequence[dict[str, Any]]]:
    quiet_tensorflow.load()
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(self.folder).as_data_source()


# Where encoded clips are stored.
Store = FileTree | TfdsStore


def config_name(split: int) -> str:
  """Returns the name of the TFDS config of an official split."""
  return f'split{split}'


def _find(folder: str, name: str, split: int) -> pathlib.Path:
  base = pathlib.Path(folder).expanduser().absolute()
  config = config_name(split)
  for place in (base, *sorted(base.glob(f'{name}/{config}/*'), reverse=True)):
    if not (place / _INFO).is_file() or 'incomplete' in place.name:
      continue
    info = json.loads((place / _INFO).read_text(encoding='utf-8'))
    found = info.get('name'), info.get('configName')
    if found != (name, config):
      raise UserError(
          f'data.tfds_dir={folder} holds {"/".join(map(str, found))}, not '
          f'{name}/{config}.'
      )
    return place
  there = base.glob(f'{name}/*/*/{_INFO}')
  others = sorted(file.parents[1].name for file in there)
  raise UserError(
      f'data.tfds_dir={folder} holds no finished {name}/{config}'
      + (f' (but {", ".join(others)})' if others else '')
      + '. Build it: python -m data_pipelines.build '
      f'{name.removesuffix("_clips")} --root=DIR --out={folder} '
      f'--splits={split}'
  )
