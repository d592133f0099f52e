"""Predicts single clips with all details: probabilities, features, maps.

Evaluation drops the maps; prediction and reports show them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.views.view import squares
from evclip_jax.evaluation import scores
from evclip_jax.methods.base import Method
from evclip_jax.models import corruptions
from evclip_jax.reporting.pictures import ClipPicture
from evclip_jax.training import devices, session
from evclip_jax.training.params import merge

# Clips at once with maps of `Method.looks`: attention takes much memory.
_FEW = 6


@dataclasses.dataclass(frozen=True)
class Seen:
  """Holds a run's results for one clip, seen in one or several views.

  Attributes:
    probabilities: [K] float64, the mean over the views.
    features: [E] float32, the mean over the views, not normalised.
    frames: uint8 [T, H, W, 3], the middle view as the networks got it.
    maps: name -> [H, W] or [T, H, W] float32, of that view.
    windows: [W, K] float64, the probabilities in each window in time.
    window_maps: for each window, its maps as uint8; [] unless asked for.
    film: the video that was looked at (`runs.windows.Film`), if known.
  """

  probabilities: np.ndarray
  features: np.ndarray
  frames: np.ndarray
  maps: dict[str, np.ndarray]
  windows: np.ndarray | None = None
  window_maps: Sequence[dict[str, np.ndarray]] = ()
  film: Any = None

  def top(self, names: Sequence[str], most: int = 5) -> list[tuple[str, float]]:
    """Returns the best classes with their probabilities, best first."""
    # Stable, so that equal scores rank as in evaluation: lower index first.
    order = np.argsort(-self.probabilities, kind='stable')[:most]
    return [(names[k], float(self.probabilities[k])) for k in order]

  def picture(
      self,
      title: str,
      names: Sequence[str],
      method: Method,
      truth: str | None = None,
  ) -> ClipPicture:
    """Returns the clip as a picture for a page or file."""
    fill = fill_colour(method)
    return ClipPicture(
        title, self.frames, self.top(names), truth, self.maps, fill
    )


class Looker:
  """Looks at clips with a run's trained weights."""

  def __init__(
      self,
      run: session.Session,
      weights: dict[str, jax.Array],
      rows: int,
      closely: bool = False,
  ):
    """Prepares functions for `rows` clips at once; compiles nothing yet.

    `weights` are on the devices; `closely` makes the maps of `Method.looks`,
    which take passes of their own, for few clips at once.
    """
    size = run.mesh.shape['data']
    self._rows, few = (-(-n // size) * size for n in (rows, _FEW))
    self._few = min(self._rows, few)
    self._run, self._weights, self._closely = run, weights, closely
    self._more = devices.jit(self._closer, run.mesh, run.shardings, 3)

  def examples(self, clips: np.ndarray) -> dict[str, jax.Array]:
    """Computes 'clip' and 'frames' of `VideoFeatures` of examples, N*K rows.

    `clips` are uint8 [N, K, T, H, W, 3], K clips of each of N classes.
    """
    clips = clips.reshape(-1, *clips.shape[2:])
    parts = [seen for seen, *_ in self._parts(clips)]
    return {
        name: jnp.concatenate([seen[name] for seen in parts])[: len(clips)]
        for name in ('clip', 'frames')
    }

  def __call__(
      self,
      clips: np.ndarray,
      class_names: Sequence[str] | None = None,
      examples: dict[str, jax.Array] | None = None,
      score: bool = True,
  ) -> list[Seen]:
    """Looks at clips uint8 [N, T, H, W, 3], in a single view each, in order.

    With `score` they are scored among `class_names` (None = the run's), for an
    episodic method by `examples` of these classes.
    """
    run, weights = self._run, self._weights
    classes = run.classes(weights, class_names) if score else None
    out = []
    for start, (seen, maps, worse) in zip(
        range(0, len(clips), self._rows), self._parts(clips), strict=True
    ):
      logits = np.zeros((self._rows, 0))
      if score:
        given = weights, run.frozen, classes, seen, examples
        logits = run.score_step(*given)
      logits, features, maps, worse = jax.device_get(
          (logits, seen['clip'], maps, worse)
      )
      shares = logits.astype(np.float64)
      shares = scores.softmax(shares) if score else shares
      shown = clips[start : start + self._rows]
      if worse is not None:
        shown = worse[: len(shown)]
      if run.clip:
        shown, _ = squares(shown, run.clip.sizes.image_resolution)
      # Stops at `shown`: padding rows come last.
      for row, frames in enumerate(shown):
        own = {name: m[row] for name, m in maps.items()}
        features_of = features[row].astype(np.float32)
        out.append(Seen(shares[row], features_of, frames, own))
    return out

  def _parts(self, clips: np.ndarray):
    """Yields (features, maps, corrupted frames) of `rows` clips at a time."""
    for start in range(0, len(clips), self._rows):
      part = clips[start : start + self._rows]
      batch = devices.put_batch(self._run.mesh, _padded(part, self._rows))
      given = self._weights, self._run.frozen, batch
      seen, maps, worse = self._run.see_step(*given), {}, None
      if self._corrupted or self._closely and self._run.method.looks:
        maps, worse = self._look_closely(part)
      yield seen, seen['maps'] | maps, worse

  @property
  def _corrupted(self) -> bool:
    return isinstance(self._run.method.pixels, corruptions.Corrupted)

  def _look_closely(self, part: np.ndarray):
    """Returns the results of `_closer` for clips, a few at a time."""
    found = []
    for start in range(0, len(part), self._few):
      batch = _padded(part[start : start + self._few], self._few)
      given = self._weights, self._run.frozen
      batch = devices.put_batch(self._run.mesh, batch)
      found.append(jax.device_get(self._more(*given, batch)))
    return jax.tree.map(lambda *x: np.concatenate(x), *found)

  def _closer(self, weights, frozen, batch):
    """Returns the maps of `Method.looks` and the corrupted frames."""
    method, maps, worse = self._run.method, {}, None
    if self._closely and method.looks:
      pixels = method.pixels(batch['video'], None)
      looks = method.looks(merge(frozen, weights), pixels)  # [B, T, h, w] each
      # Scale each clip's maps so that the maximum is 1.
      tops = {k: m.max((1, 2, 3), keepdims=True) for k, m in looks.items()}
      maps = {k: (m / tops[k]).astype(jnp.float32) for k, m in looks.items()}
    if self._corrupted:
      worse = method.pixels.frames(batch['video'])
    return maps, worse


def _padded(clips: np.ndarray, rows: int) -> dict[str, np.ndarray]:
  """Makes a batch of unlabelled clips [n, ...]; pads it with the last one."""
  pad = np.repeat(clips[-1:], rows - len(clips), axis=0)
  return {
      'video': np.concatenate([clips, pad]),
      'label': np.zeros(rows, np.int32),
      'mask': (np.arange(rows) < len(clips)).astype(np.float32),
      'index': np.zeros(rows, np.int32),
      # Batches of lists have this field too, so one program serves both.
      'view': np.zeros(rows, np.int32),
  }


def fill_colour(method: Method) -> tuple[float, float, float]:
  """Returns the colour in [0, 1] of masked pixels, the one normalised to 0."""
  ends = jnp.array([0, 255], jnp.uint8)
  frames = jnp.broadcast_to(ends[None, :, None, None, None], (1, 2, 1, 1, 3))
  pixels = method.pixels
  if isinstance(pixels, corruptions.Corrupted):
    pixels = pixels.pixels
  black, white = np.asarray(pixels(frames, None))[0, :, 0, 0]  # each [3]
  return tuple(float(v) for v in black / (black - white))
