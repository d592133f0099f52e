"""The demo as a data set: rendered where it is missing, read like any other.

The data set `demo_unseen` holds classes that neither the pre-training nor the
demo knows, for tests on classes never trained on. Those of `demo_motion` differ
in pairs only in how fast something moves.
"""

import ml_collections

from data_pipelines.datasets import dataset, folder
from data_pipelines.demo import scenes, videos
from data_pipelines.errors import UserError

_PLANS = {
    'demo': videos.Plan(),
    # One video to train on, as a data set has to have some.
    'demo_unseen': videos.Plan(scenes.UNSEEN_CLASSES, train=1),
    'demo_motion': videos.Plan(scenes.MOTION_CLASSES),
}


def read(
    data, split: int, report_folder: str | None = None, roles=dataset.ROLES
) -> dataset.DataSet:
  """Reads the demo's lists and classes; renders its videos first, if need be.

  Args:
    data: config.data. `root` is the folder of the videos. Lists of the user's
      own (train_list, val_list, test_list, tests) take the place of the demo's.
      `class_names` may name a file in it; those in colours.txt say little.

  Raises:
    UserError: no root, or one that holds something else.
  """
  if not data.root:
    raise UserError(
        'data.root is empty. Set --config.data.root to a folder for the '
        "demo's videos, such as runs/demo-films."
    )
  root = videos.write_demo(data.root, _PLANS[data.name], data.workers)
  data = ml_collections.ConfigDict(data.to_dict())
  data.root = str(root)
  names = root / (data.class_names or 'classes.txt')
  data.class_names = str(names) if names.is_file() else data.class_names
  data.train_list = data.train_list or str(root / 'train.txt')
  if not data.test_list and not data.tests:
    data.tests = {
        domain: str(root / f'test_{domain}.txt') for domain in scenes.DOMAINS
    }
  return folder.read(data, split, report_folder, roles)
