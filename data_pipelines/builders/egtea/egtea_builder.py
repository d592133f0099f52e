"""TFDS builder for EGTEA Gaze+: every clip once, as encoded bytes.

Use it through `python -m data_pipelines.build egtea --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.egtea import EGTEA


class Builder(ClipBuilder):
  """EGTEA Gaze+ as encoded clips with their places in its official lists."""

  name = EGTEA.archive_name
  DESCRIPTION = EGTEA
