"""TFDS builder for UCF-101: every clip once, as encoded bytes.

Use it through `python -m data_pipelines.build ucf101 --root=DIR --out=DIR`.
"""

import tensorflow_datasets as tfds

from data_pipelines.builders.clip_builder import Clip, ClipBuilder, Plan
from data_pipelines.clip_lists import class_names, labels, list_files
from data_pipelines.datasets import ucf101
from data_pipelines.stores import file_tree
from evclip_jax.errors import UserError


class Ucf101Clips(ClipBuilder):
  """UCF-101 as encoded clips with the positions in its official lists."""

  # TFDS has a data set ucf101 of its own, which stores decoded frames.
  name = 'ucf101_clips'
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Encoded clips with probes.'}
  HOMEPAGE = 'https://www.crcv.ucf.edu/data/UCF101.php'
  MANUAL_DOWNLOAD_INSTRUCTIONS = ucf101.WANTED

  @staticmethod
  def make_plan(root: str) -> Plan:
    """Looks for the clips and lists below a folder; reads no video.

    Raises:
      UserError: no data there, or a clip of an unknown class.
    """
    layout = ucf101.find_layout(root)
    store = file_tree.FileTree(layout.videos, by_name=True)
    places = {key: {} for key in store.keys}
    lengths, missing = {}, {}
    for split in ucf101.SPLITS if layout.lists else ():
      for name in ('train', 'test'):
        file = ucf101.official_file(layout.lists, name, split)
        if not file.is_file():
          continue
        listing = list_files.read(file, 'official list')
        lengths[f'{name}{split}'] = len(listing.items)
        for place, item in enumerate(listing.items):
          key = store.find(item.path)
          if key is None:
            missing[item.path] = None
          else:
            places[key][f'{name}{split}'] = place
    table = _table(layout, store.keys)
    clips = [Clip(key, _label(table, key), places[key]) for key in store.keys]
    return Plan(store, list(table.raw), clips, lengths, list(missing))


def _table(layout: ucf101.Layout, keys: list[str]) -> labels.ClassTable:
  file = layout.lists and layout.lists / ucf101.CLASS_FILE
  if file and file.is_file():
    return labels.ClassTable.of(class_names.read(file), ucf101.CLASS_FILE)
  folders = sorted({ucf101.class_of(key) for key in keys})
  return labels.ClassTable.of(folders, 'the class folders, sorted')


def _label(table: labels.ClassTable, key: str) -> int:
  label = table.label(ucf101.class_of(key))
  if label is None:
    raise UserError(
        f'{key} lies in the class {ucf101.class_of(key)!r}, which '
        f'{table.origin} does not name.'
    )
  return label
