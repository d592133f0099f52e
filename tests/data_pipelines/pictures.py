"""Writes folders of numbered pictures that spell their own number."""

import pathlib

from PIL import Image

from tests.data_pipelines import coded_clips


def write(
    folder: pathlib.Path,
    num_frames: int = 20,
    pattern: str = 'frame_{:010d}.jpg',
    first: int = 1,
    width: int = 64,
    height: int = 48,
) -> str:
  """Writes pictures of `coded_clips.frame` and returns the folder's path.

  The first of at most 256 spells 0, its file's name holds the number `first`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  for k in range(num_frames):
    picture = Image.fromarray(coded_clips.frame(k, width, height))
    picture.save(folder / pattern.format(first + k), quality=90)
  return str(folder)
