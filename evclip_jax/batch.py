"""The batch contract: what a loader yields and a step takes."""

import numpy as np

from evclip_jax.errors import UserError

# name -> (dtype, number of axes)
FIELDS = {
    'video': (np.uint8, 5),  # [B, T, H, W, 3], RGB
    'label': (np.int32, 1),  # [B], 0 .. K-1
    'mask': (np.float32, 1),  # [B], 1 for a clip, 0 for padding
    'index': (np.int32, 1),  # [B], position of the clip in its list
}


def check(batch: dict[str, np.ndarray], num_frames: int, num_classes: int):
  """Raises UserError if a batch is not what the step expects."""
  for name, (dtype, ndim) in FIELDS.items():
    if name not in batch:
      raise UserError(f'a batch lacks {name!r}; it has {sorted(batch)}.')
    value = batch[name]
    if value.dtype != dtype or value.ndim != ndim:
      raise UserError(
          f'batch[{name!r}] must be {np.dtype(dtype).name} with {ndim} axes, '
          f'not {value.dtype} {value.shape}.'
      )
  video = batch['video']
  if video.shape[1] != num_frames or video.shape[-1] != 3:
    raise UserError(
        f'batch["video"] must be [B, {num_frames}, H, W, 3], not '
        f'{video.shape} (data.num_frames).'
    )
  label = batch['label']
  if label.min() < 0 or label.max() >= num_classes:
    raise UserError(
        f'labels must lie in 0..{num_classes - 1}, found '
        f'{label.min()}..{label.max()}.'
    )


def synthetic(
    batch_size: int, num_frames: int, pixels: int, num_classes: int, seed: int
) -> dict[str, np.ndarray]:
  """A batch of noise, for benchmarks and tests."""
  rng = np.random.default_rng(seed)
  shape = (batch_size, num_frames, pixels, pixels, 3)
  return {
      'video': rng.integers(0, 256, shape, dtype=np.uint8),
      'label': rng.integers(0, num_classes, batch_size, dtype=np.int32),
      'mask': np.ones(batch_size, np.float32),
      'index': np.arange(batch_size, dtype=np.int32),
  }
