"""The README's animation: every time of every clip, right answers green."""

import numpy as np
from PIL import Image

from evclip_jax.lab import readme_picture
from evclip_jax.reporting.pictures import ClipPicture


def test_a_row_per_clip_and_a_frame_per_time(tmp_path):
  rng = np.random.default_rng(0)
  looks = [
      ClipPicture(
          'clip',
          rng.integers(0, 40, (5, 32, 32, 3), np.uint8),
          [('Waving', share), ('Jumping', 1 - share)],
          maps={'mask': np.eye(32, dtype=np.float32)},
      )
      for share in (0.9, 0.6)
  ]
  out = tmp_path / 'picture.gif'
  videos = ['films/waving/a.mp4', 'films/jumping/b.mp4']
  readme_picture.write(looks, videos, str(out))
  with Image.open(out) as picture:
    assert picture.n_frames == 5
    colours = np.asarray(picture.convert('RGB')).astype(int)
  bar = colours[:, 3 * 124 + 8 : 3 * 124 + 40].mean(1)
  green, red = bar[:, 1] - bar[:, 0], bar[:, 0] - bar[:, 1]
  half = len(bar) // 2
  assert green[:half].max() > 50 > red[:half].max()
  # The wrong answer stands above the right one.
  assert red[half:].max() > 50 < green[half:].max()
  assert red[half:].argmax() < green[half:].argmax()
