"""Films of actions that neither the pre-training nor the demo knows.

For tests on classes never trained on: as `data.others`, or in episodes.
"""

from data_pipelines.datasets.dataset import ROLES, DataSet
from data_pipelines.demo import collection, films
from data_pipelines.demo.scenes import UNSEEN_CLASSES

# One film to train on, as a data set has to have some.
_PLAN = films.Plan(classes=UNSEEN_CLASSES, train=1)


def read(
    data, split: int, report_folder: str | None = None, roles=ROLES
) -> DataSet:
  """As `collection.read`, of the unseen classes."""
  return collection.read(data, split, report_folder, roles, _PLAN)
