"""Renders the demo's data: small H.264 films of drawn actions, and lists.

  ROOT/<domain>/<class>/<part>_<nr>.mp4    bright/swinging_star/test_03.mp4
  ROOT/train.txt, test_bright.txt, test_dark.txt, test_head.txt, classes.txt
  ROOT/demo.json                           what the folder is; written last

The training pool holds as many films of each domain, so that K shots are what
somebody has who films where they will use the recogniser: some by day, some at
night, some from the head. Every film is a scene of its own, so no test film is
seen in training, nor another film of the same scene.
"""

import concurrent.futures
import dataclasses
import functools
import io
import json
import multiprocessing
import os
import pathlib

import av
import numpy as np
import tqdm

from data_pipelines.demo import scenes
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord

NUM_FRAMES = 40
# Good enough that the sensor's noise survives; a film is some 50 kB. Without
# "mbtree=0" x264 writes other bytes each time it is run.
_X264 = {
    'crf': '22',
    'preset': 'veryfast',
    'threads': '1',
    'g': '20',
    'x264-params': 'mbtree=0',
}
_MARKER = 'demo.json'


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a demo folder holds.

  Attributes:
    classes: (motion, object) pairs in label order.
    seed: of the scenes.
    train, test: films per class and domain.
    version: of the renderer.
  """

  classes: tuple[tuple[str, str], ...] = scenes.DEMO_CLASSES
  seed: int = 0
  train: int = 4
  test: int = 6
  version: int = scenes.VERSION

  def films(self) -> dict[str, scenes.Scene]:
    """Every film's path below the root, in a fixed order, and its scene."""
    found = {}
    for domain in scenes.DOMAINS:
      for pair in self.classes:
        folder = '_'.join(pair)
        for part, count in (('train', self.train), ('test', self.test)):
          for n in range(count):
            scene = scenes.draw_scene(
                self.seed, n, pair, domain, f'demo {part}'
            )
            found[f'{domain}/{folder}/{part}_{n:02d}.mp4'] = scene
    return found

  def lists(self) -> dict[str, ClipList]:
    """The lists by the name of their file, without suffix."""
    names = ['train', *(f'test_{domain}' for domain in scenes.DOMAINS)]
    records = {name: [] for name in names}
    for path in self.films():
      domain, folder, file = path.split('/')
      label = ['_'.join(pair) for pair in self.classes].index(folder)
      part = file.split('_')[0]
      name = part if part == 'train' else f'{part}_{domain}'
      records[name].append(ClipRecord(path, label))
    return {
        name: ClipList(name, tuple(r), f'the demo, seed {self.seed}')
        for name, r in records.items()
    }

  def text(self) -> str:
    """The marker's content."""
    return json.dumps(dataclasses.asdict(self), indent=1) + '\n'


def write_demo(
    root: str | os.PathLike, plan: Plan | None = None, workers: int = 2
) -> pathlib.Path:
  """Renders what is missing of a demo folder.

  A folder that is whole is left as it is; one whose rendering was stopped is
  completed; one of another plan is rendered anew. The files depend on the plan
  alone.

  Args:
    root: the folder, made if need be.
    plan: what to render; the demo's by default.
    workers: processes that render.

  Returns:
    The folder.

  Raises:
    UserError: the folder holds something else, or cannot be written.
  """
  plan = plan or Plan()
  root = pathlib.Path(root).expanduser()
  marker = root / _MARKER
  try:
    if _read(marker) == plan.text():
      return root
    _check_ours(root)
    root.mkdir(parents=True, exist_ok=True)
    begun = root / f'{_MARKER}.begun'
    if _read(begun) != plan.text():
      # Of another plan, or new: nothing that is here counts.
      marker.unlink(missing_ok=True)
      for film in root.glob('*/*/*.mp4'):
        film.unlink()
      _write(begun, plan.text().encode())
    _render(root, plan, workers)
    for name, clips in plan.lists().items():
      clips.write(root / f'{name}.txt')
    names = [scenes.class_name(*pair) + '\n' for pair in plan.classes]
    _write(root / 'classes.txt', ''.join(names).encode())
    _write(marker, plan.text().encode())
    begun.unlink()
  except OSError as e:
    raise UserError(
        f'the demo\'s films cannot be written to {root}: {e.strerror or e}.\n'
        '  Set --config.data.root to a folder with 50 MB to spare.'
    ) from e
  return root


def encode(frames: np.ndarray) -> bytes:
  """An H.264 film in MP4.

  Args:
    frames: uint8 [T, H, W, 3], H and W even.

  Returns:
    The file's bytes; the same for the same frames.
  """
  file = io.BytesIO()
  with av.open(file, 'w', format='mp4') as container:
    stream = container.add_stream('libx264', rate=scenes.FPS, options=_X264)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    for picture in frames:
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return file.getvalue()


def _render(root: pathlib.Path, plan: Plan, workers: int):
  films = plan.films()
  missing = [path for path in films if not (root / path).is_file()]
  for folder in {(root / path).parent for path in missing}:
    folder.mkdir(parents=True, exist_ok=True)
  job = functools.partial(_film, root)
  bar = tqdm.tqdm(
      total=len(films),
      initial=len(films) - len(missing),
      desc='rendering the demo\'s films',
      unit='film',
      mininterval=1,
  )
  # Spawned, as a fork would copy the state of whoever called.
  spawn = multiprocessing.get_context('spawn')
  with bar, concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool:
    jobs = pool.map(job, missing, [films[p] for p in missing], chunksize=4)
    for _ in jobs:
      bar.update()


def _film(root: pathlib.Path, path: str, scene: scenes.Scene):
  _write(root / path, encode(scenes.render(scene, range(NUM_FRAMES))))


def _write(path: pathlib.Path, content: bytes):
  """Writes a file that is whole or not there."""
  partial = path.with_name(f'{path.name}.partial')
  partial.write_bytes(content)
  partial.replace(path)


def _read(path: pathlib.Path) -> str:
  return path.read_text('utf-8') if path.is_file() else ''


def _check_ours(root: pathlib.Path):
  """Refuses a folder that holds anything but a demo."""
  if not root.exists():
    return
  if not root.is_dir():
    raise UserError(f'data.root={root} is a file; the demo wants a folder.')
  ours = any((root / n).is_file() for n in (_MARKER, f'{_MARKER}.begun'))
  if not ours and any(root.iterdir()):
    raise UserError(
        f'data.root={root} holds other files than the demo\'s. Set '
        '--config.data.root to a new or empty folder.'
    )
