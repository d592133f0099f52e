"""TFDS builder for Kinetics.

Use it through `python -m data_pipelines.build kinetics --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets.kinetics import KINETICS


class Builder(ClipBuilder):
  """Kinetics as encoded clips."""

  name = KINETICS.archive_name
  DESCRIPTION = KINETICS
