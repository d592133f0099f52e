"""A folder of labelled examples, for predicting with methods that need them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import numpy as np

from data_pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Support:
  """A few examples of each class.

  Attributes:
    class_names: N names, as prompts say them.
    paths: K files of each class.
  """

  class_names: list[str]
  paths: list[list[str]]

  def read(self, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """The examples' pixels, uint8 [N, K, T, P, P, 3].

    Args:
      read: path -> [views, T, P, P, 3]; the view in the middle is taken.
    """
    return np.stack([
        np.stack([(views := read(p))[len(views) // 2] for p in paths])
        for paths in self.paths
    ])


def find(folder: str) -> Support:
  """The examples in FOLDER/<class>/<clip>.

  Every class gives as many: the first ones of each, as many as the smallest
  class has.

  Raises:
    UserError: no such folder, fewer than two classes, or a class without clips.
  """
  from data_pipelines.lists import classes as class_names
  from data_pipelines.stores import files

  root = pathlib.Path(folder)
  if not root.is_dir():
    raise UserError(f'--support={folder} is not a folder.')
  classes = files.folders(root)
  if len(classes) < 2:
    raise UserError(
        f'--support={folder} has {len(classes)} folders in it: wanted one '
        'folder of example clips for each of two or more classes.'
    )
  found = []
  for name in classes:
    tree = files.FileTree(root / name)
    found.append([os.path.join(tree.root, key) for key in tree.keys])
    if not found[-1]:
      raise UserError(f'the folder {root / name} (--support) has no videos.')
  shots = min(map(len, found))
  names = [class_names.clean(name) for name in classes]
  class_names.check_distinct(names, f'--support={folder}')
  return Support(names, [paths[:shots] for paths in found])
