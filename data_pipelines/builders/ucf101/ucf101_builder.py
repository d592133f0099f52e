"""TFDS builder for UCF-101: every clip once, as encoded bytes.

Use it through `python -m data_pipelines.build ucf101 --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.ucf101 import UCF101


class Builder(ClipBuilder):
  """UCF-101 as encoded clips with their places in its official lists."""

  # TFDS has a data set ucf101 of its own, which stores decoded frames.
  name = UCF101.archive_name
  DESCRIPTION = UCF101
