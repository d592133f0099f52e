"""Which part of each frame is cut out."""

import numpy as np

# Of EZ-CLIP's boxes: sides as parts of the shorter side, and (right, down) in
# steps of a quarter of the room.
_SCALES = (1, 0.875, 0.75, 0.66)
_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


def random_offsets(
    height: int, width: int, crop: int, generator: np.random.Generator
) -> tuple[int, int]:
  """Draws the upper left corner of a square, once for a whole clip.

  Every place is equally likely, the edges included: for 256 x 340 and 224
  pixels, 0..32 down and 0..116 to the right.

  Source: EV-CLIP, dassl/data/data_manager.py. Differs: none.
  """
  _check_crop(height, width, crop)
  top = int(generator.integers(height - crop, endpoint=True))
  left = int(generator.integers(width - crop, endpoint=True))
  return top, left


def view_offsets(
    height: int, width: int, crop: int, view: int = 0, num_views: int = 1
) -> tuple[int, int]:
  """Returns the upper left corner of one of the scored crops, (top, left).

  One view: the centre, (16, 58) for 256 x 340 and 224 pixels. Three: left,
  centre, right, at 0, 58 and 116 pixels; of upright frames upper to lower.

  Source: EV-CLIP, dassl/data/data_manager.py: view 1 of 3 is its centre.
  Differs: upright frames, which it does not have.
  """
  _check_crop(height, width, crop)
  if num_views not in (1, 3) or not 0 <= view < num_views:
    raise ValueError(f'there is no view {view} of {num_views}; use 1 or 3.')
  place = 1 if num_views == 1 else view
  if height > width:
    return int((height - crop) / 2 * place), (width - crop) // 2
  return (height - crop) // 2, int((width - crop) / 2 * place)


def jittered_offsets(
    size: int, crop: int, generator: np.random.Generator
) -> tuple[int, int]:
  """Draws the upper left corner of a square; never the last row or column.

  Source: CLIP-FSAR, datasets/base/ssv2_few_shot.py: both are whole parts of a
    real number in [0, size - crop), drawn to the right first.
  Differs: none.
  """
  _check_crop(size, size, crop)
  room = max(size - crop, 1)
  left = int(generator.integers(room))
  return int(generator.integers(room)), left


def multi_scale_box(
    height: int, width: int, crop: int, generator: np.random.Generator
) -> tuple[int, int, int, int]:
  """Draws a box at one of 13 places, (top, left, height, width).

  Its sides are two of 100, 87.5, 75 and 66 percent of the frame's shorter
  side, neighbours in this row or equal; all ten pairs and all 13 places are
  equally likely, also where several of them are the same. A side within 2
  pixels of `crop`, what the box will be resized to, becomes that.

  Source: EZ-CLIP, utils/Augmentation.py, the multi-scale crop.
  Differs: a side never becomes longer than the frame (with a shorter side of
    P - 2 or P - 1 the original adds black pixels).
  """
  pairs = box_sizes(height, width, crop)
  tall, wide = pairs[generator.integers(len(pairs))]
  down, right = (height - tall) // 4, (width - wide) // 4
  x, y = _PLACES[generator.integers(len(_PLACES))]
  return y * down, x * right, tall, wide


def box_sizes(height: int, width: int, crop: int) -> list[tuple[int, int]]:
  """Lists the (height, width) that `multi_scale_box` draws from."""
  base = min(height, width)
  sizes = [max(int(base * s), 1) for s in _SCALES]
  sizes = [crop if abs(s - crop) < 3 and crop <= base else s for s in sizes]
  return [
      (tall, wide)
      for i, tall in enumerate(sizes)
      for j, wide in enumerate(sizes)
      if abs(i - j) <= 1
  ]


def _check_crop(height: int, width: int, crop: int):
  if not 1 <= crop <= min(height, width):
    raise ValueError(
        f'a crop of {crop} pixels does not fit into {height}x{width} pixels '
        '(data.crop_pixels, data.resize_height, data.resize_width).'
    )
