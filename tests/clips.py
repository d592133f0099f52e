"""Small real video files for tests."""

import pathlib

import av
import numpy as np


def write_frames(path: pathlib.Path, frames: np.ndarray, codec='libx264'):
  """Writes uint8 frames [T, 60, 80, 3], 25 a second."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt = 80, 60, 'yuv420p'
    for image in frames:
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_clip(
    path: pathlib.Path, seed: int, frames: int = 20, codec: str = 'libx264'
):
  """Writes a clip of a coloured square that moves; looks depend on `seed`."""
  rng = np.random.default_rng(seed)
  background, colour = rng.integers(0, 255, (2, 3), dtype=np.uint8)
  images = np.broadcast_to(background, (frames, 60, 80, 3)).copy()
  for t, image in enumerate(images):
    image[20:40, 2 * t : 2 * t + 20] = colour
  write_frames(path, images, codec)


def write_folder(
    root: pathlib.Path, classes: int = 3, clips: int = 6, **kwargs
) -> pathlib.Path:
  """Writes root/<class>/<clip>.mp4."""
  for k in range(classes):
    for i in range(clips):
      write_clip(
          root / f'class_{k}' / f'clip_{i}.mp4', seed=100 * k + i, **kwargs
      )
  return root
