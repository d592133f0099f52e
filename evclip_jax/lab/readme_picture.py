"""Draws the README's animation: clips, the mask over them, the answer.

  python -m evclip_jax.lab.readme_picture --workdir=runs/demo-ev_clip-s1/both \\
      --out=docs/dark_clips.gif runs/demo-films/dark/CLASS/CLIP.mp4 ...

The folder of a clip names its class. Dark clips are shown as they are and
brightened, the mask over the brightened ones, light where it keeps a pixel.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags
from PIL import Image, ImageDraw, ImageFont

from data_pipelines import cli, whole_file
from data_pipelines.errors import UserError
from evclip_jax.reporting import pictures
from evclip_jax.runs.trained_model import TrainedModel

# Pixels.
_SIDE, _GAP, _HEAD, _WORDS = 136, 6, 22, 250
_MILLISECONDS = 180
_COLOURS = 96
_INK, _QUIET, _RIGHT, _WRONG = '#1f2933', '#7b8794', '#23784a', '#b3362b'
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
  """Writes the animation: a row per clip, at each time one of its frames."""
  names = [pathlib.Path(v).parent.name.replace('_', ' ') for v in videos]
  strips = map(_strips, looks, names)
  first, *others = (
      _frame(at_once).quantize(_COLOURS, dither=Image.Dither.NONE)
      for at_once in zip(*strips, strict=True)
  )
  with whole_file.replacing(out) as path:
    first.save(
        path, 'GIF', save_all=True, append_images=others, loop=0,
        duration=_MILLISECONDS,
    )
  size = pathlib.Path(out).stat().st_size
  print(f'{out}: {1 + len(others)} frames, {size / 2**10:.0f} kB')


def _strips(look: pictures.ClipPicture, truth: str) -> list[Image.Image]:
  """Returns a picture per frame: three views of it and the words."""
  bright = pictures.brightened(look.frames)
  mask = pictures.heat(bright, look.maps['mask'])
  words = _words(look, truth)
  out = []
  for views in zip(look.frames, bright, mask, strict=True):
    strip = Image.new('RGB', (3 * (_SIDE + _GAP) + _WORDS, _SIDE), 'white')
    for place, view in enumerate(views):
      small = Image.fromarray(view).resize((_SIDE, _SIDE), Image.Resampling.BOX)
      strip.paste(small, (place * (_SIDE + _GAP), 0))
    strip.paste(words, (3 * (_SIDE + _GAP), 0))
    out.append(strip)
  return out


def _words(look: pictures.ClipPicture, truth: str) -> Image.Image:
  """Draws the three best classes with bars, the right one in green."""
  image = Image.new('RGB', (_WORDS, _SIDE), 'white')
  draw = ImageDraw.Draw(image)
  for place, (name, probability) in enumerate(look.scores[:3]):
    top = 10 + 42 * place
    right = name.lower() == truth.lower()
    best = _RIGHT if right else _WRONG
    colour = best if not place else _QUIET
    text = f'{name}  {probability:.0%}'
    draw.text((8, top), text, _INK if not place else _QUIET, _font(15))
    width = int((_WORDS - 20) * np.clip(probability, 0.01, 1))
    draw.rectangle((8, top + 21, 8 + width, top + 29), colour)
  return image


def _frame(strips: tuple[Image.Image, ...]) -> Image.Image:
  """Stacks a frame of each clip under the titles of the columns."""
  wide, tall = strips[0].size
  image = Image.new('RGB', (wide, _HEAD + len(strips) * (tall + _GAP)), 'white')
  draw = ImageDraw.Draw(image)
  for place, title in enumerate(_TITLES):
    left = place * (_SIDE + _GAP) + (8 if place == 3 else 0)
    draw.text((left, 3), title, _QUIET, _font(13))
  for place, strip in enumerate(strips):
    image.paste(strip, (0, _HEAD + place * (tall + _GAP)))
  return image


def _font(size: int):
  return ImageFont.load_default(size)


if __name__ == '__main__':
  define_flags()
  cli.run(main)
