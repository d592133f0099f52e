"""TFDS builder for HMDB51: every clip once, as encoded bytes.

Use it through `python -m data_pipelines.build hmdb51 --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.hmdb51 import HMDB51


class Builder(ClipBuilder):
  """HMDB51 as encoded clips with their places in its official lists."""

  name = HMDB51.archive_name
  DESCRIPTION = HMDB51
