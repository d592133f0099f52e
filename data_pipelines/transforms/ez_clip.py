"""EZ-CLIP's pixels: boxes of several sizes, flips, changed colours; by Pillow.

Normalise on the device with CLIP's constants (video.CONSTANTS).
"""

import dataclasses
import functools

import numpy as np
from PIL import Image, ImageEnhance

from data_pipelines.sampling import crops, segments
from data_pipelines.transforms.view import Place, View


@dataclasses.dataclass(frozen=True)
class Spec:
  """Sizes and switches; the names are those of config.data.

  Attributes:
    num_frames: T, frames per clip.
    train_temporal: 'center': the middle frame of each of T segments;
      'random': in training a random one.
    crop_pixels: P; scoring resizes the shorter side to 256 / 224 of it.
    flip: mirror half of the training clips. Not for classes that differ in
      left and right (Something-Something).
    jitter: training clips' colours: 'frame' draws for every frame, as the
      original does; 'clip' once; 'none'.
  """

  num_frames: int = 8
  train_temporal: str = 'center'
  crop_pixels: int = 224
  flip: bool = True
  jitter: str = 'frame'

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """[T, P, P, 3] of a clip."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3


def train_view(
    spec: Spec,
    total: int,
    fps: float,
    generator: np.random.Generator,
    query: bool = False,
) -> View:
  """A frame per segment; the box depends on the size of the frames.

  Args:
    spec: sizes and switches.
    total: frames of the clip.
    fps: of the clip; plays no part.
    generator: of this clip in this epoch; the view draws from it as well.
    query: likewise plays no part.
  """
  del fps, query
  if spec.train_temporal == 'random':
    frames = segments.shifted_frames(total, spec.num_frames, generator)
  else:
    frames = segments.even_frames(total, spec.num_frames)
  return View(
      frames, functools.partial(augment, spec=spec, generator=generator)
  )


def eval_view(
    spec: Spec,
    total: int,
    fps: float,
    place: Place,
    generator: np.random.Generator,
) -> View:
  """A frame per segment and the crop at `place` along the longer side."""
  del fps, generator
  frames = segments.even_frames(total, spec.num_frames, place.middle)
  return View(frames, functools.partial(cut, spec=spec, place=place))


def augment(
    frames: np.ndarray, spec: Spec, generator: np.random.Generator
) -> np.ndarray:
  """A training clip: box, resize, flip, colours, grey.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    spec: sizes and switches.
    generator: draws, in this order: the box (`crops.multi_scale_box`), the
      flip, whether the colours change, the changes, whether all is grey.

  Returns:
    uint8 [T, P, P, 3].

  Source: EZ-CLIP, utils/Augmentation.py.
  Differs: RandAugment, blur and solarising, which no configuration uses, are
    left out. Flipping is a setting (the original flips SSv2 by mistake), and
    so is drawing the colours per frame, which makes clips flicker.
  """
  top, left, tall, wide = crops.multi_scale_box(
      *frames.shape[1:3], spec.crop_pixels, generator
  )
  inside = frames[:, top : top + tall, left : left + wide]
  size = spec.crop_pixels, spec.crop_pixels
  pictures = [
      Image.fromarray(np.ascontiguousarray(f)).resize(
          size, Image.Resampling.BILINEAR
      )
      for f in inside
  ]
  if spec.flip and generator.random() < 0.5:
    pictures = [
        p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in pictures
    ]
  if spec.jitter != 'none' and generator.random() < 0.8:
    draws = draw_colours(generator)
    for t, picture in enumerate(pictures):
      if spec.jitter == 'frame' and t:
        draws = draw_colours(generator)
      pictures[t] = change_colours(picture, draws)
  if generator.random() < 0.2:
    pictures = [p.convert('L').convert('RGB') for p in pictures]
  return np.stack([np.asarray(p) for p in pictures])


def cut(frames: np.ndarray, spec: Spec, place: Place) -> np.ndarray:
  """A clip to score: shorter side resized, crop cut out.

  Args:
    frames: uint8 [T, H, W, 3] as decoded.
    spec: sizes.
    place: which crop.

  Returns:
    uint8 [T, P, P, 3].

  Source: EZ-CLIP, utils/Augmentation.py.
  Differs: crops beside the centre.
  """
  height, width = frames.shape[1:3]
  short = spec.crop_pixels * 256 // 224
  if height < width:
    size = short, int(short * width / height)
  else:
    size = int(short * height / width), short
  room = tuple(s - spec.crop_pixels for s in size)
  longer = int(width > height)
  offsets = [round(r / 2) for r in room]
  offsets[longer] = place.offset(room[longer])
  top, left = offsets
  box = left, top, left + spec.crop_pixels, top + spec.crop_pixels
  return np.stack(
      [
          np.asarray(
              Image.fromarray(np.ascontiguousarray(f))
              .resize(size[::-1], Image.Resampling.BICUBIC)
              .crop(box)
          )
          for f in frames
      ]
  )


def draw_colours(generator: np.random.Generator) -> list[tuple[str, float]]:
  """[(what to change, by how much)] in the order of application."""
  steps = [
      ('brightness', generator.uniform(0.6, 1.4)),
      ('contrast', generator.uniform(0.6, 1.4)),
      ('saturation', generator.uniform(0.8, 1.2)),
      ('hue', generator.uniform(-0.1, 0.1)),
  ]
  return [steps[k] for k in generator.permutation(4)]


_ENHANCERS = {
    'brightness': ImageEnhance.Brightness,
    'contrast': ImageEnhance.Contrast,
    'saturation': ImageEnhance.Color,
}


def change_colours(
    picture: Image.Image, steps: list[tuple[str, float]]
) -> Image.Image:
  """Applies `draw_colours` to one picture.

  Source: torchvision.transforms.ColorJitter on Pillow images.
  Differs: none.
  """
  for name, value in steps:
    if name == 'hue':
      hue, *rest = picture.convert('HSV').split()
      # Bytes go round as the colour circle does.
      shift = np.uint8(int(value * 255) & 255)
      turned = Image.fromarray(np.asarray(hue) + shift)
      picture = Image.merge('HSV', (turned, *rest)).convert('RGB')
    else:
      picture = _ENHANCERS[name](picture).enhance(value)
  return picture
