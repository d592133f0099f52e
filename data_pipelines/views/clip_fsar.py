"""CLIP-FSAR's recipe: frames squeezed to a square, and a smaller square crop.

Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py and base_dataset.py.
"""

import dataclasses
import functools

import numpy as np

from data_pipelines.views.pixels import mirror, resize
from data_pipelines.views.view import Place, Recipe, View


@dataclasses.dataclass(frozen=True)
class Spec(Recipe):
  """Holds CLIP-FSAR's settings, explained in `data_pipelines/settings.py`."""

  num_frames: int = 8
  crop_pixels: int = 224
  frame_rule: str = 'segment'
  query_augment: bool = False

  @property
  def resized_pixels(self) -> int:
    """Returns the side of the square into which frames are squeezed."""
    return self.crop_pixels * 256 // 224

  def train_view(self, total, fps, rng, query=False) -> View:
    """Draws frames and a crop; mirrors half of the queries if augmented."""
    if self.frame_rule == 'interval':
      frames = interval_frames(total, self.num_frames, fps, rng.random())
    else:
      frames = segment_frames(total, self.num_frames, rng)
    offsets = jittered_offsets(self.resized_pixels, self.crop_pixels, rng)
    flip = query and self.query_augment and rng.random() < 0.5
    return View(frames, functools.partial(self.cut, offsets=offsets, flip=flip))

  def eval_view(self, total, fps, place: Place, rng) -> View:
    """Takes the crop and, with frame_rule='interval', the frames at `place`."""
    if self.frame_rule == 'interval':
      frames = interval_frames(total, self.num_frames, fps, place.middle)
    else:
      draws = rng if self.frame_rule == 'segment' else None
      frames = segment_frames(total, self.num_frames, draws)
    room = self.resized_pixels - self.crop_pixels
    offsets = room // 2, round(room * place.part)
    return View(frames, functools.partial(self.cut, offsets=offsets))

  def cut(
      self, frames: np.ndarray, offsets: tuple[int, int], flip: bool = False
  ) -> np.ndarray:
    """Makes CLIP-FSAR's input pixels, uint8 [T, P, P, 3], from decoded frames.

    `offsets` are (top, left) of the crop in the resized frame.

    Differs: rounds to uint8 at the end; the original keeps floats.
    """
    frames = mirror(frames) if flip else frames
    size = self.resized_pixels, self.resized_pixels
    window = *offsets, self.crop_pixels, self.crop_pixels
    return np.ascontiguousarray(resize(frames, *size, window, 'bilinear'))


def jittered_offsets(
    size: int, crop: int, rng: np.random.Generator
) -> tuple[int, int]:
  """Draws (top, left) of a square crop, each uniform in 0..size - crop - 1.

  As in the original, the last position is never drawn, and left comes first.
  """
  room = max(size - crop, 1)
  left = int(rng.integers(room))
  return int(rng.integers(room)), left


def segment_frames(
    total: int, num_frames: int, rng: np.random.Generator | None = None
) -> np.ndarray:
  """Takes a frame from each of T segments of N // T frames; none of the rest.

  A random frame with a generator, else the middle one. (The original's rule for
  sampling rates above 40, which draws in testing as well.)

  Differs: clips of fewer than T frames repeat the last one; the original fails.
  """
  length = max(total // num_frames, 1)
  if rng is None:
    inside = (length - 1) // 2
  else:
    inside = rng.integers(length, size=num_frames)
  return np.minimum(np.arange(num_frames) * length + inside, total - 1)


def interval_frames(
    total: int, num_frames: int, fps: float, place: float, rate: int = 35
) -> np.ndarray:
  """Takes T evenly spaced frames from a span of T * rate frames at 12 fps.

  A shorter clip, such as every one of Kinetics, is used as a whole except its
  last `rate` frames; so is one with `fps` 0 (images). `place` is the span's
  relative position in the clip, 0..1; testing uses 0.5. A clip of fewer than
  about `rate` frames gives mostly frame 0. All this, and float32, is as in the
  original (interval_based).

  Differs: a clip shorter than T repeats its last frame.
  """
  if total < num_frames:
    return np.minimum(np.arange(num_frames), total - 1)
  length = num_frames * rate * fps / 12
  if not fps or length > total:
    length = num_frames * (total // num_frames)
  start = np.float32(max(total - length + 1, 0) * place)
  end = np.float32(start + np.float32(length) - np.float32(rate))
  points = _linspace(start, end, num_frames)
  return np.clip(points, 0, total - 1).astype(np.int64)


def _linspace(start: np.float32, end: np.float32, count: int) -> np.ndarray:
  """Rounds as torch.linspace does, which computes from both ends."""
  step = (end - start) / np.float32(max(count - 1, 1))
  places = np.arange(count, dtype=np.float32)
  upper = end - step * (np.float32(count - 1) - places)
  return np.where(places < count // 2, start + step * places, upper)
