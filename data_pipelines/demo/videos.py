"""Makes the demo's data set: small H.264 videos of drawn actions, and lists.

It is rendered when missing, then read like any other.

  ROOT/<domain>/<class>/<part>_<nr>.mp4    bright/swinging_star/test_03.mp4
  ROOT/train.txt, test_bright.txt, test_dark.txt, test_head.txt
  ROOT/classes.txt, colours.txt            informative names, or poor ones
  ROOT/demo.json                           the plan of the folder

The training pool holds equally many videos of each domain, so that K shots are
like those of somebody who films where the recogniser will be used: some by day,
some at night, some from the head. Every video is a scene of its own, so that no
scene of a test video is seen in training.

The data set `demo_unseen` holds classes that occur neither in pre-training nor
in the demo. The classes of `demo_motion` form pairs that differ only in how
fast something moves.
"""

import dataclasses
import io
import itertools
import json
import os
import pathlib

import av
import ml_collections
import numpy as np
import tqdm

from data_pipelines import whole_file
from data_pipelines.datasets import dataset, folder
from data_pipelines.demo import scenes
from data_pipelines.demo.shapes import USUAL_COLOUR
from data_pipelines.errors import UserError
from data_pipelines.lists.clips import ClipList, ClipRecord
from data_pipelines.video import pool

NUM_FRAMES = 40
# Good enough to keep the sensor's noise, at about 50 kB a video. Without
# "mbtree=0" the output of x264 differs from run to run.
_X264 = {'crf': '22', 'preset': 'veryfast', 'threads': '1', 'g': '20'}
_X264 |= {'x264-params': 'mbtree=0'}


@dataclasses.dataclass(frozen=True)
class Plan:
  """Plans a demo folder: `train` and `test` videos per class and domain.

  `classes` are (motion, object) or (motion, object, manner) in label order.
  """

  classes: tuple[tuple[str, ...], ...] = scenes.DEMO_CLASSES
  seed: int = 0
  train: int = 4
  test: int = 6
  version: int = scenes.VERSION

  def videos(self) -> dict[str, scenes.Scene]:
    """Maps every video's path below the root, in order, to its scene."""
    found = {}
    for domain, words, part in itertools.product(
        scenes.DOMAINS, self.classes, ('train', 'test')
    ):
      for n in range(getattr(self, part)):
        path = f'{domain}/{"_".join(words)}/{part}_{n:02d}.mp4'
        found[path] = scenes.draw_scene(
            self.seed, n, words, domain, f'demo {part}'
        )
    return found

  def lists(self) -> dict[str, ClipList]:
    """Maps the file name of every list, without suffix, to the list."""
    records = {n: [] for n in ('train', *map('test_{}'.format, scenes.DOMAINS))}
    labels = ['_'.join(words) for words in self.classes]
    for path in self.videos():
      domain, folder, file = path.split('/')
      name = 'train' if file.startswith('train') else f'test_{domain}'
      records[name].append(ClipRecord(path, labels.index(folder)))
    return {
        name: ClipList(name, tuple(r), f'the demo, seed {self.seed}')
        for name, r in records.items()
    }

  def text(self) -> str:
    """Returns the contents of demo.json."""
    return json.dumps(dataclasses.asdict(self), indent=1) + '\n'


_PLANS = {
    'demo': Plan(),
    # One training video, as a data set must not be without any.
    'demo_unseen': Plan(scenes.UNSEEN_CLASSES, train=1),
    'demo_motion': Plan(scenes.MOTION_CLASSES),
}


def write_demo(
    root: str | os.PathLike, plan: Plan, workers: int = 0
) -> pathlib.Path:
  """Renders the missing videos of a demo folder, and returns the folder.

  A folder of another plan is rendered anew. Files depend on the plan alone.

  Raises:
    UserError: the folder holds something else, or cannot be written.
  """
  root = pathlib.Path(root).expanduser()
  marker = root / 'demo.json'
  try:
    if root.exists() and not marker.is_file() and any(root.iterdir()):
      raise UserError(
          f'data.root={root} holds other files than the demo\'s. Set '
          '--config.data.root to a new or empty folder.'
      )
    names, colours = root / 'classes.txt', root / 'colours.txt'
    if not marker.is_file() or marker.read_text('utf-8') != plan.text():
      for old in (names, *root.glob('*/*/*.mp4')):
        old.unlink(missing_ok=True)
      root.mkdir(parents=True, exist_ok=True)
      whole_file.write(marker, plan.text())
    if not (names.is_file() and colours.is_file()):
      for name, clips in plan.lists().items():
        clips.write(root / f'{name}.txt')
      titles = [f'{USUAL_COLOUR[w[1]]}\n'.title() for w in plan.classes]
      whole_file.write(colours, ''.join(titles))
      titles = [scenes.class_name(*words) + '\n' for words in plan.classes]
      whole_file.write(names, ''.join(titles))
    _render(root, plan, workers)
  except OSError as e:
    raise UserError(
        f'the demo\'s videos cannot be written to {root}: {e.strerror or e}.\n'
        '  Set --config.data.root to a folder with 50 MB to spare.'
    ) from e
  return root


def encode(frames: np.ndarray) -> bytes:
  """Encodes uint8 [T, H, W, 3], H and W even, as an H.264 video in MP4.

  The same frames give the same bytes.
  """
  file = io.BytesIO()
  with av.open(file, 'w', format='mp4') as container:
    stream = container.add_stream('libx264', rate=scenes.FPS, options=_X264)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    for image in frames:
      frame = av.VideoFrame.from_ndarray(image, format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return file.getvalue()


def _render(root: pathlib.Path, plan: Plan, workers: int):
  every = plan.videos()
  missing = [path for path in every if not (root / path).is_file()]
  tasks = [(root / path, every[path]) for path in missing]
  done = pool.run_all(_write_video, tasks, workers)
  how = {'total': len(tasks), 'desc': 'render the demo', 'disable': not tasks}
  for _ in tqdm.tqdm(done, **how):
    pass


def _write_video(path: pathlib.Path, scene: scenes.Scene):
  path.parent.mkdir(parents=True, exist_ok=True)
  whole_file.write(path, encode(scenes.render(scene, range(NUM_FRAMES))))


def read(
    data, split: int, report_folder: str | None = None, roles=dataset.ROLES
) -> dataset.DataSet:
  """Reads the demo's lists and classes; renders its videos first, if need be.

  Arguments are as for `datasets.read`. The user's lists replace the demo's;
  data.class_names may name a file in data.root.

  Raises:
    UserError: no root, or one that holds something else.
  """
  if not data.root:
    raise UserError(
        'data.root is empty. Set --config.data.root to a folder for the '
        "demo's videos, such as runs/demo-films."
    )
  root = write_demo(data.root, _PLANS[data.name], data.workers)
  data = ml_collections.ConfigDict(data.to_dict())
  data.root = str(root)
  names = root / (data.class_names or 'classes.txt')
  data.class_names = str(names) if names.is_file() else data.class_names
  data.train_list = data.train_list or str(root / 'train.txt')
  if not data.test_list and not data.tests:
    data.tests = {
        domain: str(root / f'test_{domain}.txt') for domain in scenes.DOMAINS
    }
  return folder.read(data, split, report_folder, roles)
