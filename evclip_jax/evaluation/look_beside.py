"""Looks at clips beside labelled examples, for methods that compare them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from evclip_jax.evaluation import episodes, look, scores
from evclip_jax.methods.base import VideoFeatures
from evclip_jax.training import devices as sharding
from evclip_jax.training import session
from evclip_jax.training.params import merge


class ExampleLooker:
  """Looks at clips with a run's trained weights and examples of classes."""

  def __init__(
      self, run: session.Session, weights: dict[str, jax.Array], rows: int
  ):
    """Prepares the functions; they are compiled for one size of batch.

    Args:
      run: the session.
      weights: trained leaves on the devices.
      rows: most clips at once; rounded up to a multiple of the devices.
    """
    devices = run.mesh.shape['data']
    self._rows = -(-rows // devices) * devices
    self._run, self._weights = run, weights
    self._step = episodes.make_feature_step(
        run.model.method, run.mesh, run.shardings
    )
    self._score = jax.jit(self._judge)

  def beside(
      self, examples: np.ndarray, class_names: list[str]
  ) -> Callable[[list[np.ndarray]], list[look.Seen]]:
    """Computes the features of examples, once for all clips.

    Args:
      examples: uint8 [N, K, T, H, W, 3], K clips of each of N classes.
      class_names: N names.

    Returns:
      (clips, each uint8 [views, T, H, W, 3]) -> one `Seen` per clip, in their
      order, without maps.
    """
    support = self._features(examples.reshape(-1, *examples.shape[2:]))
    classes = self._run.classes(self._weights, class_names)

    def seen(clips):
      views = len(clips[0])
      queries = self._features(np.concatenate(clips))
      logits = self._score(
          self._run.frozen, self._weights, support, queries, classes
      )
      probabilities = scores.softmax(np.asarray(logits, np.float64))
      probabilities = probabilities.reshape(len(clips), views, -1).mean(axis=1)
      return [
          look.Seen(p, clip[views // 2], {})
          for p, clip in zip(probabilities, clips, strict=True)
      ]

    return seen

  def _judge(self, frozen, weights, support, queries, classes):
    """The logits [NQ, N] of one episode of all examples and these clips."""
    together = jax.tree.map(
        lambda s, q: jnp.concatenate([s, q])[None], support, queries
    )
    batch = {
        'label': jnp.zeros((1, len(queries['clip'])), jnp.int32),
        'way': jnp.arange(classes.shape[1])[None],
        'mask': jnp.ones(1),
        'index': jnp.zeros(1, jnp.int32),
    }
    features = VideoFeatures(together['clip'], together['frames'])
    params = merge(frozen, weights)
    return self._run.model.method.score(params, features, classes, batch)[0]

  def _features(self, clips: np.ndarray) -> dict[str, np.ndarray]:
    """'clip' and 'frames' of uint8 [n, T, H, W, 3], on the host."""
    parts = []
    for start in range(0, len(clips), self._rows):
      part = clips[start : start + self._rows]
      batch = look.padded(part, self._rows)
      out = jax.device_get(
          self._step(
              self._weights,
              self._run.frozen,
              sharding.put_batch(self._run.mesh, batch),
          )
      )
      parts.append({k: out[k][: len(part)] for k in ('clip', 'frames')})
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
