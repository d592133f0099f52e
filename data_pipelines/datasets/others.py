"""Reads test lists of other data sets, to be scored beside the run's own.

Set in a config file:

  c.data.others.hmdb = {'name': 'hmdb51', 'root': 'HMDB51', 'splits': (1, 2, 3)}

adds the test lists hmdb_split1, hmdb_split2 and hmdb_split3. Keys:
  name, root, tfds_dir, class_names: as in config.data; `name` defaults to the
    entry's own.
  splits: official splits, by default (1,); a single one gives the list 'hmdb'.
  test_list, class_scope: a list file instead of the official ones; with
    '{split}' in its name, as in 'val{split}.txt', one file for each split.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections

from data_pipelines.datasets.dataset import DataSet
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList
from data_pipelines.stores.tfds import Store

_DEFAULTS = {
    'name': '', 'root': '', 'tfds_dir': '', 'class_names': '', 'splits': (1,),
    'test_list': '', 'class_scope': 'shared',
}  # fmt: skip
_SPLIT = '{split}'
_RESERVED = ('train', 'val', 'test', 'base', 'novel')


def read(
    data, read_one: Callable[[Any, int], DataSet]
) -> Iterator[tuple[ClipList, list[str], Store, dict[str, Any]]]:
  """Yields the lists that data.others names.

  `read_one` reads a data set, given its config.data and the split.

  Yields:
    (list, named as in reports; its class names; where its clips are stored;
    data set and split for the run card).

  Raises:
    UserError: an entry has unknown keys or no data, or its data set cannot be
      read (the message names the entry).
  """
  for key, entry in data.others.items():
    values = _values(key, entry)
    splits = tuple(values['splits'])
    if values['test_list'] and _SPLIT not in values['test_list']:
      splits = splits[:1]
    for split in splits:
      name = key if len(splits) == 1 else f'{key}_split{split}'
      try:
        found = read_one(_config(data, values, split), split)
      except UserError as e:
        raise UserError(f'data.others.{key}: {e}') from e
      bare = values['name'] == 'folder'
      if not bare and 'test' not in found.tests:
        raise UserError(
            f'data.others.{key}: {values["name"]} has the test lists '
            f'{", ".join(found.tests)}. Name the file of one: test_list.'
        )
      clips = _everything(found) if bare else found.tests['test']
      clips = dataclasses.replace(clips, name=name)
      names = found.own_names.get('test', found.class_names)
      about = {'data_set': values['name'], 'split': split}
      yield clips, names, found.store, about


def _values(key: str, entry) -> dict[str, Any]:
  if key in _RESERVED:
    raise UserError(f'data.others.{key}: give this data set another name.')
  for name in entry.keys() - _DEFAULTS.keys():
    raise UserError(
        f'data.others.{key}: unknown key {name!r}; it takes '
        f'{", ".join(_DEFAULTS)}.'
    )
  values = _DEFAULTS | dict(entry)
  values['name'] = values['name'] or key
  if not values['splits']:
    raise UserError(f'data.others.{key}.splits is empty: use (1,).')
  return values


def _config(data, values: dict[str, Any], split: int):
  """Returns config.data as for a run on the other data set alone."""
  out = ml_collections.ConfigDict(data.to_dict())
  for key in ('name', 'root', 'tfds_dir', 'class_names', 'class_scope'):
    out[key] = values[key]
  out.shots, out.novel_classes = 0, ''
  out.train_list = out.val_list = out.test_list = ''
  out.others, out.tests = {}, {}
  # All clips of a folder are scored: it is read as training data, which is
  # split in some way, and joined again.
  key = 'train_list' if values['name'] == 'folder' else 'test_list'
  out[key] = values['test_list'].replace(_SPLIT, str(split))
  return out.lock()


def _everything(found: DataSet) -> ClipList:
  lists = filter(None, [found.train, found.val, *found.tests.values()])
  records = (r for clips in lists for r in clips.records)
  records = tuple(sorted(records, key=lambda r: r.key))
  return ClipList('test', records, 'all clips')
