"""The demo as a data set: rendered where it is missing, read like any other."""

import pathlib

import ml_collections

from data_pipelines.datasets import dataset, folder
from data_pipelines.demo import films
from data_pipelines.demo.scenes import DOMAINS
from data_pipelines.errors import UserError


def read(
    data,
    split: int,
    report_folder: str | None = None,
    roles=dataset.ROLES,
    plan: films.Plan | None = None,
) -> dataset.DataSet:
  """The demo's lists and classes; renders the films first, if need be.

  Args:
    data: config.data. root is the folder of the films. Lists of the user's own
      (train_list, val_list, test_list, tests) take the place of the demo's.
    split: there is one.
    report_folder, roles: as for a folder.
    plan: which films; the demo's by default.

  Raises:
    UserError: no root, or one that holds something else.
  """
  if not data.root:
    raise UserError(
        'data.root is empty. Set --config.data.root to a folder for the '
        "demo's films, such as runs/demo-films."
    )
  workers = max(1, min(data.workers or 2, 4))
  root = films.write_demo(data.root, plan, workers)
  with_lists = ml_collections.ConfigDict(data.to_dict())
  with_lists.root = str(root)
  with_lists.class_names = data.class_names or _file(root, 'classes')
  with_lists.train_list = data.train_list or _file(root, 'train')
  if not data.test_list and not data.tests:
    with_lists.tests = {
        domain: _file(root, f'test_{domain}') for domain in DOMAINS
    }
  return folder.read(with_lists, split, report_folder, roles)


def _file(root: pathlib.Path, name: str) -> str:
  return str(root / f'{name}.txt')
