"""Data sets by their names (data.name); `docs/data/adding.md` adds one."""

import importlib

from data_pipelines.errors import UserError

# A module here has the `Description` of a data set with an official download,
# as DESCRIPTION or, where its labels are of several kinds, from
# describe(label_kind).
OFFICIAL = (
    'arid', 'egtea', 'epic_kitchens100', 'hmdb51', 'kinetics', 'ssv2', 'ucf101',
    'ucf101_ds',
)
# The others have a function `read` as below.
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
  """Reads the lists and classes of the data set that data.name names.

  `data` is config.data, `split` an official split, where there are several; the
  names of missing clips go to `report_folder`, if it is given. `roles` are the
  lists that are wanted: without 'train', neither the training list nor its
  clips need to be there.

  Returns:
    A `dataset.DataSet`.

  Raises:
    UserError: no such data set; its files or lists are missing or do not fit.
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
