"""Finds data sets by name (data.name); see `docs/data/adding.md` to add one."""

import importlib

from data_pipelines.errors import UserError

# Modules with the `Description` of a data set with an official download, as
# DESCRIPTION or, if it has several kinds of labels, from describe(label_kind).
OFFICIAL = (
    'arid', 'egtea', 'epic_kitchens100', 'hmdb51', 'kinetics', 'ssv2', 'ucf101',
    'ucf101_ds',
)
# Other data sets: modules with a function `read` like the one below.
_OTHERS = {
    'demo': 'data_pipelines.demo.videos',
    'demo_unseen': 'data_pipelines.demo.videos',
    'demo_motion': 'data_pipelines.demo.videos',
    'folder': 'data_pipelines.datasets.folder',
}


def read(
    data,
    split: int,
    report_folder=None,
    roles: tuple[str, ...] = ('train', 'val', 'test'),
):
  """Reads the lists and classes of the data set data.name.

  `data` is config.data, `split` the official split, if there are several; the
  names of missing clips are written to `report_folder`, if given. `roles` are
  the lists to read: without 'train', neither the training list nor its clips
  need to exist.

  Returns:
    A `dataset.DataSet`.

  Raises:
    UserError: an unknown data set, or files or lists that are missing or wrong.
  """
  if data.name in _OTHERS:
    module = importlib.import_module(_OTHERS[data.name])
    return module.read(data, split, report_folder, roles)
  from data_pipelines.datasets import official

  what = describe(data.name, data.label_kind)
  return official.read(what, data, split, report_folder, roles)


def describe(name: str, label_kind: str = 'verb'):
  """Returns the `Description` of a data set with an official download.

  Raises:
    UserError: no such data set, or no such kind of label (data.label_kind).
  """
  if name not in OFFICIAL:
    names = ', '.join(sorted((*OFFICIAL, *_OTHERS)))
    raise UserError(f'data.name={name!r}: use one of {names}.')
  module = importlib.import_module(f'data_pipelines.datasets.{name}')
  if hasattr(module, 'describe'):
    return module.describe(label_kind)
  return module.DESCRIPTION
