"""Measures what a clip looks like, regardless of its class.

`measure` runs in a process that decodes and reads runs of consecutive frames,
spread over the clip. Factors of still frames are means over the first frame of
each run. Only luminance, dark, clipped, noise and colourfulness depend on the
exposure; the others are relative to a frame's own brightness or spread.
"""

import functools
import os

import cv2
import numpy as np

from data_pipelines.video import read_frames
from data_pipelines.video.probes import Probe

# Number of runs, and frames in each: three steps of the camera, one jerk.
_RUNS, _IN_A_ROW = 8, 4
# Sides in pixels of the frames on which motion and edges are found.
_MOTION_SIDE, _EDGE_SIDE = 96, 160
# Linear light below which a pixel is dark; level at which it is clipped.
_DARK, _CLIPPED = 0.01, 254
# Frames whose colours overlap less than this belong to two shots.
_SAME_SHOT = 0.5
# For folders of images, which do not say how fast they are shown.
_USUAL_FPS = 25.0


def measure(
    media: str | os.PathLike | bytes, probe: Probe, first: int, count: int
) -> dict[str, float | None]:
  """Reads a clip and returns its factors by name; None for undefined ones.

  `media` and `probe` are as for `read_frames`, which may raise a VideoError.
  """
  cv2.setNumThreads(1)
  numbers = frame_numbers(count)
  frames = read_frames(media, first + numbers.ravel(), probe)
  frames = frames.reshape(*numbers.shape, *frames.shape[1:])
  return of_frames(frames, numbers, probe.fps or _USUAL_FPS) | {
      'resolution': float(min(probe.width, probe.height)),
      'bits_per_pixel': bits_per_pixel(probe),
  }


def frame_numbers(count: int) -> np.ndarray:
  """Chooses among `count` frames of a clip: int64 [runs, frames in a row]."""
  if count <= _RUNS * _IN_A_ROW:
    return np.arange(count)[None]
  starts = np.linspace(0, count - _IN_A_ROW, _RUNS).astype(np.int64)
  return starts[:, None] + np.arange(_IN_A_ROW)


def of_frames(
    frames: np.ndarray, numbers: np.ndarray, fps: float
) -> dict[str, float | None]:
  """Returns the factors that can be computed from frames alone.

  `frames` are uint8 [R, L, H, W, 3], R runs of L frames in a row; `numbers`
  [R, L] are their positions in the clip.
  """
  still = frames[:, 0]
  if len(frames) == 1:
    still = frames[0, :: -(-frames.shape[1] // _RUNS)]
  light = [linear_light(frame) for frame in still]
  grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32) for f in still]

  def mean(function, pictures):
    return float(np.mean([function(picture) for picture in pictures]))

  return {
      'luminance': mean(np.mean, light),
      'contrast': mean(contrast, light),
      'dark': 100 * mean(lambda x: np.mean(x < _DARK), light),
      'clipped': 100 * mean(clipped, still),
      'noise': mean(noise, grey),
      'sharpness': mean(sharpness, grey),
      'colourfulness': mean(colourfulness, still),
      'clutter': mean(clutter, grey),
      **motion(frames, fps),
      'cut_rate': cut_rate(frames, numbers, fps),
  }


@functools.cache
def _to_light() -> np.ndarray:
  x = np.arange(256) / 255
  curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
  return curve.astype(np.float32)


def linear_light(frame: np.ndarray) -> np.ndarray:
  """Returns the luminance of pixels, linear in light; 0 is black, 1 white.

  Y = 0.2126 R + 0.7152 G + 0.0722 B of linearised colours;
  uint8 [H, W, 3] -> float32 [H, W].

  Source: IEC 61966-2-1 (sRGB); ITU-R BT.709 for the weights.
  """
  weights = np.float32([[0.2126, 0.7152, 0.0722]])
  return cv2.transform(cv2.LUT(frame, _to_light()), weights)


def contrast(light: np.ndarray) -> float:
  """Returns the relative spread of linear light, sd(Y) / mean(Y); no unit.

  Source: RMS contrast, E. Peli, Contrast in complex images, JOSA A 1990.
  Differs: divided by the mean, so that exposure does not count.
  """
  return float(light.std() / max(light.mean(), 1e-6))


def clipped(frame: np.ndarray) -> float:
  """Returns the share of pixels with a colour at 254 or 255."""
  red, green, blue = cv2.split(frame)
  return float(np.mean(cv2.max(cv2.max(red, green), blue) >= _CLIPPED))


def noise(grey: np.ndarray) -> float:
  """Estimates the standard deviation of noise, in levels of 255.

  sigma = sqrt(pi / 2) / (6 (W - 2) (H - 2)) * sum |I * N|, with N the
  difference of two Laplacians, which ignores slopes. Fine texture counts as
  noise.

  Source: J. Immerkaer, Fast noise variance estimation, CVIU 1996.
  """
  mask = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
  inner = cv2.filter2D(grey, cv2.CV_32F, mask)[1:-1, 1:-1]
  return float(np.sqrt(np.pi / 2) / 6 * np.abs(inner).mean(dtype=np.float64))


def sharpness(grey: np.ndarray) -> float:
  """Returns the variance of the Laplacian over that of the frame; no unit.

  Source: J. Pech-Pacheco et al., Diatom autofocusing in brightfield
    microscopy, ICPR 2000.
  Differs: divided by the frame's variance, so that exposure does not count; the
    frame is first smoothed by a Gaussian of 1 pixel, since rounding to whole
    levels makes a very blurred frame look sharp.
  """
  variance = grey.var(dtype=np.float64)
  smooth = cv2.GaussianBlur(grey, (0, 0), 1)
  laplacian = cv2.Laplacian(smooth, cv2.CV_32F)
  return float(laplacian.var(dtype=np.float64) / variance) if variance else 0.0


def colourfulness(frame: np.ndarray) -> float:
  """Returns how colourful a frame is, in levels of 255: 0 grey, 80 vivid.

  M = sqrt(sd(a)^2 + sd(b)^2) + 0.3 sqrt(mean(a)^2 + mean(b)^2) with
  a = R - G and b = (R + G) / 2 - B.

  Source: D. Hasler and S. Suesstrunk, Measuring colourfulness in natural
    images, SPIE 2003, M3.
  """
  axes = np.float32([[1, -1, 0], [0.5, 0.5, -1]])
  means, spreads = cv2.meanStdDev(cv2.transform(frame.astype(np.float32), axes))
  return float(np.hypot(*spreads.ravel()) + 0.3 * np.hypot(*means.ravel()))


def clutter(grey: np.ndarray) -> float:
  """Returns the share of pixels on an edge, in percent.

  Edges are Canny's, of the frame at 160 x 160 pixels, scaled to a standard
  deviation of 48 levels.

  Source: M. Mack and A. Oliva, Computational estimation of visual complexity,
    2004 (edge density); J. Canny, PAMI 1986.
  """
  small = _resized(grey, _EDGE_SIDE)
  spread = small.std()
  if spread < 1e-3:
    return 0.0
  levels = np.clip(128 + 48 * (small - small.mean()) / spread, 0, 255)
  smooth = cv2.GaussianBlur(levels.astype(np.uint8), (5, 5), 0)
  edges = cv2.Canny(smooth, 60, 150)
  return float(100 * np.mean(edges > 0))


def motion(frames: np.ndarray, fps: float) -> dict[str, float | None]:
  """Separates the motion of the camera from that of its subject.

  The step of the camera between two frames is the shift that phase correlation
  finds, if it makes the frames more alike; its jerk is the third difference of
  its positions. The motion of the subject is the mean difference of the aligned
  frames, in standard deviations of their brightness. `frames` are as for
  `of_frames`.

  Returns:
    'camera_motion' in percent of the width per second, 'camera_jerk' in widths
    per second cubed, 'subject_motion' in standard deviations per second; None
    with too few frames in a row.

  Source: C. Kuglin and D. Hines, The phase correlation image alignment method,
    1975.
  """
  side, aspect = _MOTION_SIDE, frames.shape[2] / frames.shape[3]
  window = cv2.createHanningWindow((side, side), cv2.CV_32F)
  speeds, jerks, rests = [], [], []
  for run in frames:
    grey = [
        _resized(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), side)
        for f in run
    ]
    steps = []
    for one, other in zip(grey[:-1], grey[1:], strict=True):
      # OpenCV may multiply its arguments by the window in place.
      (x, y), _ = cv2.phaseCorrelate(one.copy(), other.copy(), window)
      rest, still = (_rest(one, other, *shift) for shift in ((x, y), (0, 0)))
      if rest >= still:
        x, y, rest = 0.0, 0.0, still
      steps.append((x / side, y / side * aspect))
      rests.append(rest / max(float(one.std()), 1.0))
    steps = np.array(steps).reshape(-1, 2)
    speeds += np.hypot(*steps.T).tolist()
    jerks += np.hypot(*np.diff(steps, 2, axis=0).T).tolist()

  def rate(values, factor):
    return float(np.mean(values)) * factor if values else None

  return {
      'camera_motion': rate(speeds, 100 * fps),
      'camera_jerk': rate(jerks, fps**3),
      'subject_motion': rate(rests, fps),
  }


def cut_rate(frames: np.ndarray, numbers: np.ndarray, fps: float) -> float:
  """Returns the number of cuts between shots per second.

  There is a cut between two frames if the histograms of their colours (64 bins,
  brightness relative to the clip's) share less than half. Several cuts between
  two of the frames that were read count once.

  Source: M. Swain and D. Ballard, Color indexing, IJCV 1991 (intersection).
  """
  top = max(float(np.percentile(frames[:, 0, ::4, ::4], 99)), 1.0)
  bins = []
  for frame in frames.reshape(-1, *frames.shape[2:]):
    small = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA)
    small = np.minimum(small, np.uint8(top))
    ends = [0, top + 1] * 3
    counts = cv2.calcHist([small], [0, 1, 2], None, [4, 4, 4], ends)
    bins.append(counts.ravel() / counts.sum())
  shared = np.minimum(bins[:-1], bins[1:]).sum(axis=1) if len(bins) > 1 else [1]
  seconds = (numbers.max() - numbers.min() + 1) / fps
  return float(np.sum(np.asarray(shared) < _SAME_SHOT) / seconds)


def bits_per_pixel(probe: Probe) -> float | None:
  """Returns the bits of a file, sound included, per pixel of each frame.

  None for folders of images, whose size is not known.
  """
  pixels = probe.num_frames * probe.width * probe.height
  return 8 * probe.size_bytes / pixels if probe.size_bytes and pixels else None


def _resized(grey: np.ndarray, side: int) -> np.ndarray:
  return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


def _rest(one: np.ndarray, other: np.ndarray, x: float, y: float) -> float:
  """Returns the mean difference where frames overlap, one moved by (x, y)."""
  side = len(one)
  a, b = (min(int(np.ceil(abs(v))), side // 2 - 1) for v in (x, y))
  if x or y:
    back = np.float32([[1, 0, x], [0, 1, y]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    other = cv2.warpAffine(other, back, (side, side), flags=how)
  inside = slice(b, side - b), slice(a, side - a)
  return float(np.abs(one[inside] - other[inside]).mean(dtype=np.float64))
