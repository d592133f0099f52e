"""Defines batches, which loaders yield and steps take; checks and fakes them.

A batch is a dict of arrays of clips, or of whole episodes. The shapes tell how
many ways, shots and queries an episode has.
"""

import math
from typing import Any

import jax
import numpy as np

from data_pipelines.errors import UserError

# name -> (dtype, number of axes)
CLIPS = {
    'video': (np.uint8, 5),  # [B, T, H, W, 3], RGB
    'label': (np.int32, 1),  # [B], 0 .. K-1
    'mask': (np.float32, 1),  # [B], 1 for a clip, 0 for padding
    'index': (np.int32, 1),  # [B], position of the clip in its list
}
EPISODES = {
    # [E, V, T, H, W, 3]: N * K support clips, then the queries, class by class
    'video': (np.uint8, 6),
    'label': (np.int32, 2),  # [E, N * Q], 0 .. N-1, of each query
    'way': (np.int32, 2),  # [E, N], class of each way in the list's numbering
    'mask': (np.float32, 1),  # [E], 1 for an episode, 0 for padding
    'index': (np.int32, 1),  # [E], the episode's number
}


def check(batch: dict[str, np.ndarray], num_frames: int, num_classes: int):
  """Raises UserError if a batch does not follow these definitions."""
  fields = EPISODES if 'way' in batch else CLIPS
  for name, (dtype, ndim) in fields.items():
    if name == 'video' and 'frozen' in batch:
      continue
    if name not in batch:
      raise UserError(f'a batch lacks {name!r}; it has {sorted(batch)}.')
    value = batch[name]
    if value.dtype != dtype or value.ndim != ndim:
      raise UserError(
          f'batch[{name!r}] must be {np.dtype(dtype).name} with {ndim} axes, '
          f'not {value.dtype} {value.shape}.'
      )
  video = batch.get('video', np.empty((num_frames, 0, 0, 3)))
  if video.shape[-4] != num_frames or video.shape[-1] != 3:
    raise UserError(
        f'batch["video"] must be [..., {num_frames}, H, W, 3], not '
        f'{video.shape} (data.num_frames).'
    )
  classes = batch['way'] if 'way' in batch else batch['label']
  if classes.min() < 0 or classes.max() >= num_classes:
    raise UserError(
        f'labels must lie in 0..{num_classes - 1}, found '
        f'{classes.min()}..{classes.max()}.'
    )


def count(batch: dict[str, Any]) -> int:
  """Counts the clips in a batch by the shapes of its arrays."""
  if 'video' in batch:
    return math.prod(batch['video'].shape[:-4])
  leaf = next(iter(batch['frozen'].values()))
  return math.prod(leaf.shape[: 2 if 'way' in batch else 1])


def shapes(
    config: Any, num_classes: int, rows: int, episodic: bool
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes and types of a training batch of a config."""
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype),
      noise(config, num_classes, 1, episodic),
  )


def noise(
    config: Any, num_classes: int, rows: int, episodic: bool
) -> dict[str, np.ndarray]:
  """Makes a batch of `rows` clips, or episodes, of noise for a config."""
  data, own = config.data, config.episodes
  sizes = data.num_frames, data.crop_pixels, num_classes, config.seed
  if episodic:
    return synthetic(rows, *sizes, episode=(own.way, own.shot, own.query))
  return synthetic(rows, *sizes, data.trunk_pixels)


def synthetic(
    rows: int,
    num_frames: int,
    pixels: int,
    num_classes: int,
    seed: int,
    trunk_pixels: int = 0,
    episode: tuple[int, ...] = (),
) -> dict[str, np.ndarray]:
  """Makes a batch of `rows` clips, or episodes (way, shot, query), of noise."""
  rng = np.random.default_rng(seed)
  square = pixels + trunk_pixels, max(pixels, trunk_pixels)
  clips = ()
  if episode:
    way, shot, query = episode
    ways = [rng.choice(num_classes, way, replace=False) for _ in range(rows)]
    clips = (way * (shot + query),)
  shape = (rows, *clips, num_frames, *square, 3)
  batch = {
      'video': rng.integers(0, 256, shape, dtype=np.uint8),
      'mask': np.ones(rows, np.float32),
      'index': np.arange(rows, dtype=np.int32),
  }
  if not episode:
    labels = rng.integers(0, num_classes, rows, dtype=np.int32)
    return batch | {'label': labels}
  labels = np.repeat(np.arange(way, dtype=np.int32), query)
  return batch | {
      'label': np.tile(labels, (rows, 1)),
      'way': np.stack(ways).astype(np.int32),
  }
