"""One clip of a list -> the pixels a model sees: choose, decode, resize, crop.

Another method's pre-processing is another pair of functions like these.
"""

import dataclasses

import numpy as np

from data_pipelines import decode, sampling, transforms
from data_pipelines.source import Source


@dataclasses.dataclass(frozen=True)
class FrameSpec:
  """How a clip becomes frames; the names are those of config.data.

  Attributes:
    num_frames: T, frames per clip.
    window_frames: frames of the video they are spread over.
    train_temporal: where the window lies in training: 'center' or 'random'.
    resize_height, resize_width: pixels every frame is squeezed into.
    crop_pixels: P, side of the square cut out.
  """

  num_frames: int = 8
  window_frames: int = 32
  train_temporal: str = 'center'
  resize_height: int = 256
  resize_width: int = 340
  crop_pixels: int = 224

  @classmethod
  def of(cls, data) -> 'FrameSpec':
    """The spec in config.data."""
    return cls(**{f.name: data[f.name] for f in dataclasses.fields(cls)})

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """[T, P, P, 3] of a clip."""
    return self.num_frames, self.crop_pixels, self.crop_pixels, 3


def train_clip(
    source: Source,
    index: int,
    spec: FrameSpec,
    generator: np.random.Generator,
) -> np.ndarray:
  """A training view: a window of frames and one random crop for all.

  Args:
    source: the list.
    index: which of its clips.
    spec: sizes.
    generator: of this clip in this epoch.

  Returns:
    uint8 [T, P, P, 3].

  Raises:
    VideoError: the clip has changed or gone since it was examined.
  """
  first, total = source.span(index)
  frames = sampling.frame_indices(
      total,
      spec.num_frames,
      spec.window_frames,
      spec.train_temporal,
      generator=generator,
  )
  offsets = sampling.random_offsets(
      spec.resize_height, spec.resize_width, spec.crop_pixels, generator
  )
  return _pixels(source, index, first + frames, offsets, spec)


def eval_clip(
    source: Source,
    index: int,
    spec: FrameSpec,
    view: int = 0,
    clips: int = 1,
    crops: int = 1,
) -> np.ndarray:
  """One of the fixed views that a clip is scored in.

  Args:
    source: the list.
    index: which of its clips.
    spec: sizes.
    view: 0 .. clips * crops - 1; the crop changes fastest.
    clips: temporal windows; one lies in the middle.
    crops: 1 = centre; 3 = left, centre, right.

  Returns:
    uint8 [T, P, P, 3].

  Raises:
    VideoError: the clip has changed or gone since it was examined.
  """
  clip, crop = divmod(view, crops)
  first, total = source.span(index)
  frames = sampling.frame_indices(
      total,
      spec.num_frames,
      spec.window_frames,
      clip=clip,
      num_clips=clips,
  )
  offsets = sampling.view_offsets(
      spec.resize_height, spec.resize_width, spec.crop_pixels, crop, crops
  )
  return _pixels(source, index, first + frames, offsets, spec)


def _pixels(source, index, frames, offsets, spec) -> np.ndarray:
  media, probe = source.read(index)
  decoded = decode.read_frames(media, frames, probe)
  return transforms.ev_clip_clip(
      decoded,
      offsets,
      spec.resize_height,
      spec.resize_width,
      spec.crop_pixels,
  )
