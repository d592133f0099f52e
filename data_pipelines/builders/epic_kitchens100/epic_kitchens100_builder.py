"""TFDS builder for EPIC-Kitchens-100 by its verbs.

Use it through
`python -m data_pipelines.build epic_kitchens100 --root=DIR --out=DIR`.
"""

from data_pipelines.builders.clip_builder import ClipBuilder
from data_pipelines.datasets import epic_kitchens100

_DESCRIPTION = epic_kitchens100.describe('verb')


class Builder(ClipBuilder):
  """The pieces of EPIC-Kitchens-100 as encoded clips, labelled by verb."""

  name = _DESCRIPTION.archive_name
  DESCRIPTION = _DESCRIPTION
