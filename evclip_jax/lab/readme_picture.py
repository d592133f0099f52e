"""Draws the README's animation: clips, the mask over them, the answers.

  python -m evclip_jax.lab.readme_picture --workdir=runs/demo-ev_clip-s1/both \\
      --out=docs/dark_clips.gif runs/demo-films/dark/CLASS/CLIP.mp4 ...

The folder of a clip names its class. Clips are shown as they are, brightened,
and brightened under the mask, which is light where it keeps a pixel.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags
from PIL import Image, ImageDraw

from data_pipelines import cli, whole_file
from data_pipelines.errors import UserError
from evclip_jax.reporting import pictures
from evclip_jax.runs.trained_model import TrainedModel

_WORDS, _HEAD = 250, 22
_MILLISECONDS = 180
_COLOURS = 96
_TITLES = 'as filmed', 'brightened for you', 'the mask', 'the answer'


def define_flags():
  """Defines this command's flags; other commands have some of the same name."""
  flags.DEFINE_string('workdir', '', 'A run whose method has a mask.')
  flags.DEFINE_string('out', '', 'The .gif file to write.')


def main(videos: list[str]):
  """Looks at the clips with the run and writes the animation."""
  run, out = flags.FLAGS.workdir, flags.FLAGS.out
  if not videos or not run or not out:
    raise UserError('wanted --workdir=RUN --out=FILE.gif VIDEO...')
  looks = TrainedModel(run).looks(videos)
  if 'mask' not in looks[0].maps:
    raise UserError(f'{run} has no mask; use a run of ev_clip.')
  write(looks, videos, out)


def write(
    looks: Sequence[pictures.ClipPicture], videos: Sequence[str], out: str
):
  """Writes the animation, with a row per clip that shows a frame at a time."""
  names = [pathlib.Path(v).parent.name.replace('_', ' ') for v in videos]
  strips = [_strips(*pair) for pair in zip(looks, names, strict=True)]
  head = _head(strips[0].shape[2])
  first, *others = (
      Image.fromarray(np.concatenate([head, *at_once])).quantize(
          _COLOURS, dither=Image.Dither.NONE
      )
      for at_once in zip(*strips, strict=True)
  )
  with whole_file.replacing(out) as path:
    first.save(
        path, 'GIF', save_all=True, append_images=others, loop=0,
        duration=_MILLISECONDS,
    )
  size = pathlib.Path(out).stat().st_size
  print(f'{out}: {1 + len(others)} frames, {size / 2**10:.0f} kB')


def _strips(look: pictures.ClipPicture, truth: str) -> np.ndarray:
  """Draws three views of a frame and three classes, for each: [T, H, W, 3]."""
  same = (name for name, _ in look.scores if name.lower() == truth.lower())
  colours = pictures.colours(dataclasses.replace(look, truth=next(same, truth)))
  words = np.asarray(pictures.answers(look.scores[:3], colours, _WORDS))
  bright = pictures.brightened(look.frames)
  mask = pictures.heat(bright, look.maps['mask'])
  strips = [
      pictures.strip(np.stack(views))
      for views in zip(look.frames, bright, mask, strict=True)
  ]
  below = len(strips[0]) - len(words)
  words = np.pad(words, ((0, below), (6, 6), (0, 0)), constant_values=255)
  strips = np.stack([np.concatenate([s, words], axis=1) for s in strips])
  return np.pad(strips, ((0, 0), (0, 6), (0, 0), (0, 0)), constant_values=255)


def _head(width: int) -> np.ndarray:
  """Draws the titles of the columns."""
  image = Image.new('RGB', (width, _HEAD), 'white')
  draw, column = ImageDraw.Draw(image), (width - _WORDS) // len(_TITLES[1:])
  for place, title in enumerate(_TITLES):
    draw.text((place * column, 3), title, '#7b8794', pictures.font(12))
  return np.asarray(image)


if __name__ == '__main__':
  define_flags()
  cli.run(main)
