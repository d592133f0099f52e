"""TFDS builder for ARID: every clip once, as encoded bytes.

Use it through `python -m data_pipelines.build arid --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.arid import ARID


class Builder(ClipBuilder):
  """ARID as encoded clips with their places in its official lists."""

  name = ARID.archive_name
  DESCRIPTION = ARID
