"""What a run makes of single clips: class probabilities and the method's maps.

Evaluation throws the maps away; prediction and reports want to see them.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.evaluation import scores
from evclip_jax.methods.base import Method
from evclip_jax.reporting import pictures
from evclip_jax.training import devices as sharding
from evclip_jax.training import session
from evclip_jax.training.params import merge


@dataclasses.dataclass(frozen=True)
class Seen:
  """One clip, looked at in one or several views.

  Attributes:
    probabilities: [K] float64, the mean over the views.
    frames: uint8 [T, H, W, 3], the view in the middle.
    maps: name -> [H, W] or [T, H, W] float32, of that view.
  """

  probabilities: np.ndarray
  frames: np.ndarray
  maps: dict[str, np.ndarray]

  def top(self, names: list[str], most: int = 5) -> list[tuple[str, float]]:
    """The best classes with their probabilities, best first."""
    # Stable, so that equal scores rank as in evaluation: lower index first.
    order = np.argsort(-self.probabilities, kind='stable')[:most]
    return [(names[k], float(self.probabilities[k])) for k in order]


class Looker:
  """Looks at clips with a run's trained weights."""

  def __init__(
      self,
      run: session.Session,
      weights: dict[str, jax.Array],
      rows: int,
      clips: int = 1,
      crops: int = 1,
      closely: bool = False,
  ):
    """Prepares the function; it is compiled for one size of batch.

    Args:
      run: the session.
      weights: trained leaves on the devices.
      rows: most views at once; rounded up to a multiple of the devices.
      clips, crops: temporal windows and crops of each clip; the crop changes
        fastest.
      closely: whether to make the pictures that cost passes of their own
        (`Method.looks`).
    """
    devices = run.mesh.shape['data']
    self._rows = -(-rows // devices) * devices
    self._views = clips * crops
    self._middle = clips // 2 * crops + crops // 2
    self._run = run
    self._weights = weights
    self._banks = {}
    self._step = make_look_step(run.model.method, run, closely)

  def __call__(
      self, clips: list[np.ndarray], class_names: Sequence[str] | None = None
  ) -> list[Seen]:
    """Looks at clips.

    Args:
      clips: each uint8 [views, T, H, W, 3].
      class_names: what to choose among; None = the run's classes.

    Returns:
      One `Seen` per clip, in their order.
    """
    names = tuple(class_names or self._run.class_names)
    if names not in self._banks:
      self._banks[names] = self._run.classes(self._weights, names)
    views = self._views
    rows = np.concatenate(clips)  # [N*views, T, H, W, 3]
    logits, maps = [], []
    for start in range(0, len(rows), self._rows):
      part = rows[start : start + self._rows]
      out = self._look(part, self._banks[names])
      logits.append(out['logits'])
      maps.append(out['maps'])
    probabilities = scores.softmax(
        np.concatenate(logits).astype(np.float64)
    )
    probabilities = probabilities.reshape(len(clips), views, -1).mean(axis=1)
    merged = {k: np.concatenate([m[k] for m in maps]) for k in maps[0]}
    middle = [i * views + self._middle for i in range(len(clips))]
    return [
        Seen(p, rows[row], {k: m[row] for k, m in merged.items()})
        for p, row in zip(probabilities, middle, strict=True)
    ]

  def _look(self, part: np.ndarray, classes: jax.Array):
    batch = padded(part, self._rows)
    out = self._step(
        self._weights,
        self._run.frozen,
        classes,
        sharding.put_batch(self._run.mesh, batch),
    )
    return jax.tree.map(lambda x: x[: len(part)], jax.device_get(out))


def padded(clips: np.ndarray, rows: int) -> dict[str, np.ndarray]:
  """A batch of clips without labels, the last one repeated with mask 0.

  Args:
    clips: uint8 [n, T, H, W, 3], n at most `rows`.
    rows: of the batch.
  """
  pad = np.repeat(clips[-1:], rows - len(clips), axis=0)
  return {
      'video': np.concatenate([clips, pad]),
      'label': np.zeros(rows, np.int32),
      'mask': (np.arange(rows) < len(clips)).astype(np.float32),
      'index': np.zeros(rows, np.int32),
  }


def make_look_step(
    method: Method, run: session.Session, closely: bool
) -> Callable:
  """Builds (weights, frozen, classes, batch) -> {'logits', 'maps'}."""

  def step(weights, frozen, classes, batch):
    params = merge(frozen, weights)
    pixels = method.pixels(batch['video'], None)
    features = method.video(params, pixels, None, False)
    logits = method.score(params, features, classes, batch)
    maps = dict(features.maps)
    if closely and method.looks:
      looks = method.looks(params, pixels)  # [B, T, h, w] each
      # What is brightest in a clip is white.
      maps |= {k: m / m.max((1, 2, 3), keepdims=True) for k, m in looks.items()}
    return {
        'logits': logits.astype(jnp.float32),
        'maps': {k: m.astype(jnp.float32) for k, m in maps.items()},
    }

  everywhere = sharding.replicated(run.mesh)
  return jax.jit(
      step,
      in_shardings=(
          everywhere,
          run.shardings,
          everywhere,
          sharding.batched(run.mesh),
      ),
      out_shardings=everywhere,
  )


def fill_colour(method: Method) -> tuple[float, float, float]:
  """The colour in [0, 1] that the method's normalisation maps to 0.

  Masks act on normalised pixels, so this is what they fade to.
  """
  ends = jnp.array([0, 255], jnp.uint8)
  frames = jnp.broadcast_to(ends[None, :, None, None, None], (1, 2, 1, 1, 3))
  black, white = np.asarray(method.pixels(frames, None))[0, :, 0, 0]  # each [3]
  return tuple(float(v) for v in black / (black - white))


def picture(
    seen: Seen,
    title: str,
    names: list[str],
    fill: tuple[float, float, float],
    truth: str | None = None,
) -> pictures.ClipPicture:
  """A looked-at clip, ready to be drawn."""
  return pictures.ClipPicture(
      title=title,
      frames=seen.frames,
      scores=seen.top(names),
      truth=truth,
      maps=seen.maps,
      fill=fill,
  )
