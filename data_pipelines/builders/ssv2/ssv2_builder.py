"""TFDS builder for Something-Something V2.

Use it through `python -m data_pipelines.build ssv2 --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.ssv2 import SSV2


class Builder(ClipBuilder):
  """Something-Something V2 as encoded clips."""

  name = SSV2.archive_name
  DESCRIPTION = SSV2
